"""Spans of requests for OpenTelemetry. Imported only when `TRACING` is set: the packages are an optional extra.

    POST /v1/embeddings     FastAPI's, under the client's span if it sent `traceparent`
      embed text            one per modality
        prepare             from the first item to the last
        wait                until the first of them is taken by a worker
        encode              from the first batch's start to the last one's end

Where spans go, which are sampled and what the service is called, OpenTelemetry's own variables say (`OTEL_…`). Nothing
of what a request holds is in a span: no text, no picture, no message of an error.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, StatusCode, Tracer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from multi2vec import __version__
from multi2vec.engine.errors import ClientError
from multi2vec.engine.observer import Batch
from multi2vec.serve import edge
from multi2vec.serve.metrics import LaneMetrics, Metrics
from multi2vec.serve.routes import OWNER

# The Helm chart leaves 3 s after the last request until the process is killed.
FLUSH_SECONDS = 2.0

# While a collector is down, OpenTelemetry writes lines for each batch of spans and each try to send it.
REPEAT_SECONDS = 60.0

REDACTED = "REDACTED"


def start() -> Tracing:
    """As the environment says. Raises `ValueError` for what OpenTelemetry cannot use of it."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(Seldom())
    return Tracing()


class Tracing:
    """Makes spans and sends them, from a thread of its own."""

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        """`exporter`: instead of OTLP's."""
        named = Resource({"service.name": "multi2vec-openvino", "service.version": __version__})
        # The environment's names win. `create` adds the SDK's, and would let ours win.
        resource = Resource.create(named.merge(OTELResourceDetector().detect()).attributes)
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("multi2vec", __version__)

    def metrics(self) -> Metrics:
        """Metrics that make spans as well, of what the engine tells."""
        return TracedMetrics(self._tracer)

    def telemetry(self, is_left_out: Callable[[Scope], bool]) -> TelemetryConfig:
        """How FastAPI makes spans of all requests but those that are left out."""
        return TelemetryConfig(
            tracer_provider=self._provider,
            tracing=True,
            metrics=False,
            logs=False,
            operation_spans=False,
            auto_configure=False,
            exclude=is_left_out,
        )

    @property
    def middleware(self) -> type[Spans]:
        """What stands around the edge."""
        return Spans

    def trace_id(self, scope: Scope) -> str:
        """The id of the request's trace, 32 hexadecimal digits; where it has no span, its client's, or ""."""
        context = trace.get_current_span().get_span_context()
        return trace.format_trace_id(context.trace_id) if context.is_valid else edge.trace_id(scope)

    def close(self) -> bool:
        """Send what is left, for `FLUSH_SECONDS` at most. Returns whether that was enough."""
        # The provider would wait for half a minute; a thread that is a daemon keeps no process from ending.
        flush = threading.Thread(target=self._provider.shutdown, name="flush-spans", daemon=True)
        flush.start()
        flush.join(FLUSH_SECONDS)
        return not flush.is_alive()


class Spans:
    """ASGI, between FastAPI's span and the edge: says in the span what only we know."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        span = trace.get_current_span()
        if scope["type"] != "http" or not span.is_recording():
            await self._app(scope, receive, send)
            return
        if scope["query_string"]:
            # Nothing here reads it, but some client may write a text or a key into it.
            span.set_attribute("url.query", REDACTED)

        async def send_named(message: Message) -> None:
            # FastAPI ends the span with the last message.
            if message["type"] == "http.response.start" and (owner := scope.get(OWNER)):
                span.set_attribute("multi2vec.api", owner.name)
            await send(message)

        await self._app(scope, receive, send_named)


class TracedMetrics(Metrics):
    """The metrics, and spans of what goes on beneath a request."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer

    def lane(self, modality: str) -> LaneMetrics:
        """The observer of one modality's work."""
        return TracedLane(self, self._tracer, modality)


@dataclass
class _Work:
    """What is known so far of one request's items of a modality; `prepared`: start and end of each."""

    span: Span
    prepared: list[tuple[float, float]] = field(default_factory=list)


_work: ContextVar[_Work | None] = ContextVar("work", default=None)


class TracedLane(LaneMetrics):
    """Counts one modality's items and batches, and makes spans of them where a request has one."""

    def __init__(self, metrics: Metrics, tracer: Tracer, modality: str) -> None:
        super().__init__(metrics, modality)
        self._tracer = tracer
        self._modality = modality

    @contextmanager
    def embedding(self) -> Iterator[None]:
        # The examples at the start belong to no request, and most requests may not be sampled.
        if not trace.get_current_span().is_recording():
            yield
            return
        with self._tracer.start_as_current_span(
            f"embed {self._modality}",
            attributes={"multi2vec.modality": self._modality},
            # An error's message can quote the request.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            token = _work.set(_Work(span))
            try:
                yield
            except Exception as error:
                if not isinstance(error, ClientError):
                    span.set_attribute("error.type", type(error).__qualname__)
                    span.set_status(StatusCode.ERROR)
                raise
            finally:
                _work.reset(token)

    def received(self, items: int, *, is_search: bool) -> None:
        super().received(items, is_search=is_search)
        if work := _work.get():
            purpose = "search" if is_search else "import"
            work.span.set_attributes({"multi2vec.items": items, "multi2vec.purpose": purpose})

    def prepared(self, seconds: float) -> None:
        super().prepared(seconds)
        if work := _work.get():
            ended = time.perf_counter()
            work.prepared.append((ended - seconds, ended))

    def embedded(self, tokens: Sequence[int], truncated: int, batches: Iterable[Batch]) -> None:
        super().embedded(tokens, truncated, batches)
        work = _work.get()
        if work is None:
            return
        work.span.set_attributes({"multi2vec.tokens": sum(tokens), "multi2vec.truncated": truncated})
        ran = set(batches)
        if not ran:
            return
        started = min(batch.started for batch in ran)
        self._phase("prepare", min(start for start, _ in work.prepared), max(end for _, end in work.prepared))
        # An item is queued as soon as it is prepared.
        self._phase("wait", min(end for _, end in work.prepared), started)
        # Of a batch, all items count: those of other requests as well.
        shared = {"multi2vec.batches": len(ran), "multi2vec.batch_items": sum(batch.items for batch in ran)}
        self._phase("encode", started, max(batch.ended for batch in ran), shared)

    def _phase(self, name: str, started: float, ended: float, attributes: dict[str, Any] | None = None) -> None:
        span = self._tracer.start_span(name, attributes=attributes, start_time=_wall_clock(started))
        span.end(_wall_clock(ended))


def _wall_clock(moment: float) -> int:
    """A moment of `time.perf_counter`, in nanoseconds since 1970."""
    return time.time_ns() - round((time.perf_counter() - moment) * 1e9)


class Seldom(logging.Filter):
    """Of the lines that OpenTelemetry writes, lets each kind pass once in `REPEAT_SECONDS`; all others always."""

    def __init__(self) -> None:
        super().__init__()
        self._next: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record may pass."""
        if not record.name.startswith("opentelemetry."):
            return True
        # Before its arguments are filled in: these are few.
        kind, now = str(record.msg), time.monotonic()
        if now < self._next.get(kind, 0.0):
            return False
        self._next[kind] = now + REPEAT_SECONDS
        return True
