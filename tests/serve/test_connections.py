"""Connections: how many requests one carries, those not accepted yet when a server ends, and what is not HTTP."""

import asyncio
import http.client
import socket
from pathlib import Path

import uvicorn

from multi2vec.serve.app import create_app
from multi2vec.serve.connections import COUNT, CountingProtocol, is_last, waiting
from multi2vec.serve.metrics import Metrics
from multi2vec.serve.run import Server as Uvicorn
from multi2vec.serve.service import Service
from multi2vec.serve.settings import Settings
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


def test_connections_that_are_not_accepted_yet() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
        accepted = list(waiting(listener))
        assert {each.getpeername() for each in accepted} == {each.getsockname() for each in clients}
        assert list(waiting(listener)) == []
        for each in (*clients, *accepted):
            each.close()


def test_a_connection_that_waits_while_the_server_closes_is_answered(toy_folder: Path) -> None:
    settings = Settings(model_dir=toy_folder, host="127.0.0.1", port=0, cache_dir=None)

    async def main() -> list[bytes]:
        service = Service(settings, Metrics())
        config = uvicorn.Config(
            create_app(service, lambda error: None),
            host="127.0.0.1",
            port=0,
            http=CountingProtocol,
            log_config=None,
            timeout_graceful_shutdown=5,
        )
        config.load()
        server = Uvicorn(config, service)
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        address = server.servers[0].sockets[0].getsockname()
        # Nothing is awaited between here and the end of the listener, so none of them can have been accepted.
        clients = [socket.create_connection(address) for _ in range(5)]
        for client in clients:
            client.sendall(b"GET /.well-known/live HTTP/1.1\r\nHost: x\r\n\r\n")
        service.drain()
        await server.shutdown()
        answers = []
        for client in clients:
            with client:
                client.settimeout(5)
                answers.append(client.recv(1000))
        return answers

    for answer in asyncio.run(main()):
        assert answer.startswith(b"HTTP/1.1 204")
        assert b"connection: close" in answer.lower()


def test_what_is_not_http_is_counted_and_not_logged(toy_folder: Path) -> None:
    with serving(toy_folder) as server:
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
                client.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
                assert client.recv(1000).startswith(b"HTTP/1.1 400")
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("GET", "/meta", headers=upgrade)
        assert connection.getresponse().status == 200
        connection.close()
        counted = 'multi2vec_refused_total{limit="",reason="invalid_http"} 20.0'
        assert counted in server.get("/metrics").text
        server.stop()
        assert "Invalid HTTP" not in server.log()
        assert "upgrade" not in server.log().lower()
