"""Kept connections: how many requests one carries."""

import http.client
from pathlib import Path

from inference.serve.connections import COUNT, is_last
from tests.server import Server, serving


def closes(server: Server, requests: int) -> list[bool]:
    """After which of so many requests on one connection the server said that it closes."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    said = []
    for _ in range(requests):
        connection.request("GET", "/meta")
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
        said.append(answer.getheader("connection") == "close")
    connection.close()
    return said


def test_a_connection_is_closed_after_so_many_requests_and_the_next_one_counts_anew(toy_folder: Path) -> None:
    with serving(toy_folder, MAX_REQUESTS_PER_CONNECTION=3) as server:
        # http.client opens the next connection by itself when the server closed one.
        assert closes(server, 7) == [False, False, True, False, False, True, False]


def test_without_a_limit_none_is(server: Server) -> None:
    assert not any(closes(server, 50))


def test_the_request_that_reaches_the_limit_is_the_last() -> None:
    scope = {"type": "http", "extensions": {COUNT: {"count": 5}}}
    assert [is_last(scope, most) for most in (0, 4, 5, 6)] == [False, True, True, False]
    assert not is_last({"type": "http"}, 5)
