"""Forms batches out of items that wait, and runs them on threads. Knows no machine learning.

There is no batching window: an idle batcher starts with the first item at once, and while all workers are busy the
next batches collect. There is one exception: a worker that has just finished, while another one still runs, waits for a
moment until more items have come. The clients that it answered are about to send as many again, and without that wait
batches would shrink to one item each. Items of all requests go into the same batches. A batch is formed out of items of
similar size, because each is padded to the largest beside it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from multi2vec.engine.errors import EncodeFailed, Overloaded
from multi2vec.engine.work import Admission, Budget

Item = TypeVar("Item")
Result = TypeVar("Result")

# How long a worker that has just finished waits for more items, as a share of the time that its last batch took.
REFILL_WAIT = 0.25

# A batch is formed out of so many times as many of the oldest items as it may hold.
LOOKAHEAD = 4

# How fast the estimate of seconds per item follows the last batch.
SMOOTHING = 0.2


class Observer(Protocol):
    """Told of each batch that ran."""

    def batch_done(self, waits: Sequence[float], seconds: float) -> None:
        """`waits`: seconds each item waited; `seconds`: how long the batch ran."""


@dataclass(eq=False)
class _Job(Generic[Item, Result]):
    item: Item
    size: int
    future: asyncio.Future[Result]
    queued: float = field(default_factory=time.monotonic)


class Batcher(Generic[Item, Result]):
    """A queue in front of `workers` threads, each of which calls `run` with one batch at a time.

    `run` gets a batch of items and returns as many results, in the same order. What it raises reaches every item of
    that batch and nothing else. Everything but `run` happens on the event loop.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        name: str,
        workers: int,
        budget: Budget,
        admission: Admission,
        observer: Observer,
    ) -> None:
        self._run = run
        self._budget = budget
        self._admission = admission
        self._observer = observer
        self._workers = workers
        self._idle = workers
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix=f"encode-{name}")
        self._waiting: deque[_Job[Item, Result]] = deque()
        self._wakeup: asyncio.Handle | None = None
        self._running: dict[int, float] = {}
        self._seconds_per_item = 0.0
        # Idle workers start nothing until so many items wait, or the timer goes off, or no batch runs any more.
        self._refill = 0
        self._timer: asyncio.Handle | None = None
        self.admitted = 0
        self.failures_in_row = 0

    @property
    def waiting(self) -> int:
        """Items that no worker has taken yet."""
        return len(self._waiting)

    @property
    def longest_run(self) -> float:
        """Seconds since the oldest batch now running was started; 0 when none is."""
        return time.monotonic() - min(self._running.values()) if self._running else 0.0

    @contextmanager
    def admit(self, items: int) -> Iterator[None]:
        """A permit for so many items, taken before any work is done for them. Raises `Overloaded`."""
        estimate = (self.admitted + items) * self._seconds_per_item
        # One request may be longer than the limit when it is alone: refusing it for ever would help nobody.
        if self.admitted and self.admitted + items > self._admission.items:
            raise Overloaded(
                f"{self.admitted} items are waiting and the limit is {self._admission.items}",
                limit="MAX_QUEUE",
                retry_after=max(1, math.ceil(self.admitted * self._seconds_per_item)),
            )
        if self.admitted and estimate > self._admission.seconds:
            raise Overloaded(
                f"the answer would take about {estimate:.0f} s, longer than {self._admission.seconds:g} s",
                limit="MAX_WAIT",
                retry_after=max(1, math.ceil(estimate - self._admission.seconds)),
            )
        self.admitted += items
        try:
            yield
        finally:
            self.admitted -= items

    def submit(self, item: Item, size: int = 1) -> asyncio.Future[Result]:
        """Queue an item. Cancelling the future takes it out of the queue again."""
        loop = asyncio.get_running_loop()
        job = _Job[Item, Result](item, size, loop.create_future())
        self._waiting.append(job)
        if self._idle and self._wakeup is None:
            # At the end of this turn of the loop, so that items that arrive together go together.
            self._wakeup = loop.call_soon(self._dispatch)
        return job.future

    def close(self, *, wait: bool = False) -> None:
        """Let go of the threads; what runs is finished, and with `wait` before this returns."""
        self._executor.shutdown(wait=wait, cancel_futures=True)

    def _dispatch(self) -> None:
        self._wakeup = None
        if self._refill and self._running and self.waiting < self._refill:
            return
        self._hold_back(0, 0.0)
        while self._idle and (jobs := self._take()):
            self._start(jobs)

    def _hold_back(self, items: int, seconds: float) -> None:
        """Let idle workers start nothing until so many items wait, for so many seconds at most."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._refill = items
        if items:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._stop_waiting)

    def _stop_waiting(self) -> None:
        self._refill, self._timer = 0, None
        self._dispatch()

    def _take(self) -> list[_Job[Item, Result]]:
        """The next batch: the oldest item and those that go well with it, so that nothing starves."""
        oldest: list[_Job[Item, Result]] = []
        while self._waiting and len(oldest) < LOOKAHEAD * self._budget.items:
            job = self._waiting.popleft()
            # A cancelled one: its client hung up.
            if not job.future.done():
                oldest.append(job)
        order = sorted(range(len(oldest)), key=lambda index: -oldest[index].size)
        for start, end in cut([oldest[index].size for index in order], self._budget, self._idle):
            chosen = order[start:end]
            if 0 in chosen:
                taken = set(chosen)
                self._waiting.extendleft(oldest[i] for i in reversed(range(len(oldest))) if i not in taken)
                return [oldest[index] for index in chosen]
        return []

    def _start(self, jobs: list[_Job[Item, Result]]) -> None:
        self._idle -= 1
        started = time.monotonic()
        key = id(jobs)
        self._running[key] = started
        loop = asyncio.get_running_loop()
        done = self._executor.submit(self._run_checked, [job.item for job in jobs])
        done.add_done_callback(
            lambda outcome: loop.call_soon_threadsafe(
                self._finish, key, jobs, started, outcome.exception() or outcome.result()
            )
        )

    def _run_checked(self, items: Sequence[Item]) -> Sequence[Result]:
        results = self._run(items)
        if len(results) != len(items):
            raise EncodeFailed(f"{len(items)} items gave {len(results)} results")
        return results

    def _finish(
        self,
        key: int,
        jobs: list[_Job[Item, Result]],
        started: float,
        outcome: Sequence[Result] | BaseException,
    ) -> None:
        self._idle += 1
        del self._running[key]
        seconds = time.monotonic() - started
        if isinstance(outcome, BaseException):
            self.failures_in_row += 1
            for job in jobs:
                if not job.future.done():
                    job.future.set_exception(outcome)
        else:
            self.failures_in_row = 0
            self._learn(seconds / len(jobs) / self._workers)
            for job, result in zip(jobs, outcome, strict=True):
                if not job.future.done():
                    job.future.set_result(result)
        if self._running:
            share = math.ceil(self.admitted / self._workers)
            self._hold_back(min(share, self._budget.items), REFILL_WAIT * seconds)
        self._dispatch()
        self._observer.batch_done([started - job.queued for job in jobs], seconds)

    def _learn(self, seconds_per_item: float) -> None:
        if self._seconds_per_item == 0.0:
            self._seconds_per_item = seconds_per_item
        self._seconds_per_item += SMOOTHING * (seconds_per_item - self._seconds_per_item)


def cut(sizes: Sequence[int], budget: Budget, workers: int) -> Iterator[tuple[int, int]]:
    """Where to cut items into batches: ranges of `sizes`, which fall from the largest.

    Idle workers share the items evenly; each batch stays within the budget.
    """
    most = min(budget.items, max(1, math.ceil(len(sizes) / max(1, workers))))
    start, waste = 0, 0
    for index, size in enumerate(sizes):
        largest, count = sizes[start], index - start + 1
        waste += largest - size
        full = count > most
        heavy = budget.padded is not None and count > 1 and count * largest > budget.padded
        uneven = budget.slack is not None and waste > budget.slack
        if full or heavy or uneven:
            yield start, index
            start, waste = index, 0
    if start < len(sizes):
        yield start, len(sizes)
