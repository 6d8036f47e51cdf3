"""What the server counts, in Prometheus' conventions: base units, `_total` for counters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from multi2vec.engine.observer import LaneObserver, Observer

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics(Observer):
    """All metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = self._counter("http_requests", "Requests answered", "route", "method", "status")
        self.refused = self._counter(
            "refused", "Requests refused, by what was wrong and the setting that was in the way", "reason", "limit"
        )
        self.request_seconds = self._histogram("http_request_duration_seconds", "From head to answer", SECONDS, "route")
        self.items = self._counter(
            "items", "Items that vectors were asked for, by searches and by imports", "modality", "purpose"
        )
        self.deduplicated = self._counter("deduplicated_items", "Equal items of a request", "modality")
        self.truncated = self._counter(
            "truncated_items", "Items longer than the model takes, or than wanted", "modality"
        )
        self.prepare_seconds = self._histogram(
            "prepare_duration_seconds", "Decoding or tokenising an item", SECONDS, "modality"
        )
        self.wait_seconds = self._histogram(
            "queue_wait_seconds", "From queued to taken by a worker", SECONDS, "modality"
        )
        self.encode_seconds = self._histogram(
            "inference_duration_seconds", "Inference of one batch", SECONDS, "modality"
        )
        self.batch_items = self._histogram("batch_items", "Items in one batch", BATCH_SIZES, "modality")
        self.queue_items = self._gauge("queue_items", "Items that wait for a worker", "modality")
        self.admitted_items = self._gauge(
            "admitted_items", "Items that were let in and are not answered yet", "modality"
        )
        self.ready = self._gauge("ready", "1 when the server takes requests")

    def lane(self, modality: str) -> LaneMetrics:
        """The observer of one modality's work."""
        return LaneMetrics(self, modality)

    def truncated_items(self) -> dict[str, int]:
        """How many items were cut so far, by modality."""
        samples = next(iter(self.truncated.collect())).samples
        return {each.labels["modality"]: int(each.value) for each in samples if each.name.endswith("_total")}

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"multi2vec_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"multi2vec_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"multi2vec_{name}", text, labels, buckets=buckets, registry=self.registry)


class LaneMetrics(LaneObserver):
    """Counts one modality's items and batches; label look-ups are made once."""

    def __init__(self, metrics: Metrics, modality: str) -> None:
        self._searched = metrics.items.labels(modality, "search")
        self._imported = metrics.items.labels(modality, "import")
        self._deduplicated = metrics.deduplicated.labels(modality)
        self._truncated = metrics.truncated.labels(modality)
        self._prepare = metrics.prepare_seconds.labels(modality)
        self._wait = metrics.wait_seconds.labels(modality)
        self._encode = metrics.encode_seconds.labels(modality)
        self._batch = metrics.batch_items.labels(modality)
        self._waiting = metrics.queue_items.labels(modality)
        self._admitted = metrics.admitted_items.labels(modality)

    def received(self, items: int, *, is_search: bool) -> None:
        (self._searched if is_search else self._imported).inc(items)

    def deduplicated(self, items: int) -> None:
        self._deduplicated.inc(items)

    def prepared(self, seconds: float) -> None:
        self._prepare.observe(seconds)

    def truncated(self, items: int) -> None:
        self._truncated.inc(items)

    def batch_done(self, waits: Sequence[float], seconds: float) -> None:
        self._encode.observe(seconds)
        self._batch.observe(len(waits))
        for wait in waits:
            self._wait.observe(wait)

    def watch_queue(self, waiting: Callable[[], int], admitted: Callable[[], int]) -> None:
        # Read when they are asked for, not on the hot path.
        self._waiting.set_function(waiting)
        self._admitted.set_function(admitted)
