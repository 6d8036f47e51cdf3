"""Batchers whose batches a test sees, and holds up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from multi2vec.engine.batcher import Batcher
from multi2vec.engine.errors import EncodeFailed
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


def gated(seen: list[list[int]], gates: dict[int, threading.Event]) -> object:
    """A `run` that notes its batches, and waits where an item has a gate."""

    def run(items: Sequence[int]) -> Sequence[int]:
        seen.append(list(items))
        for item in items:
            assert item not in gates or gates[item].wait(10)
        return items

    return run
