"""Kept connections: counting their requests, so that none stays with one of several servers for ever."""

from __future__ import annotations

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
