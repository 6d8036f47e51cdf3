import asyncio
import threading
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi2vec.engine.batcher import Batcher, cut
from multi2vec.engine.errors import EncodeFailed, Overloaded
from multi2vec.engine.work import Admission, Budget


class Recorder:
    def __init__(self) -> None:
        self.batches: list[int] = []

    def batch_done(self, waits: Sequence[float], seconds: float) -> None:
        assert all(wait >= 0 for wait in waits)
        self.batches.append(len(waits))


class Gate:
    """A `run` that waits until it is opened, and doubles its items. Negative items fail."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []
        self.open = threading.Event()

    def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.seen.append(list(items))
        assert self.open.wait(10)
        if any(item < 0 for item in items):
            raise EncodeFailed("negative")
        return [2 * item for item in items]


def batcher(run: object, *, workers: int = 1, items: int = 4, queue: int = 1000, seconds: float = 50, **budget: int):
    return Batcher[int, int](
        run,  # type: ignore[arg-type]
        name="test",
        workers=workers,
        budget=Budget(items, **budget),
        admission=Admission(queue, seconds),
        observer=Recorder(),
    )


async def until(condition: object) -> None:
    for _ in range(1000):
        if condition():  # type: ignore[operator]
            return
        await asyncio.sleep(0.005)
    raise TimeoutError


def test_one_item_runs_at_once() -> None:
    async def main() -> None:
        gate = Gate()
        gate.open.set()
        assert await batcher(gate).submit(21) == 42
        assert gate.seen == [[21]]

    asyncio.run(main())


def test_while_one_batch_runs_the_next_collects() -> None:
    async def main() -> None:
        gate = Gate()
        queue = batcher(gate)
        first = queue.submit(1)
        await until(lambda: gate.seen)
        rest = [queue.submit(n) for n in range(2, 8)]
        assert queue.waiting == 6
        gate.open.set()
        assert await asyncio.gather(first, *rest) == [2 * n for n in range(1, 8)]
        assert [len(batch) for batch in gate.seen] == [1, 4, 2]

    asyncio.run(main())


def test_idle_workers_share_what_waits() -> None:
    async def main() -> None:
        gate = Gate()
        queue = batcher(gate, workers=2, items=64)
        jobs = [queue.submit(n) for n in range(10)]
        await until(lambda: len(gate.seen) == 2)
        gate.open.set()
        await asyncio.gather(*jobs)
        assert sorted(len(batch) for batch in gate.seen) == [5, 5]

    asyncio.run(main())


def test_cancelled_items_never_run() -> None:
    async def main() -> None:
        gate = Gate()
        queue = batcher(gate)
        first = queue.submit(1)
        await until(lambda: gate.seen)
        kept, gone = queue.submit(2), queue.submit(3)
        gone.cancel()
        gate.open.set()
        assert await asyncio.gather(first, kept) == [2, 4]
        assert gate.seen == [[1], [2]]

    asyncio.run(main())


def test_a_failure_reaches_its_own_batch_only_and_the_worker_lives_on() -> None:
    async def main() -> None:
        gate = Gate()
        gate.open.set()
        queue = batcher(gate)
        bad = [queue.submit(-1), queue.submit(5)]
        assert all(isinstance(out, EncodeFailed) for out in await asyncio.gather(*bad, return_exceptions=True))
        assert queue.failures_in_row == 1
        assert await queue.submit(4) == 8
        assert queue.failures_in_row == 0

    asyncio.run(main())


def test_a_wrong_number_of_results_is_an_error_not_a_mix_up() -> None:
    async def main() -> None:
        queue = batcher(lambda items: items[1:])
        with pytest.raises(EncodeFailed, match="1 items gave 0 results"):
            await queue.submit(1)

    asyncio.run(main())


def test_a_full_queue_refuses_and_recovers() -> None:
    async def main() -> None:
        queue = batcher(Gate(), queue=10)
        with queue.admit(8):
            with pytest.raises(Overloaded, match="MAX_QUEUE") as error, queue.admit(3):
                pass
            assert error.value.limit == "MAX_QUEUE"
            assert error.value.retry_after >= 1
            with queue.admit(2):
                assert queue.admitted == 10
        assert queue.admitted == 0
        with queue.admit(50):
            """While nothing else waits, even a request longer than the queue is taken."""

    asyncio.run(main())


def test_a_wait_longer_than_callers_wait_is_refused() -> None:
    async def main() -> None:
        def slow(items: Sequence[int]) -> Sequence[int]:
            time.sleep(0.05)
            return items

        queue = batcher(slow, items=1, seconds=1)
        await queue.submit(1)
        with queue.admit(10), pytest.raises(Overloaded, match="MAX_WAIT"), queue.admit(40):
            pass

    asyncio.run(main())


def test_a_batch_that_hangs_shows() -> None:
    async def main() -> None:
        gate = Gate()
        queue = batcher(gate)
        job = queue.submit(1)
        await until(lambda: gate.seen)
        await asyncio.sleep(0.05)
        assert queue.longest_run >= 0.05
        gate.open.set()
        await job
        assert queue.longest_run == 0

    asyncio.run(main())


def gated(seen: list[list[int]], gates: dict[int, threading.Event]) -> object:
    """A `run` that notes its batches, and waits where an item has a gate."""

    def run(items: Sequence[int]) -> Sequence[int]:
        seen.append(list(items))
        for item in items:
            assert item not in gates or gates[item].wait(10)
        return items

    return run


def test_a_long_item_leaves_a_worker_to_the_others() -> None:
    async def main() -> None:
        seen: list[list[int]] = []
        gates = {100: threading.Event(), 101: threading.Event()}
        queue = batcher(gated(seen, gates), workers=2, padded=50)
        long = [queue.submit(item, item) for item in gates]
        await asyncio.gather(*[queue.submit(item, 10) for item in range(9)])
        assert [batch for batch in seen if 100 in batch or 101 in batch] == [[100]]
        gates[100].set()
        await long[0]
        gates[101].set()
        await long[1]
        assert queue.waiting == 0

    asyncio.run(main())


def test_the_only_worker_takes_long_and_short_items_in_turn() -> None:
    async def main() -> None:
        seen: list[list[int]] = []
        gates = {1: threading.Event()}
        queue = batcher(gated(seen, gates), workers=1, padded=50)
        jobs = [queue.submit(1)]
        await until(lambda: seen)
        for item, size in ((2, 10), (100, 100), (3, 10), (101, 101), (4, 10)):
            jobs.append(queue.submit(item, size))
            await asyncio.sleep(0.01)
        gates[1].set()
        await asyncio.gather(*jobs)
        # Short ones that came later run beside an older short one; a long one waits for none that is younger.
        assert seen == [[1], [2, 3, 4], [100], [101]]

    asyncio.run(main())


def test_a_cancelled_long_item_never_runs() -> None:
    async def main() -> None:
        seen: list[list[int]] = []
        gates = {100: threading.Event()}
        queue = batcher(gated(seen, gates), workers=1, padded=50)
        first = queue.submit(100, 100)
        await until(lambda: seen)
        gone, kept = queue.submit(101, 101), queue.submit(102, 102)
        gone.cancel()
        gates[100].set()
        await asyncio.gather(first, kept)
        assert seen == [[100], [102]]

    asyncio.run(main())


def test_a_failed_long_item_gives_its_place_back() -> None:
    async def main() -> None:
        gate = Gate()
        gate.open.set()
        queue = batcher(gate, workers=2, padded=50)
        for _ in range(3):
            with pytest.raises(EncodeFailed):
                await queue.submit(-1, 100)
        assert await queue.submit(50, 100) == 100

    asyncio.run(main())


def test_long_items_do_not_count_in_what_short_ones_have_to_wait() -> None:
    async def main() -> None:
        def run(items: Sequence[int]) -> Sequence[int]:
            time.sleep(0.3 if items[0] >= 100 else 0.001)
            return items

        queue = batcher(run, workers=2, padded=50, seconds=0.5)
        await asyncio.gather(queue.submit(1, 10), queue.submit(100, 100))
        waiting = [queue.submit(item, 100) for item in (101, 102)]
        with queue.admit(20):
            """As many short items are let in."""
        with pytest.raises(Overloaded, match="a long item would take more than 1 s"):
            queue.submit(103, 100)
        await asyncio.gather(*waiting)

    asyncio.run(main())


def test_a_long_item_may_run_for_longer() -> None:
    async def main() -> None:
        seen: list[list[int]] = []
        gates = {100: threading.Event()}
        queue = batcher(gated(seen, gates), workers=1, padded=1)
        job = queue.submit(100, 1000)
        await until(lambda: seen)
        await asyncio.sleep(0.05)
        assert 0 < queue.longest_run < 0.05
        gates[100].set()
        await job

    asyncio.run(main())


falling = st.lists(st.integers(1, 77), max_size=200).map(lambda sizes: sorted(sizes, reverse=True))


@given(falling, st.integers(1, 64), st.integers(1, 4), st.integers(1, 2000), st.integers(0, 500))
def test_cuts_cover_everything_once_within_the_budget(
    sizes: list[int], items: int, workers: int, padded: int, slack: int
) -> None:
    batches = list(cut(sizes, Budget(items, padded, slack), workers))
    assert [n for start, end in batches for n in range(start, end)] == list(range(len(sizes)))
    for start, end in batches:
        batch = sizes[start:end]
        assert len(batch) <= items
        assert len(batch) == 1 or len(batch) * max(batch) <= padded
        assert sum(max(batch) - size for size in batch) <= slack


def test_long_and_short_do_not_share_a_batch() -> None:
    assert list(cut([77, 12, 11, 10], Budget(64, 4096, 48), 1)) == [(0, 1), (1, 4)]
    assert list(cut([14, 12, 11, 10], Budget(64, 4096, 48), 1)) == [(0, 4)]


def test_the_oldest_is_never_passed_over() -> None:
    async def main() -> None:
        gate = Gate()
        queue = batcher(gate, items=2, slack=0)
        first = queue.submit(0)
        await until(lambda: gate.seen)
        jobs = [queue.submit(n, size=size) for n, size in ((1, 5), (2, 9), (3, 9), (4, 5), (5, 9))]
        gate.open.set()
        await asyncio.gather(first, *jobs)
        assert gate.seen == [[0], [1, 4], [2, 3], [5]]

    asyncio.run(main())


def test_a_worker_waits_for_more_items_only_while_another_one_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        gate, seen = threading.Event(), []

        def run(items: Sequence[int]) -> Sequence[int]:
            seen.append(list(items))
            if 0 in items:
                assert gate.wait(20)
            return items

        queue = batcher(run, workers=2, items=8)
        with queue.admit(8):
            slow = queue.submit(0)
            await until(lambda: seen)
            # The second worker, when it has finished, waits for half of the eight, here for as long as it takes.
            monkeypatch.setattr("multi2vec.engine.batcher.REFILL_WAIT", 1e9)
            await queue.submit(1)
            early = queue.submit(2)
            await asyncio.sleep(0.05)
            assert seen == [[0], [1]]
            # From now on it does not wait: what comes then is a batch of its own.
            monkeypatch.setattr("multi2vec.engine.batcher.REFILL_WAIT", 0.0)
            await asyncio.gather(early, *[queue.submit(n) for n in (3, 4, 5)])
            assert seen[2] == [2, 3, 4, 5]
            await queue.submit(6)
            gate.set()
            await slow
        await queue.submit(7)

    asyncio.run(main())
