"""Items larger than a whole batch may be, beside others."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from multi2vec.engine.errors import EncodeFailed, Overloaded
from tests.engine.batchers import Gate, batcher, gated, until


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
