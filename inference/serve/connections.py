"""Connections: none stays with one of several servers for ever, and none is lost when a server goes."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

COUNT = "multi2vec.requests"


class CountingProtocol(HttpToolsProtocol):
    """HTTP/1.1 that tells the application the how-manieth request of its connection each one is."""

    requests = 0

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.requests += 1
        self.scope["extensions"] = {COUNT: {"count": self.requests}}


def is_last(scope: Scope, most: int) -> bool:
    """Whether this request is its connection's last: the client shall open a new one, perhaps to another server.

    `most` is how many requests a connection may carry; 0: any number.
    """
    count: int = scope.get("extensions", {}).get(COUNT, {}).get("count", 0)
    return 0 < most <= count


def waiting(listener: socket.socket) -> Iterator[socket.socket]:
    """The connections that the kernel has made and nobody has accepted; they would be reset with the listener's end.

    Their clients believe that they are connected, and may have sent a request already.
    """
    with socket.socket(fileno=socket.dup(listener.fileno())) as listening, contextlib.suppress(BlockingIOError):
        listening.setblocking(False)
        while True:
            yield listening.accept()[0]
