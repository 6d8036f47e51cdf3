"""Forms batches out of items that wait, and runs them on threads. Knows no machine learning.

There is no batching window: an idle batcher starts with the first item at once, and while all workers are busy the
next batches collect. There is one exception: a worker that has just finished, while another one still runs, waits for a
moment until more items have come. The clients that it answered are about to send as many again, and without that wait
batches would shrink to one item each. Items of all requests go into the same batches. A batch is formed out of items of
similar size, because each is padded to the largest beside it.

An item larger than a whole batch may be (a text of thousands of tokens) runs for as long as many batches. Such long
items have a queue of their own, and where there are several workers, one is left to the others.
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
    is_long: bool
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
        self._long = _LongItems[Item, Result](max(1, workers - 1))
        self._wakeup: asyncio.Handle | None = None
        # When each batch was started, and how many full batches' worth it is.
        self._running: dict[int, tuple[float, float]] = {}
        self._seconds_per_item = 0.0
        # Idle workers start nothing until so many items wait, or the timer goes off, or no batch runs any more.
        self._refill = 0
        self._timer: asyncio.Handle | None = None
        self.admitted = 0
        self.failures_in_row = 0

    @property
    def waiting(self) -> int:
        """Items that no worker has taken yet."""
        return len(self._waiting) + len(self._long.waiting)

    @property
    def longest_run(self) -> float:
        """Seconds that a batch now running has taken already, the longest of them; 0 when none is.

        Of a long item it is the seconds for each full batch's worth.
        """
        now = time.monotonic()
        return max(((now - started) / worth for started, worth in self._running.values()), default=0.0)

    @contextmanager
    def admit(self, items: int) -> Iterator[None]:
        """A permit for so many items, taken before any work is done for them. Raises `Overloaded`."""
        estimate = (self.admitted - self._long.in_hand + items) * self._seconds_per_item
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
        """Queue an item. Cancelling the future takes it out of the queue again.

        Raises `Overloaded` for a long one that would have to wait too long for those before it.
        """
        loop = asyncio.get_running_loop()
        job = _Job[Item, Result](item, size, self._budget.batches(size) > 1, loop.create_future())
        if job.is_long:
            self._long.add(job, self._admission)
        else:
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
        if (long := self._long.take(self._waiting[0].queued if self._waiting else math.inf)) is not None:
            return [long]
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
        self._running[key] = started, max(1.0, self._budget.batches(jobs[0].size))
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
            if not jobs[0].is_long:
                per_item = seconds / len(jobs) / self._workers
                self._seconds_per_item = smoothed(self._seconds_per_item, per_item)
            for job, result in zip(jobs, outcome, strict=True):
                if not job.future.done():
                    job.future.set_result(result)
        if jobs[0].is_long:
            self._long.done(jobs[0], seconds)
        elif self._running:
            share = math.ceil(self.admitted / self._workers)
            self._hold_back(min(share, self._budget.items), REFILL_WAIT * seconds)
        self._dispatch()
        self._observer.batch_done([started - job.queued for job in jobs], seconds)


class _LongItems(Generic[Item, Result]):
    """Those that wait, and those that run, `most` at a time."""

    def __init__(self, most: int) -> None:
        self.waiting: deque[_Job[Item, Result]] = deque()
        self._most = most
        self._running = 0
        self._seconds_per_size = 0.0

    @property
    def in_hand(self) -> int:
        """Those that wait or run."""
        return len(self.waiting) + self._running

    def add(self, job: _Job[Item, Result], admission: Admission) -> None:
        """Queue it. Raises `Overloaded` when those before it would take too long."""
        before = sum(each.size for each in self.waiting if not each.future.done())
        estimate = before * self._seconds_per_size / self._most
        if estimate > admission.seconds:
            raise Overloaded(
                f"the answer to a long item would take more than {estimate:.0f} s, longer than {admission.seconds:g} s",
                limit="MAX_WAIT",
                retry_after=max(1, math.ceil(estimate - admission.seconds)),
            )
        self.waiting.append(job)

    def take(self, queued_before: float) -> _Job[Item, Result] | None:
        """The oldest, if it was queued before that and may run now."""
        while self.waiting and self.waiting[0].future.done():
            self.waiting.popleft()
        if not self.waiting or self._running >= self._most or self.waiting[0].queued > queued_before:
            return None
        self._running += 1
        return self.waiting.popleft()

    def done(self, job: _Job[Item, Result], seconds: float) -> None:
        """It ran, well or not."""
        self._running -= 1
        self._seconds_per_size = smoothed(self._seconds_per_size, seconds / job.size)


def smoothed(known: float, newest: float) -> float:
    """The estimate after one more measurement; 0 while there is none."""
    return known + SMOOTHING * (newest - known) if known else newest


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
