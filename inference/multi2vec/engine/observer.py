"""What the engine tells of its work. These classes ignore it; the server's metrics override them."""

from __future__ import annotations

from collections.abc import Callable, Sequence


class LaneObserver:
    """Told of one modality's items and batches."""

    def received(self, items: int, *, is_search: bool) -> None:
        """So many items were asked for, by somebody who waits to search with them or by an import."""

    def deduplicated(self, items: int) -> None:
        """So many of them were equal to another of the same request."""

    def prepared(self, seconds: float) -> None:
        """An item was prepared in so many seconds."""

    def truncated(self, items: int) -> None:
        """So many items were longer than the model takes, or than wanted, and were cut."""

    def batch_done(self, waits: Sequence[float], seconds: float) -> None:
        """A batch ran for `seconds`; its items had waited `waits` seconds."""

    def watch_queue(self, waiting: Callable[[], int], admitted: Callable[[], int]) -> None:
        """Where to read how many items wait for a worker, and how many are not answered yet."""


class Observer:
    """Told of everything, by modality."""

    def lane(self, modality: str) -> LaneObserver:
        """The observer of one modality."""
        return LaneObserver()
