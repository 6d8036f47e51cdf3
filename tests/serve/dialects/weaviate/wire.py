"""What tests of Weaviate's dialects share: requests byte by byte, and the shape of errors."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import httpx

from tests.server import Server


def raw(server: Server, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """A request with exactly these headers: clients add a Content-Type of their own."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def assert_error(response: httpx.Response, status: int, *words: str) -> None:
    """Its body is `{"error": "…"}` with these words, and nothing else."""
    assert response.status_code == status
    assert set(response.json()) == {"error"}
    assert isinstance(response.json()["error"], str)
    for word in words:
        assert word in response.json()["error"]
