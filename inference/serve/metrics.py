"""What the server counts, in Prometheus' conventions: base units, `_total` for counters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """All metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = self._counter("http_requests", "Requests answered", "route", "method", "status")
        self.request_seconds = self._histogram("http_request_duration_seconds", "From head to answer", SECONDS, "route")
        self.items = self._counter("items", "Texts and pictures turned into vectors", "modality")
        self.deduplicated = self._counter("deduplicated_items", "Equal items of a request", "modality")
        self.truncated = self._counter("truncated_texts", "Texts longer than the model takes")
        self.prepare_seconds = self._histogram(
            "prepare_duration_seconds", "Decoding or tokenising an item", SECONDS, "modality"
        )
        self.wait_seconds = self._histogram("queue_wait_seconds", "From queued to taken by a worker", SECONDS, "tower")
        self.encode_seconds = self._histogram("inference_duration_seconds", "Inference of one batch", SECONDS, "tower")
        self.batch_items = self._histogram("batch_items", "Items in one batch", BATCH_SIZES, "tower")
        self.queue_items = self._gauge("queue_items", "Items that wait for a worker", "tower")
        self.admitted_items = self._gauge("admitted_items", "Items that were let in and are not answered yet", "tower")
        self.ready = self._gauge("ready", "1 when the server takes requests")

    def tower(self, name: str) -> TowerMetrics:
        """The observer for one tower's batcher."""
        return TowerMetrics(self, name)

    def watch_queue(self, tower: str, waiting: Callable[[], int], admitted: Callable[[], int]) -> None:
        """Read the queue's lengths when they are asked for, not on the hot path."""
        self.queue_items.labels(tower).set_function(waiting)
        self.admitted_items.labels(tower).set_function(admitted)

    @property
    def truncated_texts(self) -> int:
        """How many texts were cut so far."""
        return int(next(iter(self.truncated.collect())).samples[0].value)

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"multi2vec_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"multi2vec_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"multi2vec_{name}", text, labels, buckets=buckets, registry=self.registry)


class TowerMetrics:
    """Counts one tower's batches; label look-ups are made once."""

    def __init__(self, metrics: Metrics, tower: str) -> None:
        self._wait = metrics.wait_seconds.labels(tower)
        self._encode = metrics.encode_seconds.labels(tower)
        self._items = metrics.batch_items.labels(tower)

    def batch_done(self, waits: Sequence[float], seconds: float) -> None:
        """One batch ran for `seconds`; its items had waited `waits` seconds."""
        self._encode.observe(seconds)
        self._items.observe(len(waits))
        for wait in waits:
            self._wait.observe(wait)
