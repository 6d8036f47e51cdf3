"""Every error of every API, provoked once at each endpoint: its status, its shape, and what it must not cost."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, ClassVar

import httpx
import msgspec
import pytest

from multi2vec.engine import loading
from multi2vec.engine.encoder import Encoder
from multi2vec.serve.app import create_app
from multi2vec.serve.dialect import Post
from multi2vec.serve.dialects import DIALECTS
from multi2vec.serve.metrics import Metrics
from multi2vec.serve.service import Service
from multi2vec.serve.settings import Settings
from tests import toy
from tests.serve import several
from tests.serve.dialects.apis import Api, Both, ErrorObject, Kind
from tests.serve.dialects.forms import FORMS, OWNERS, Body, Form
from tests.server import DEMO

KEY = "a-key"
LIMITS = {"max_items": 3, "max_body_bytes": 4000, "auto_truncate": False, "strict_model_name": True, "api_keys": KEY}
# What no key of any API may be.
WRONG = 7.5
# Of these a request has one or two, so that none of them is the one that is wrong.
TOLD_TOGETHER = ("messages", "queries", "documents", "items", "text_1", "text_2", "data_1", "data_2")
SECRET = "a secret"
ID = "this-request"

POSTS: Mapping[tuple[str, str], Post] = {
    (dialect.name, post.path): post
    for dialect in DIALECTS
    for post in dialect.endpoints(Service(Settings(model_dir=DEMO, cache_dir=None), Metrics()))
    if isinstance(post, Post)
}
# Which model a kind of failure needs; else one that does everything.
MODELS = {Kind.NO_PICTURES: "texts", Kind.PROMPT: "texts", Kind.NO_TEXTS: "pictures"}
# What can be told only of an item, in the engine.
OF_ITEMS = {Kind.NO_PICTURE, Kind.NO_PICTURES, Kind.NO_TEXTS, Kind.TOO_LONG, Kind.IDS}
IN_BODIES = [
    Kind.MISSING,
    Kind.EMPTY,
    Kind.TOO_MANY,
    Kind.NO_PICTURE,
    Kind.NO_PICTURES,
    Kind.NO_TEXTS,
    Kind.PROMPT,
    Kind.DIMENSIONS,
    Kind.TOO_LONG,
    Kind.IDS,
]


class Fragile(Encoder):
    """Fails on demand."""

    failing: ClassVar[bool] = False

    def encode(self, inputs: Any) -> Any:
        if Fragile.failing:
            inputs = {name: array[..., None] for name, array in inputs.items()}
        return super().encode(inputs)


class App:
    """The application in this process, its model not loaded yet."""

    def __init__(self, folder: Path, runner: asyncio.Runner, **settings: Any) -> None:
        chosen = Settings(model_dir=folder, cache_dir=None, precision="f32", **{**LIMITS, **settings})
        self.service = Service(chosen, Metrics())
        self._app = create_app(self.service, lambda error: None)
        self._runner = runner

    def load(self) -> None:
        """Load the model."""
        self._runner.run(self.service.load())

    def full(self) -> AbstractContextManager[Any]:
        """As if as many items as there may be were in hand."""
        stack = ExitStack()
        for lane in self._runner.run(self.service.embedder()).lanes.values():
            stack.enter_context(lane.batcher.admit(self.service.settings.max_queue))
        return stack

    def ask(self, path: str, body: Body | bytes, method: str = "POST", key: str = KEY) -> httpx.Response:
        """The answer to one request."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {key}", "x-request-id": ID}

        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, content=content, headers=headers)

        return self._runner.run(asked())

    def received(self) -> float:
        """How many items the engine was asked for so far; no other can be in a batch."""
        (items,) = self.service.metrics.items.collect()
        return sum(each.value for each in items.samples if each.name.endswith("_total"))


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory, runner: asyncio.Runner) -> Iterator[Mapping[str, App]]:
    """By name: texts and pictures, whose vectors cannot be cut; texts with prompts; pictures."""
    folders = {
        "all": several.write_outputs(tmp_path_factory.mktemp("all"), pictures=True),
        "texts": several.write_outputs(tmp_path_factory.mktemp("texts"), prompts=toy.PROMPTS),
        "pictures": several.write_pictures(tmp_path_factory.mktemp("pictures")),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "Encoder", Fragile)
        made = {name: App(folder, runner) for name, folder in folders.items()}
        for app in made.values():
            app.load()
        yield made
        for app in made.values():
            app.service.close()


@pytest.fixture(scope="module")
def app(apps: Mapping[str, App]) -> App:
    return apps["all"]


def each_endpoint(forms: Mapping[tuple[str, str], Form]) -> pytest.MarkDecorator:
    given = [pytest.param(path, form, id=f"{name} {path}") for (name, path), form in forms.items()]
    return pytest.mark.parametrize(("path", "form"), given)


def each_path() -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("path", "form"), list(OWNERS.items()), ids=list(OWNERS))


def assert_error(answer: httpx.Response, api: Api, kind: Kind, *words: str) -> Any:
    """It has the status and exactly the shape that the API has for this kind; returns the body, decoded."""
    status = api.status(kind)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"] == ID
    found = msgspec.json.decode(answer.content, type=api.shape)
    told = getattr(found, "error", found)
    message = told if isinstance(told, str) else getattr(told, "message", None) or found.detail
    assert message
    assert getattr(found, "message", message) == message
    assert getattr(found, "error_type", getattr(told, "type", "")) == api.word(kind, status)
    for word in words:
        assert word in message
    for leak in ("Traceback", SECRET, 'File "'):
        assert leak not in answer.text
    is_for_later = kind in (Kind.OVERLOADED, Kind.NOT_READY)
    assert answer.headers.get("retry-after", "0").isdecimal()
    assert (int(answer.headers.get("retry-after", 0)) >= 1) is is_for_later
    return found


def test_the_table_has_every_endpoint() -> None:
    assert FORMS.keys() == POSTS.keys()
    assert len(OWNERS) == len({path for _, path in FORMS})


@each_endpoint(FORMS)
def test_a_good_body_is_answered(apps: Mapping[str, App], path: str, form: Form) -> None:
    """So that what is wrong with the others is what they are there for."""
    for name in ("all", "texts"):
        before = apps[name].received()
        assert apps[name].ask(path, form.good).status_code == 200
        assert (apps[name].received() > before) is form.is_batched


def spoilt(form: Form) -> Iterator[bytes]:
    """Bodies that are no JSON object."""
    yield from (b"", b"{", b"[]", b'"a"', b"null", b"7", b"<html>")
    good = json.dumps(form.good).encode()
    yield good[:-1]
    if b"sun" in good:
        yield good.replace(b"sun", b"\xff")
        yield good.replace(b"sun", b"\\ud800")


@each_path()
def test_bodies_that_are_no_json_object(app: App, path: str, form: Form) -> None:
    before = app.received()
    for body in spoilt(form):
        assert_error(app.ask(path, body), form.api, Kind.NOT_JSON)
    assert app.received() == before


def keys_of(place: tuple[str, str]) -> list[str]:
    """The keys that bodies at an endpoint have."""
    post = POSTS.get(place)
    return [] if post is None or post.body is None else [each.encode_name for each in msgspec.structs.fields(post.body)]


def keys() -> Iterator[Any]:
    for (name, path), form in FORMS.items():
        for key in keys_of((name, path)):
            if key not in form.kept:
                yield pytest.param(path, form, key, id=f"{name} {path} {key}")


@pytest.mark.parametrize(("path", "form", "key"), list(keys()))
def test_each_key_of_a_wrong_type(app: App, path: str, form: Form, key: str) -> None:
    before = app.received()
    found = assert_error(app.ask(path, {**form.good, key: WRONG}), form.api, Kind.WRONG_TYPE, key)
    assert app.received() == before
    if isinstance(found, ErrorObject | Both) and key not in TOLD_TOGETHER:
        assert found.error.param == key


def in_bodies() -> Iterator[Any]:
    for (name, path), form in FORMS.items():
        for kind in IN_BODIES:
            if bodies := form.of(kind):
                yield pytest.param(path, form, kind, bodies, id=f"{name} {path}: {kind.value}")


@pytest.mark.parametrize(("path", "form", "kind", "bodies"), list(in_bodies()))
def test_what_is_wrong_in_a_body(
    apps: Mapping[str, App], path: str, form: Form, kind: Kind, bodies: Sequence[Body]
) -> None:
    asked = apps[MODELS.get(kind, "all")]
    for body in bodies:
        before = asked.received()
        assert_error(asked.ask(path, body), form.api, kind, *(["MAX_ITEMS"] if kind is Kind.TOO_MANY else []))
        assert kind in OF_ITEMS or asked.received() == before


@each_endpoint({place: form for place, form in FORMS.items() if "model" in keys_of(place)})
def test_another_model_s_name(app: App, path: str, form: Form) -> None:
    before = app.received()
    assert_error(app.ask(path, {**form.good, "model": "gpt"}), form.api, Kind.MODEL, "'gpt'")
    assert app.received() == before
    assert app.ask(path, {**form.good, "model": "toy-several"}).status_code == 200


@each_path()
def test_too_large_a_body(app: App, path: str, form: Form) -> None:
    before = app.received()
    answer = app.ask(path, {**form.good, "more": "x" * 5000})
    assert_error(answer, form.api, Kind.TOO_LARGE, "MAX_BODY_BYTES")
    assert answer.headers["connection"] == "close"
    assert app.received() == before


@each_endpoint({place: form for place, form in FORMS.items() if form.is_batched})
def test_a_full_queue(app: App, path: str, form: Form) -> None:
    with app.full():
        assert_error(app.ask(path, form.good), form.api, Kind.OVERLOADED, "MAX_QUEUE")
    assert app.ask(path, form.good).status_code == 200


@each_endpoint(FORMS)
def test_a_model_that_is_loading(toy_loading: App, path: str, form: Form) -> None:
    assert_error(toy_loading.ask(path, form.good), form.api, Kind.NOT_READY, "the model is loading")


@pytest.fixture(scope="module")
def toy_loading(tmp_path_factory: pytest.TempPathFactory, runner: asyncio.Runner) -> App:
    return App(several.write_outputs(tmp_path_factory.mktemp("loading")), runner, max_wait=0.001)


@each_endpoint({place: form for place, form in FORMS.items() if form.is_batched})
def test_a_failed_inference(
    app: App, path: str, form: Form, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Fragile, "failing", True)
    with caplog.at_level(logging.ERROR):
        assert_error(app.ask(path, form.good), form.api, Kind.ENCODE_FAILED, "the server's log has the reason")
    assert [record for record in caplog.records if record.exc_info]


@each_endpoint(FORMS)
def test_an_exception_that_nobody_expects(
    app: App, path: str, form: Form, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: Service) -> None:
        raise KeyError(SECRET)

    monkeypatch.setattr(Service, "embedder", broken)
    with caplog.at_level(logging.ERROR):
        assert_error(app.ask(path, form.good), form.api, Kind.FAULT, f"request id {ID}")
    assert len([record for record in caplog.records if record.exc_info]) == 1


@each_path()
def test_a_request_without_a_key(app: App, path: str, form: Form) -> None:
    before = app.received()
    answer = app.ask(path, form.good, key="another")
    assert_error(answer, form.api, Kind.NO_KEY, "Authorization: Bearer KEY")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert app.received() == before


@each_path()
def test_another_method(app: App, path: str, form: Form) -> None:
    answer = app.ask(path, form.good, method="PUT")
    assert_error(answer, form.api, Kind.METHOD, "PUT", "POST")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("path", [path for path in OWNERS if path != "/"])
def test_a_path_below(app: App, path: str) -> None:
    assert_error(app.ask(f"{path}/more", b"{}"), OWNERS[path].api, Kind.PATH, f"{path}/more", "/vectorize")
