"""Connections: closed after so many requests, so that clients spread over servers; and those that came too late.

When a server ends, the kernel may hold connections that it has made and the server has not accepted yet. They are
answered, too.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

COUNT = "multi2vec.requests"
INVALID = "Invalid HTTP request received."


class CountingProtocol(HttpToolsProtocol):
    """HTTP/1.1 that tells the application which request of its connection each one is: the first, the second, …"""

    requests = 0
    on_invalid: Callable[[], None] = staticmethod(lambda: None)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.requests += 1
        self.scope["extensions"] = {COUNT: {"count": self.requests}}

    def send_400_response(self, msg: str) -> None:
        """What came is not HTTP. It is counted; a line in the log for each would let anybody fill it."""
        self.on_invalid()
        super().send_400_response(msg)

    def _unsupported_upgrade_warning(self) -> None:
        """The request is answered as if it had not asked for WebSocket; that, too, is not worth a line each time."""


def counting(on_invalid: Callable[[], None]) -> type[CountingProtocol]:
    """The protocol, calling `on_invalid` for each request that is not HTTP instead of logging it."""
    logging.getLogger("uvicorn.error").addFilter(lambda record: record.msg != INVALID)
    return type("Protocol", (CountingProtocol,), {"on_invalid": staticmethod(on_invalid)})


def is_last(scope: Scope, most: int) -> bool:
    """Whether this request is its connection's last: the client shall open a new one, perhaps to another server.

    `most` is how many requests a connection may carry; 0: any number.
    """
    count: int = scope.get("extensions", {}).get(COUNT, {}).get("count", 0)
    return 0 < most <= count


def waiting(listener: socket.socket) -> Iterator[socket.socket]:
    """The connections that the kernel has made and that are not accepted yet; closing the listener would reset them.

    Their clients believe that they are connected, and may have sent a request already.
    """
    with socket.socket(fileno=socket.dup(listener.fileno())) as listening, contextlib.suppress(BlockingIOError):
        listening.setblocking(False)
        while True:
            yield listening.accept()[0]
