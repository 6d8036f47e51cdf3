"""What tests of dialects share: requests as JSON or byte by byte, and how answers are compared."""

from __future__ import annotations

import http.client
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np

from tests import toy
from tests.server import Server


def raw(server: Server, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """A request with exactly these headers: clients add a Content-Type of their own."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def ask(server: Server, path: str, **body: Any) -> httpx.Response:
    """The answer to a body of JSON."""
    return httpx.post(server.url + path, json=body, timeout=30, trust_env=False)


def answered(server: Server, path: str, **body: Any) -> Any:
    """What the answer holds; it is no error."""
    answer = ask(server, path, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def assert_near(found: Any, expected: Any) -> None:
    """Equal numbers, but for rounding."""
    np.testing.assert_allclose(found, expected, atol=1e-5)


def assert_error(response: httpx.Response, status: int, *words: str) -> None:
    """Weaviate's: the body is `{"error": "…"}` with these words, and nothing else."""
    assert response.status_code == status
    assert set(response.json()) == {"error"}
    assert isinstance(response.json()["error"], str)
    for word in words:
        assert word in response.json()["error"]


def assert_tei_error(answer: httpx.Response, status: int, kind: str, *words: str) -> None:
    """text-embeddings-inference's: `{"error": "…", "error_type": "…"}` with these words."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "error_type"}
    assert answer.json()["error_type"] == kind
    for word in words:
        assert word in answer.json()["error"]


def assert_openai_error(
    answer: httpx.Response, status: int, *words: str, param: str | None = None, beside: Collection[str] = ()
) -> None:
    """OpenAI's: `{"error": {"message", "type", "param", "code"}}` with these words, and these keys beside `error`."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", *beside}
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    for word in words:
        assert word in error["message"]
    if param:
        assert error["param"] == param


def ids_of(text: str) -> list[int]:
    """The toy's token ids of the text."""
    found: list[int] = toy.tokenizer().encode(text).ids
    return found
