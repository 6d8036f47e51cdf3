"""What the engine tells of its work. These classes ignore it; the server's metrics override them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

UNWATCHED = nullcontext()


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch that ran: how many items it had, of all requests, and from when to when, by `time.perf_counter`."""

    items: int
    started: float
    ended: float


class LaneObserver:
    """Told of one modality's items and batches."""

    def embedding(self) -> AbstractContextManager[None]:
        """Entered for the items of one request. What is told of them is told inside, in that context (`contextvars`);
        of batches, which belong to several requests, outside."""
        return UNWATCHED

    def received(self, items: int, *, is_search: bool) -> None:
        """So many items were asked for, by somebody who waits to search with them or by an import."""

    def deduplicated(self, items: int) -> None:
        """So many of them were equal to another of the same request."""

    def prepared(self, seconds: float) -> None:
        """An item was prepared in so many seconds."""

    def truncated(self, items: int) -> None:
        """So many items were longer than the model takes, or than wanted, and were cut."""

    def embedded(self, tokens: Sequence[int], truncated: int, batches: Iterable[Batch]) -> None:
        """The request's items have their vectors, with so many tokens each; so many were cut. `batches` are those that
        they ran in, some of them several times."""

    def batch_done(self, waits: Sequence[float], seconds: float) -> None:
        """A batch ran for `seconds`; its items had waited `waits` seconds."""

    def watch_queue(self, waiting: Callable[[], int], admitted: Callable[[], int]) -> None:
        """Where to read how many items wait for a worker, and how many are not answered yet."""


class Observer:
    """Told of everything, by modality."""

    def lane(self, modality: str) -> LaneObserver:
        """The observer of one modality."""
        return LaneObserver()
