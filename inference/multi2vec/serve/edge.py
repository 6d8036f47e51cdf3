"""What every request passes on its way in and out: path, request id, metrics, access log, and unexpected exceptions.

Plain ASGI, because this runs for each request.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from multi2vec.serve import logs
from multi2vec.serve.connections import is_last
from multi2vec.serve.errors import Failure
from multi2vec.serve.metrics import Metrics

logger = logging.getLogger(__name__)
access = logging.getLogger("multi2vec.access")

SLASHES = re.compile("/{2,}")
REQUEST_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)
# Version ff and ids of zeros alone are not valid; later versions may have more at the end.
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

ErrorRenderer = Callable[[Scope, Failure], Response]


class Edge:
    """The outermost layer. `render_error(scope, failure)` gives an answer in the API's own shape, `refuse(scope)` one
    to those who may not ask, `trace_of(scope)` the id of its trace."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        prefix: str,
        metrics: Metrics,
        fingerprint: str,
        render_error: ErrorRenderer,
        refuse: Callable[[Scope], Response | None],
        is_draining: Callable[[], bool],
        requests_per_connection: int,
        access_log: bool,
        trace_of: Callable[[Scope], str],
    ) -> None:
        self._app = app
        self._prefix = prefix
        self._metrics = metrics
        self._fingerprint = (b"x-model-fingerprint", fingerprint.encode())
        self._render_error = render_error
        self._refuse = refuse
        self._is_draining = is_draining
        self._requests_per_connection = requests_per_connection
        self._access_log = access_log
        self._trace_of = trace_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["path"] = clean_path(scope["path"], self._prefix)
        trace = self._trace_of(scope)
        identity = request_id(scope, trace)
        logs.request_id.set(identity)
        logs.trace_id.set(trace)
        started = time.perf_counter()
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += [(b"x-request-id", identity.encode()), self._fingerprint]
                if self._is_draining() or is_last(scope, self._requests_per_connection):
                    # The client shall open its next connection elsewhere instead of losing a request on this one.
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            await (self._refuse(scope) or self._app)(scope, receive, send_marked)
        except Exception:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            if not status:
                sentence = f"the server failed; its log has the reason under request id {identity}"
                failure = Failure(500, "internal", sentence)
                await self._render_error(scope, failure)(scope, receive, send_marked)
        self._count(scope, status, time.perf_counter() - started)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.requests.labels(route, method, status).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        if self._access_log:
            access.info("%s %s %d %.1f ms", scope["method"], scope["path"], status, seconds * 1000)


def clean_path(path: str, prefix: str) -> str:
    """The path with single slashes, without a trailing one and without the prefix."""
    path = SLASHES.sub("/", path)
    if len(path) > 1:
        path = path.rstrip("/")
    if prefix and (path == prefix or path.startswith(prefix + "/")):
        path = path[len(prefix) :] or "/"
    return path


def request_id(scope: Scope, trace: str = "") -> str:
    """The client's `x-request-id` if it is harmless, else its trace's id, else a new one."""
    given = _header(scope, b"x-request-id")
    return given if REQUEST_ID.fullmatch(given) else trace or uuid.uuid4().hex


def trace_id(scope: Scope) -> str:
    """The id in the client's `traceparent` (W3C Trace Context, section 3.2), 32 hexadecimal digits; "" without one."""
    found = TRACEPARENT.fullmatch(_header(scope, b"traceparent"))
    return found[1] if found else ""


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for each, value in scope["headers"] if each == name), "")
