"""The table of dialects: a new API is one file and one line, and its errors have its own shape."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi import APIRouter, Request, Response

from multi2vec.serve import answers, bodies, dialects
from multi2vec.serve.app import create_app
from multi2vec.serve.dialect import Dialect, DialectError
from multi2vec.serve.errors import BadRequest, Failure
from multi2vec.serve.metrics import Metrics
from multi2vec.serve.service import Service
from multi2vec.serve.settings import Settings
from tests import toy


def router(service: Service) -> APIRouter:
    """One text as the body, one vector as the answer."""
    routes = APIRouter()

    async def embed(request: Request) -> Response:
        text = (await bodies.read(request, service.settings.max_body_bytes)).decode()
        if not text:
            raise BadRequest("the body is empty; it is a text")
        embedder = await service.embedder()
        return answers.json((await embedder.embed("text", [text])).rows[0])

    routes.add_api_route("/plain/embed", embed, methods=["POST"])
    return routes


def render_error(failure: Failure) -> Response:
    return answers.json({"code": failure.reason, "detail": failure.message}, status=418)


TOY = Dialect("toy", ("/plain/embed",), router, render_error)


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
    (answer,) = ask(toy_folder, ("POST", "/plain/embed", b"a red cat"))
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
    assert (bad.status_code, bad.json()) == (
        418,
        {"code": "bad_request", "detail": "the body is empty; it is a text"},
    )
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
    (answer,) = ask(toy_folder, ("POST", "/plain/embed", b"cat"))
    assert answer.json()["code"] == "internal"
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"paths": ("/plain/embed", "/meta")}, "toy names .*'/meta'.* and serves"),
        ({"paths": ()}, r"toy names \[\] and serves \['/plain/embed'\]"),
    ],
)
def test_a_dialect_names_all_that_it_serves(
    toy_folder: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, object], sentence: str
) -> None:
    wrong = dataclasses.replace(TOY, **changed)  # type: ignore[arg-type]
    monkeypatch.setattr(dialects, "DIALECTS", (*dialects.DIALECTS, wrong))
    with pytest.raises(DialectError, match=sentence):
        ask(toy_folder)


def test_two_dialects_cannot_share_a_path(toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialects, "DIALECTS", (*dialects.DIALECTS, TOY, TOY))
    with pytest.raises(DialectError, match="/plain/embed is claimed by toy and by toy"):
        ask(toy_folder)
