"""The generator of load: what it counts, and what it takes for an error."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.load import Plan, read_head, run
from tests.benchmarks.session import generate
from tests.server import free_port

GOOD = b'{"textVectors": [[1.0, 0.0]], "imageVectors": []}'


class TinyServer:
    """Answers every request with the same bytes, and counts them."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.bodies: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            while lines.readline():
                length = 0
                while (line := lines.readline()) not in (b"\r\n", b""):
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                with self._lock:
                    self.bodies.append(lines.read(length))
                if not self._answer:
                    return
                time.sleep(0.002)
                # In two parts, as a slow network would deliver it.
                connection.sendall(self._answer[:30])
                connection.sendall(self._answer[30:])


def http(status: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\nserver: tiny\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture
def tiny(request: pytest.FixtureRequest) -> Iterator[TinyServer]:
    server = TinyServer(request.param)
    yield server
    server.close()


def plan(server: TinyServer, **changes: object) -> Plan:
    fields = {"bodies": "", "clients": 4, "seconds": 0.2, "warm_up": 0.05, "answer_key": "textVectors", **changes}
    return Plan(port=server.port, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("tiny", [http("200 OK", GOOD)], indirect=True)
def test_load_counts_the_answers_within_its_window(tiny: TinyServer) -> None:
    result = asyncio.run(run(plan(tiny), [b"one", b"two", b"three"]))

    assert (result.errors, result.first_error) == (0, None)
    assert 0 < len(result.latencies) < len(tiny.bodies)
    assert result.seconds >= 0.2
    assert set(tiny.bodies) == {b"one", b"two", b"three"}
    assert tiny.bodies.count(b"one") - tiny.bodies.count(b"three") in (0, 1)
    assert result.vectors == {"0": [1.0, 0.0], "1": [1.0, 0.0], "2": [1.0, 0.0]}


@pytest.mark.parametrize(
    ("tiny", "says"),
    [
        (http("503 Service Unavailable", b'{"error": "busy"}'), "status 503"),
        (http("200 OK", b'{"textVectors": []}'), "without exactly one vector"),
        (http("200 OK", b'{"textVectors": [[1.0], [1.0]]}'), "without exactly one vector"),
        (http("200 OK", b'{"textVectors": [[NaN]]}'), "without exactly one vector"),
        (http("200 OK", b'{"error": "no"}'), "without exactly one vector"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "without Content-Length"),
        (b"", "closed before the answer"),
    ],
    indirect=["tiny"],
)
def test_load_notices_errors(tiny: TinyServer, says: str) -> None:
    result = asyncio.run(run(plan(tiny), [b"one", b"two"]))

    assert result.errors > 0
    assert says in (result.first_error or "")


def test_load_notices_that_nothing_listens() -> None:
    nothing = Plan(free_port(), "", clients=2, seconds=0.1, answer_key="textVectors")

    result = asyncio.run(run(nothing, [b"one"]))

    assert result.errors == 1
    assert "Connect" in (result.first_error or "")


@pytest.mark.parametrize("tiny", [http("200 OK", GOOD)], indirect=True)
def test_load_in_its_own_process(tiny: TinyServer, tmp_path: Path) -> None:
    bodies = tmp_path / "bodies.jsonl"
    bodies.write_bytes(b'{"texts": ["a"]}\n{"texts": ["b"]}')

    result = generate(plan(tiny, bodies=str(bodies), seconds=0.05))

    assert result["errors"] == 0
    assert set(tiny.bodies) == {b'{"texts": ["a"]}', b'{"texts": ["b"]}'}
    assert result["generator_cpu"] >= 0
    assert result["server_cpu"] is None


def test_read_head() -> None:
    assert read_head(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nx: y") == (200, 12)
    assert read_head(b"HTTP/1.1 404 Not Found\r\nx: y\r\ncontent-length: 0") == (404, 0)
    assert read_head(b"HTTP/1.1 204 No Content\r\nx: y") == (204, None)
