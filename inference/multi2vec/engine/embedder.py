"""From items to vectors: prepare, batch, encode, finish. Knows no HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from multi2vec.engine.batcher import Batcher
from multi2vec.engine.errors import ClientError, EncodeFailed, Unsupported
from multi2vec.engine.observer import Batch, LaneObserver
from multi2vec.engine.precision import Choice
from multi2vec.engine.preparers import Prepared, Preparer
from multi2vec.engine.rows import Array, Row, Vectors
from multi2vec.engine.vectors import Finisher, are_finite, row_of
from multi2vec.engine.wanted import Embedded, PictureFile, Spent, Wanted
from multi2vec.engine.work import Admission, Budget
from multi2vec.manifest import Manifest
from multi2vec.specs import Modality, OutputSpec, word

# So many times as many items of one request as a batch may hold are prepared ahead of the encoder: enough to choose
# batches of like size from, and a bound on memory for requests of any length.
PREPARED_AHEAD = 8

# Rows of so many numbers are cut and normalised in about 0.1 ms; more of them leave the event loop alone.
FINISHED_HERE = 100_000


class TowerRunner(Protocol):
    """What the embedder needs of an encoder; `parallel`: how many batches it runs at a time; `precision` of the
    arithmetic."""

    parallel: int
    precision: str

    def encode(self, inputs: Mapping[str, Array]) -> Mapping[str, Vectors]:
        """Every output by its name, float32 (rows, …)."""


@dataclass(frozen=True)
class _Asked:
    """One item in the queue, and which output is wanted of it; it took so many seconds to prepare, and was queued then
    (`time.perf_counter`)."""

    prepared: Prepared
    output: OutputSpec
    seconds: float
    queued: float


@dataclass(frozen=True)
class _Encoded:
    """One item's way back."""

    row: Row
    tokens: int
    truncated: bool
    batch: Batch
    spent: Spent
    file: PictureFile | None


class Embedder:
    """Vectors of one model. Its coroutines run on any event loop, one loop at a time."""

    def __init__(self, manifest: Manifest, lanes: Mapping[Modality, Lane], pool: ThreadPoolExecutor) -> None:
        """`loading.open_model` makes it out of a model folder."""
        self.manifest = manifest
        self.lanes = lanes
        self._pool = pool

    async def embed(self, modality: Modality, items: Sequence[Any], wanted: Wanted = Wanted()) -> Embedded:
        """One row per item, in the order of the items; what items can be, the modality's preparer says.

        Raises `ClientError` for an item that cannot be used (its message says which) and for wishes that the model
        cannot fulfil, `Overloaded`, and `EncodeFailed`.
        """
        lane = self.lanes.get(modality)
        if lane is not None:
            return await lane.embed(items, _decided(wanted, len(items)))
        if items:
            raise Unsupported(f"{self.manifest.tag} has no {word(modality)} tower")
        return Embedded(np.empty((0, self.manifest.dimensions), dtype=np.float32), (), 0, (), ())  # type: ignore[arg-type]

    async def embed_several(
        self, items: Mapping[Modality, Sequence[Any]], wanted: Wanted = Wanted()
    ) -> dict[Modality, Embedded]:
        """`embed` for items of several modalities, side by side; the first error ends the others."""
        if len(items) == 1:
            ((modality, given),) = items.items()
            return {modality: await self.embed(modality, given, wanted)}
        wanted = _decided(wanted, sum(map(len, items.values())))
        tasks = {modality: asyncio.ensure_future(self.embed(modality, items[modality], wanted)) for modality in items}
        try:
            await asyncio.gather(*tasks.values())
            return {modality: task.result() for modality, task in tasks.items()}
        finally:
            for task in tasks.values():
                task.cancel()

    def close(self, *, wait: bool = False) -> None:
        """Let go of all threads; what runs is finished, and with `wait` before this returns."""
        self._pool.shutdown(wait=wait, cancel_futures=True)
        for lane in self.lanes.values():
            lane.batcher.close(wait=wait)


class Lane:
    """The way of one modality: prepare each item, queue it, collect the rows in request order."""

    def __init__(
        self,
        manifest: Manifest,
        modality: Modality,
        preparer: Preparer[Any],
        encoder: TowerRunner,
        *,
        choice: Choice,
        pool: ThreadPoolExecutor,
        budget: Budget,
        admission: Admission,
        observer: LaneObserver,
    ) -> None:
        self.preparer = preparer
        self.encoder = encoder
        self.choice = choice
        self.outputs: tuple[OutputSpec, ...] = manifest.tower(modality).outputs
        self._output = {output.name: output for output in self.outputs}
        self.batcher = Batcher[_Asked, _Encoded](
            self._encode,
            name=modality,
            workers=encoder.parallel,
            budget=budget,
            admission=admission,
            observer=observer,
        )
        self._manifest = manifest
        self._word = word(modality)
        self._pool = pool
        self._ahead = PREPARED_AHEAD * budget.items
        self._observer = observer
        observer.watch_queue(lambda: self.batcher.waiting, lambda: self.batcher.admitted)

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

    async def _all(self, items: Sequence[Any], places: Sequence[int], of: int, wanted: Wanted) -> Sequence[_Encoded]:
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

    async def _one_through(self, gate: Any, item: Any, wanted: Wanted) -> _Encoded:
        async with gate:
            return await self._one(item, wanted)

    async def _one(self, item: Any, wanted: Wanted) -> _Encoded:
        started = time.perf_counter()
        prepared = await self._prepared(item, wanted)
        queued = time.perf_counter()
        self._observer.prepared(queued - started)
        if prepared.truncated:
            self._observer.truncated(1)
        asked = _Asked(prepared, self._output[wanted.output], queued - started, queued)
        return await self.batcher.submit(asked, prepared.size)

    async def _prepared(self, item: Any, wanted: Wanted) -> Prepared:
        if self.preparer.is_quick(item):
            return self.preparer.prepare(item, wanted)
        there: Awaitable[Prepared] = asyncio.get_running_loop().run_in_executor(
            self._pool, self.preparer.prepare, item, wanted
        )
        return await there

    def _encode(self, items: Sequence[_Asked]) -> Sequence[_Encoded]:
        """One batch, on the batcher's thread."""
        started = time.perf_counter()
        inputs = self.preparer.collate([item.prepared for item in items])
        outputs = self.encoder.encode(inputs)
        if not all(are_finite(outputs[name]) for name in {item.output.name for item in items}):
            raise EncodeFailed("the model gave a vector that is not finite")
        batch = Batch(len(items), started, time.perf_counter())
        return [
            _Encoded(
                row_of(item.output, outputs, inputs, index, item.prepared.tokens),
                item.prepared.tokens,
                item.prepared.truncated,
                batch,
                Spent(item.seconds, started - item.queued, batch.ended - started),
                item.prepared.file,
            )
            for index, item in enumerate(items)
        ]

    async def _finished(self, finisher: Finisher, rows: Sequence[Row]) -> Sequence[Row]:
        first = rows[0] if rows else None
        if not isinstance(first, np.ndarray) or first.size * len(rows) <= FINISHED_HERE:
            return finisher.finish(rows)
        return await asyncio.get_running_loop().run_in_executor(self._pool, finisher.finish, rows)


def _decided(wanted: Wanted, items: int) -> Wanted:
    """With whether a request of so many items is a search."""
    return replace(wanted, is_search=items == 1) if wanted.is_search is None else wanted


def _distinct(items: Sequence[Any]) -> tuple[list[int], list[int]]:
    """For each item its place among the distinct ones, and for each of those where it stands first."""
    numbers: dict[Hashable, int] = {}
    first: list[int] = []
    places: list[int] = []
    for index, item in enumerate(items):
        # Other kinds may not be hashable, and are slow to compare: they are equal when they are the same object.
        key = item if isinstance(item, str | bytes | tuple) else id(item)
        if key not in numbers:
            numbers[key] = len(first)
            first.append(index)
        places.append(numbers[key])
    return places, first
