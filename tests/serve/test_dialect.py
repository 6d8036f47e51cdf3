"""The table of dialects: a new API is one file and one line, and its errors have its own shape."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest
from fastapi import Response

from multi2vec.serve import answers, dialects
from multi2vec.serve.app import create_app
from multi2vec.serve.dialect import Dialect, DialectError, Endpoint, Get, Post, Probe
from multi2vec.serve.errors import BadRequest, Failure
from multi2vec.serve.metrics import Metrics
from multi2vec.serve.service import Service
from multi2vec.serve.settings import Settings
from tests import toy


class Text(msgspec.Struct):
    """The toy's body."""

    text: str = ""


class Words(msgspec.Struct):
    """The other's."""

    words: list[str]


def endpoints(service: Service) -> tuple[Endpoint, ...]:
    """One text in the body, one vector as the answer."""

    async def embed(asked: Text) -> Response:
        embedder = await service.embedder()
        return answers.json((await embedder.embed("text", [asked.text])).rows[0])

    return (
        Post("/plain/embed", embed, Text, '{"text": "cat"}', "a vector"),
        Get("/plain/about", lambda: {"name": "toy", "since": 1}),
    )


def render_error(failure: Failure) -> Response:
    return answers.json({"code": failure.reason, "detail": failure.message}, status=418)


TOY = Dialect("toy", endpoints, render_error)


def lengths(service: Service) -> tuple[Endpoint, ...]:
    """Shares the toy's paths: a body with `words` is its own."""

    async def length(asked: Words) -> Response:
        if not asked.words:
            raise BadRequest("words is an empty list")
        return answers.json(len(asked.words))

    return (
        Post("/plain/embed", length, Words, '{"words": ["cat"]}', "a number", is_mine=lambda keys: "words" in keys),
        Get("/plain/about", lambda: {"name": "lengths", "unit": "words"}),
    )


LENGTHS = Dialect("lengths", lengths, lambda failure: answers.json([failure.message], status=419))


def ask(folder: Path, *requests: tuple[str, str, bytes]) -> list[httpx.Response]:
    """The answers of the application to these requests (method, path, body)."""
    service = Service(Settings(model_dir=folder, cache_dir=None, precision="f32"), Metrics())
    app = create_app(service, lambda error: None)

    async def main() -> list[httpx.Response]:
        await service.load()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            answers = [await client.request(method, path, content=body) for method, path, body in requests]
        service.close()
        return answers

    return asyncio.run(main())


@pytest.fixture
def with_toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialects, "DIALECTS", (*dialects.DIALECTS, TOY))


@pytest.mark.usefixtures("with_toy")
def test_a_dialect_is_one_file_and_one_line(toy_folder: Path) -> None:
    (answer,) = ask(toy_folder, ("POST", "/plain/embed", b'{"text": "a red cat"}'))
    np.testing.assert_allclose(answer.json(), toy.text_vector("a red cat"), atol=1e-5)


@pytest.mark.usefixtures("with_toy")
def test_errors_have_the_shape_of_the_api_that_the_path_belongs_to(toy_folder: Path) -> None:
    bad, below, method, unknown, other = ask(
        toy_folder,
        ("POST", "/plain/embed", b""),
        ("POST", "/plain/embed/more", b""),
        ("GET", "/plain/embed", b""),
        ("GET", "/elsewhere", b""),
        ("POST", "/vectorize", b"{"),
    )
    assert (bad.status_code, bad.json()["code"]) == (418, "bad_request")
    assert 'it looks like {"text": "cat"}' in bad.json()["detail"]
    assert below.json()["code"] == "not_found"
    assert method.json()["code"] == "method_not_allowed"
    assert method.headers["allow"] == "POST"
    assert list(unknown.json()) == ["error"]
    assert "/plain/embed" in unknown.json()["error"]
    assert "/vectorize" in unknown.json()["error"]
    assert (other.status_code, list(other.json())) == (400, ["error"])


@pytest.mark.usefixtures("with_toy")
def test_a_fault_has_that_shape_too(toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: Service) -> None:
        raise KeyError("a secret")

    monkeypatch.setattr(Service, "embedder", broken)
    (answer,) = ask(toy_folder, ("POST", "/plain/embed", b'{"text": "cat"}'))
    assert answer.json()["code"] == "internal"
    assert "secret" not in answer.text


class TestSharedPaths:
    @pytest.fixture(params=[(TOY, LENGTHS), (LENGTHS, TOY)], ids=["toy first", "lengths first"])
    def table(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dialects, "DIALECTS", (*dialects.DIALECTS, *request.param))

    @pytest.mark.usefixtures("table")
    def test_the_body_decides_whose_it_is_and_how_its_error_looks(self, toy_folder: Path) -> None:
        text, words, wrong, null, broken, method = ask(
            toy_folder,
            ("POST", "/plain/embed", b'{"text": "a red cat"}'),
            ("POST", "/plain/embed", b'{"words": ["a", "b"]}'),
            ("POST", "/plain/embed", b'{"words": []}'),
            ("POST", "/plain/embed", b'{"words": null}'),
            ("POST", "/plain/embed", b""),
            ("GET", "/plain/embed", b""),
        )
        np.testing.assert_allclose(text.json(), toy.text_vector("a red cat"), atol=1e-5)
        assert words.json() == 2
        assert (wrong.status_code, wrong.json()) == (419, ["words is an empty list"])
        # A key that is null is as good as none.
        assert len(null.json()) == toy.DIMENSIONS
        # Without a body of its own, a request is of the API that takes all others.
        assert broken.status_code == 418
        assert method.json()["code"] == "method_not_allowed"

    @pytest.mark.usefixtures("table")
    def test_what_a_path_tells_has_the_keys_of_all(self, toy_folder: Path, request: pytest.FixtureRequest) -> None:
        (answer,) = ask(toy_folder, ("GET", "/plain/about", b""))
        first = "toy" if "toy first" in request.node.name else "lengths"
        assert answer.json() == {"name": first, "since": 1, "unit": "words"}


def _probe(service: Service) -> tuple[Endpoint, ...]:
    return (Probe("/plain/about", lambda: Response(status_code=204)),)


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        ((TOY, TOY), r"posted to /plain/embed.*\['toy', 'toy'\]"),
        ((LENGTHS,), r"posted to /plain/embed.*goes to \[\]"),
        ((TOY, Dialect("probe", _probe, render_error)), "/plain/about is claimed by probe and by toy"),
    ],
)
def test_dialects_that_do_not_fit_together(
    toy_folder: Path, monkeypatch: pytest.MonkeyPatch, others: tuple[Dialect, ...], sentence: str
) -> None:
    monkeypatch.setattr(dialects, "DIALECTS", (*dialects.DIALECTS, *others))
    with pytest.raises(DialectError, match=sentence):
        ask(toy_folder)
