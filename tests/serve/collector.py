"""A stand-in for an OpenTelemetry collector: takes spans by OTLP over HTTP on loopback, and keeps them."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message

PATIENCE = 20.0


@dataclass(frozen=True)
class Span:
    """A span as it was sent, ids in hexadecimal digits."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    start: int
    end: int
    attributes: dict[str, Any]
    is_error: bool


class Collector:
    """What was sent so far."""

    def __init__(self) -> None:
        self.port = 0
        self.resources: list[dict[str, Any]] = []
        self.spans: list[Span] = []
        self.raw = b""

    @property
    def url(self) -> str:
        """For `OTEL_EXPORTER_OTLP_ENDPOINT`."""
        return f"http://127.0.0.1:{self.port}"

    def wait(self, name: str, count: int = 1) -> list[Span]:
        """The spans of that name, once there are so many."""
        deadline = time.monotonic() + PATIENCE
        while len(found := self.named(name)) < count:
            assert time.monotonic() < deadline, f"of {name!r} there are {len(found)} in {[s.name for s in self.spans]}"
            time.sleep(0.02)
        return found

    def named(self, name: str) -> list[Span]:
        """The spans of that name."""
        return [span for span in self.spans if span.name == name]

    def below(self, parent: Span) -> dict[str, Span]:
        """The spans right beneath one, by name."""
        return {span.name: span for span in self.spans if span.parent == parent.id}

    def take(self, body: bytes) -> None:
        """One request of an exporter."""
        request = ExportTraceServiceRequest.FromString(body)
        self.raw += body
        for resource in request.resource_spans:
            self.resources.append(_values(resource.resource.attributes))
            self.spans += [_span(each) for scope in resource.scope_spans for each in scope.spans]


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens until the end of the block."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.take(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def _span(message: Any) -> Span:
    return Span(
        message.name,
        message.trace_id.hex(),
        message.span_id.hex(),
        message.parent_span_id.hex(),
        message.kind,
        message.start_time_unix_nano,
        message.end_time_unix_nano,
        _values(message.attributes),
        message.status.code == message.status.STATUS_CODE_ERROR,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


SERVER = Message.SPAN_KIND_SERVER
