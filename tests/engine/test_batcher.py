import asyncio
import threading
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi2vec.engine.batcher import cut
from multi2vec.engine.errors import EncodeFailed, Overloaded
from multi2vec.engine.work import Budget
from tests.engine.batchers import Gate, batcher, until


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
