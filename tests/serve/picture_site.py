"""A server of pictures on loopback, which does whatever its paths say."""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests import toy

PNG = toy.png(toy.picture(1))

# The pictures' server is at an address that is allowed here; everything else of loopback is not.
ADDRESS, OTHER = "127.0.0.2", "127.0.0.1"
NETWORKS = (ipaddress.ip_network(f"{ADDRESS}/32"),)


class Pictures(BaseHTTPRequestHandler):
    """Answers by path."""

    asked: list[tuple[str, dict[str, str]]]

    def do_GET(self) -> None:
        self.asked.append((self.path, dict(self.headers)))
        name, _, rest = self.path.lstrip("/").partition("?")[0].partition("/")
        getattr(self, f"answer_{name}", self.answer_missing)(rest)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def answer_missing(self, rest: str) -> None:
        self.answer(404, b"a secret")

    def answer_cat(self, rest: str) -> None:
        self.answer(200, PNG)

    def answer_to(self, rest: str) -> None:
        self.answer(302, Location=rest.replace("_", "/"))

    def answer_loop(self, rest: str) -> None:
        self.answer(307, Location="/loop")

    def answer_large(self, rest: str) -> None:
        self.answer(200, b"x" * 5000)

    def answer_endless(self, rest: str) -> None:
        """Says nothing of its length, and never ends by itself."""
        self.send_response(200)
        self.end_headers()
        for _ in range(1000):
            self.wfile.write(b"x" * 1000)

    def answer_short(self, rest: str) -> None:
        """Less than it promises."""
        self.answer(200, PNG[:20], Content_Length=str(len(PNG)))

    def answer_slow(self, rest: str) -> None:
        """A byte at a time, each of them soon enough."""
        self.send_response(200)
        self.end_headers()
        for _ in range(50):
            self.wfile.write(b"x")
            self.wfile.flush()
            time.sleep(0.1)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""

    def handle(self) -> None:
        # Some of the clients here hang up.
        with contextlib.suppress(ConnectionError):
            super().handle()


@contextlib.contextmanager
def running_site() -> Iterator[str]:
    """Its address while it runs, `127.0.0.2:port`."""
    Pictures.asked = []
    server = ThreadingHTTPServer((ADDRESS, 0), Pictures)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"{ADDRESS}:{server.server_port}"
    server.shutdown()
    server.server_close()
