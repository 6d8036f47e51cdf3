"""The way of one modality: prepare each item, queue it, collect the rows in request order."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from multi2vec.engine.errors import ClientError
from multi2vec.engine.films import Filmer
from multi2vec.engine.observer import LaneObserver
from multi2vec.engine.preparers import Prepared, Preparer
from multi2vec.engine.preparers.protocol import ROWS
from multi2vec.engine.queues import Asked, Encoded, PartQueue, TowerQueue
from multi2vec.engine.rows import Row
from multi2vec.engine.vectors import Finisher
from multi2vec.engine.wanted import Embedded, Wanted
from multi2vec.manifest import Manifest
from multi2vec.specs import Modality, word

# So many times as many items of one request as a batch may hold are prepared ahead of the encoder: enough to choose
# batches of like size from, and a bound on memory for requests of any length.
PREPARED_AHEAD = 8

# Rows of so many numbers are cut and normalised in about 0.1 ms; more of them leave the event loop alone.
FINISHED_HERE = 100_000


class Lane:
    """The way of one modality: prepare each item, queue it, collect the rows in request order."""

    def __init__(
        self,
        manifest: Manifest,
        modality: Modality,
        preparer: Preparer[Any],
        queue: TowerQueue,
        *,
        parts: PartQueue | None,
        pool: ThreadPoolExecutor,
        filmer: Filmer | None = None,
        observer: LaneObserver,
    ) -> None:
        self.preparer = preparer
        self.queue, self.parts = queue, parts
        self.encoder, self.choice, self.batcher = queue.encoder, queue.choice, queue.batcher
        self.outputs = queue.outputs
        self._output = {output.name: output for output in self.outputs}
        self._manifest = manifest
        self._word = word(modality)
        self._pool = pool
        self._filmer = filmer
        self._ahead = PREPARED_AHEAD * queue.budget.items
        self._observer = observer

    async def embed(self, items: Sequence[Any], wanted: Wanted) -> Embedded:
        """One row per item; equal items are computed once."""
        with self._observer.embedding():
            return await self._embedded(items, wanted)

    async def _embedded(self, items: Sequence[Any], wanted: Wanted) -> Embedded:
        finisher = Finisher(self._manifest, self.outputs, wanted)
        self._observer.received(len(items), is_search=bool(wanted.is_search))
        places, first = _distinct(items)
        self._observer.deduplicated(len(items) - len(first))
        with self.batcher.admit(len(first)):
            encoded = await self._all([items[index] for index in first], first, len(items), wanted)
        finished = await self._finished(finisher, [each.row for each in encoded])
        if len(first) < len(items):
            encoded = [encoded[place] for place in places]
            finished = finished[places] if isinstance(finished, np.ndarray) else [finished[place] for place in places]
        tokens, truncated = [each.tokens for each in encoded], sum(each.truncated for each in encoded)
        self._observer.embedded(tokens, truncated, (each.batch for each in encoded))
        spent, files = [each.spent for each in encoded], [each.file for each in encoded]
        return Embedded(finished, tokens, truncated, spent, files)

    async def _all(self, items: Sequence[Any], places: Sequence[int], of: int, wanted: Wanted) -> Sequence[Encoded]:
        """The items, of which each stands at its place among so many of the request."""
        if of == 1:
            return [await self._one(items[0], wanted)]
        gate = asyncio.Semaphore(self._ahead) if len(items) > self._ahead else contextlib.nullcontext()
        tasks = [asyncio.ensure_future(self._one_through(gate, item, wanted)) for item in items]
        try:
            return await asyncio.gather(*tasks)
        except ClientError as error:
            failed = next(i for i, task in enumerate(tasks) if task.done() and task.exception() is error)
            raise error.about(f"{self._word} {places[failed] + 1} of {of}") from None
        finally:
            for task in tasks:
                task.cancel()

    async def _one_through(self, gate: Any, item: Any, wanted: Wanted) -> Encoded:
        async with gate:
            return await self._one(item, wanted)

    async def _one(self, item: Any, wanted: Wanted) -> Encoded:
        started = time.perf_counter()
        prepared = await self._prepared(item, wanted)
        self._observer.prepared(time.perf_counter() - started)
        if prepared.truncated:
            self._observer.truncated(1)
        return await self.encoded(prepared, wanted.output, time.perf_counter() - started)

    async def encoded(self, prepared: Prepared, output: str, seconds: float) -> Encoded:
        """The row of an item that was prepared in so many seconds."""
        prepared = await self._with_rows(prepared)
        asked = Asked(prepared, self._output[output], seconds, time.perf_counter())
        return await self.batcher.submit(asked, prepared.size)

    async def _prepared(self, item: Any, wanted: Wanted) -> Prepared:
        if self._filmer is not None:
            item = await self._filmer.filmed(item)
        if self.preparer.is_quick(item):
            return self.preparer.prepare(item, wanted)
        there: Awaitable[Prepared] = asyncio.get_running_loop().run_in_executor(
            self._pool, self.preparer.prepare, item, wanted
        )
        return await there

    async def _with_rows(self, prepared: Prepared) -> Prepared:
        """With what a tower of their own makes of its parts."""
        if self.parts is None or not prepared.parts:
            return prepared
        rows = await self.parts.rows(prepared.parts)
        return replace(prepared, arrays={**prepared.arrays, ROWS: rows}, parts=())

    async def _finished(self, finisher: Finisher, rows: Sequence[Row]) -> Sequence[Row]:
        first = rows[0] if rows else None
        if not isinstance(first, np.ndarray) or first.size * len(rows) <= FINISHED_HERE:
            return finisher.finish(rows)
        return await asyncio.get_running_loop().run_in_executor(self._pool, finisher.finish, rows)


def _distinct(items: Sequence[Any]) -> tuple[list[int], list[int]]:
    """For each item its place among the distinct ones, and for each of those where it stands first."""
    numbers: dict[Hashable, int] = {}
    first: list[int] = []
    places: list[int] = []
    for index, item in enumerate(items):
        key = _key(item)
        if key not in numbers:
            numbers[key] = len(first)
            first.append(index)
        places.append(numbers[key])
    return places, first


def _key(item: Any) -> Hashable:
    """What equal items have in common. Pixels are slow to compare: they are equal when they are the same object."""
    try:
        hash(item)
    except TypeError:
        return id(item)
    return item if isinstance(item, str | bytes | tuple) else id(item)
