"""API keys: who may ask, in which headers, and how keys change while the server runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests import toy
from tests.server import Server, serving

KEYS = ("first-key", "second key")
BODY = {"texts": ["sun"]}


@pytest.fixture(scope="module")
def locked(toy_folder: Any) -> Iterator[Server]:
    """A server that wants one of two keys."""
    with serving(toy_folder, API_KEYS=", ".join(KEYS), PRECISION="f32") as running:
        yield running


def ask(server: Server, path: str = "/vectorize", method: str = "POST", **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    json = BODY if method == "POST" else None
    return httpx.request(method, server.url + path, json=json, headers=sent, timeout=30, trust_env=False)


def test_without_keys_everybody_may_ask(server: Server) -> None:
    assert ask(server).status_code == 200
    assert ask(server, authorization="Bearer whatever").status_code == 200


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("header", "before"),
    [("authorization", "Bearer "), ("authorization", "bearer "), ("api-key", ""), ("x-api-key", "")],
)
def test_each_key_in_each_header(locked: Server, key: str, header: str, before: str) -> None:
    answer = ask(locked, **{header: before + key})
    assert answer.status_code == 200
    assert len(answer.json()["textVectors"][0]) == toy.DIMENSIONS


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer\t."},
        {"authorization": "Bearer first-ke"},
        {"authorization": "Bearer first-key1"},
        {"authorization": "Bearer FIRST-KEY"},
        {"authorization": "Bearer first-key, second key"},
        {"authorization": "first-key"},
        {"authorization": "Basic first-key"},
        {"api_key": "first"},
        {"x_api_key": ""},
        {"x_key": "first-key"},
    ],
)
def test_others_are_refused(locked: Server, headers: dict[str, str]) -> None:
    answer = ask(locked, **headers)
    assert answer.status_code == 401
    assert set(answer.json()) == {"error"}
    assert "Authorization: Bearer KEY" in answer.json()["error"]
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "x-request-id" in answer.headers


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("//v2/embed/", {"message"}),
        ("/nothing", {"error"}),
    ],
)
def test_the_refusal_has_the_api_s_shape(locked: Server, path: str, keys: set[str]) -> None:
    answer = ask(locked, path)
    assert (answer.status_code, set(answer.json())) == (401, keys)


@pytest.mark.parametrize(
    "path", ["/.well-known/live", "/.well-known/ready", "/health", "/docs", "/openapi.json", "/docs/swagger-ui.css"]
)
def test_what_stays_open(locked: Server, path: str) -> None:
    assert ask(locked, path, "GET").status_code in (200, 204)


@pytest.mark.parametrize("path", ["/meta", "/metrics", "/v1/models", "/info", "/healthy", "/docs.json", "/"])
def test_what_does_not(locked: Server, path: str) -> None:
    assert ask(locked, path, "GET").status_code == 401


def test_openai_s_client(locked: Server) -> None:
    with openai.OpenAI(base_url=f"{locked.url}/v1", api_key=KEYS[0], max_retries=0) as client:
        assert client.embeddings.create(model="toy", input="sun").model == "toy"
    client = openai.OpenAI(base_url=f"{locked.url}/v1", api_key="wrong", max_retries=0)
    with client, pytest.raises(openai.AuthenticationError, match="one of its API keys"):
        client.embeddings.create(model="toy", input="sun")


def test_refusals_are_counted_and_keys_are_nowhere(toy_folder: Any) -> None:
    with serving(toy_folder, API_KEYS="a-secret") as running:
        ask(running, authorization="Bearer a-wrong-one")
        metrics = ask(running, "/metrics", "GET", authorization="Bearer a-secret").text
        assert 'multi2vec_refused_total{limit="",reason="unauthorised"} 1.0' in metrics
        meta = ask(running, "/meta", "GET", authorization="Bearer a-secret").text
        running.stop()
        assert "refused POST /vectorize: 401 unauthorised" in running.log()
        for word in ("a-secret", "a-wrong-one"):
            assert word not in running.log() + metrics + meta


class TestFile:
    def until(self, server: Server, key: str, status: int) -> None:
        deadline = time.monotonic() + 10
        while ask(server, authorization=f"Bearer {key}").status_code != status:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def test_keys_change_while_the_server_runs(self, toy_folder: Any, tmp_path: Path) -> None:
        file = tmp_path / "keys"
        file.write_text("# ours\n old \n\nkept\n")
        with serving(toy_folder, API_KEYS_FILE=file, API_KEYS="fixed") as running:
            for key in ("old", "kept", "fixed"):
                assert ask(running, authorization=f"Bearer {key}").status_code == 200
            for key in ("# ours", "new"):
                assert ask(running, authorization=f"Bearer {key}").status_code == 401
            file.write_text("kept\nnew\n")
            self.until(running, "new", 200)
            assert ask(running, authorization="Bearer old").status_code == 401
            assert ask(running, authorization="Bearer kept").status_code == 200
            # As Kubernetes does it: another file takes its place.
            other = tmp_path / "other"
            other.write_text("newer\n")
            other.rename(file)
            self.until(running, "newer", 200)
            assert ask(running, authorization="Bearer new").status_code == 401

            file.unlink()
            time.sleep(1.5)
            for _ in range(2):
                assert ask(running, authorization="Bearer newer").status_code == 200
            file.write_text("last\n")
            self.until(running, "last", 200)
            running.stop()
            assert running.log().count("stay as they were") == 1

    def test_an_empty_file_lets_nobody_in(self, toy_folder: Any, tmp_path: Path) -> None:
        file = tmp_path / "keys"
        file.write_text("\n# none yet\n")
        with serving(toy_folder, API_KEYS_FILE=file) as running:
            for key in ("Bearer", "Bearer # none yet"):
                assert ask(running, authorization=key).status_code == 401

    def test_one_that_cannot_be_read_ends_the_start(self, toy_folder: Any, tmp_path: Path) -> None:
        server = Server(toy_folder, API_KEYS_FILE=tmp_path / "nothing")
        server.launch()
        status, log = server.ended()
        server.close()
        assert status != 0
        assert "cannot be read" in log
        assert "Traceback" not in log
