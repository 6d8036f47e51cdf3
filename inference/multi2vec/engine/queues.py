"""A tower behind its queue: prepared items wait, run in batches, and come back as rows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from multi2vec.engine.batcher import Batcher
from multi2vec.engine.errors import EncodeFailed
from multi2vec.engine.observer import Batch, LaneObserver
from multi2vec.engine.precision import Choice
from multi2vec.engine.preparers import Prepared, Preparer
from multi2vec.engine.preparers.protocol import ROWS
from multi2vec.engine.rows import Array, Row, Vectors
from multi2vec.engine.vectors import are_finite, row_of
from multi2vec.engine.wanted import PictureFile, Spent
from multi2vec.engine.work import Admission, Budget
from multi2vec.specs import OutputSpec, TowerSpec


class TowerRunner(Protocol):
    """What is needed of an encoder; `parallel`: how many batches it runs at a time; `precision` of the arithmetic."""

    parallel: int
    precision: str

    def encode(self, inputs: Mapping[str, Array]) -> Mapping[str, Vectors]:
        """Every output by its name, float32 (rows, …)."""


@dataclass(frozen=True)
class Asked:
    """One item in the queue, and which output is wanted of it; it took so many seconds to prepare, and was queued then
    (`time.perf_counter`)."""

    prepared: Prepared
    output: OutputSpec
    seconds: float
    queued: float


@dataclass(frozen=True)
class Encoded:
    """One item's way back."""

    row: Row
    tokens: int
    truncated: bool
    batch: Batch
    spent: Spent
    file: PictureFile | None


class TowerQueue:
    """The tower that gives the vectors. Several modalities may share it, and the batches then."""

    def __init__(
        self,
        preparer: Preparer[Any],
        tower: TowerSpec,
        encoder: TowerRunner,
        *,
        name: str,
        choice: Choice,
        budget: Budget,
        admission: Admission,
        observer: LaneObserver,
    ) -> None:
        self.name, self.encoder, self.choice = name, encoder, choice
        self._collate = preparer.collate
        self.outputs: tuple[OutputSpec, ...] = tower.outputs
        self.budget = budget
        self.batcher = Batcher[Asked, Encoded](
            self._encode,
            name=name,
            workers=encoder.parallel,
            budget=budget,
            admission=admission,
            observer=observer,
        )
        observer.watch_queue(lambda: self.batcher.waiting, lambda: self.batcher.admitted)

    def _encode(self, items: Sequence[Asked]) -> Sequence[Encoded]:
        """One batch, on the batcher's thread."""
        started = time.perf_counter()
        inputs = self._collate([item.prepared for item in items])
        outputs = self.encoder.encode(inputs)
        if not all(are_finite(outputs[name]) for name in {item.output.name for item in items}):
            raise EncodeFailed("the model gave a vector that is not finite")
        batch = Batch(len(items), started, time.perf_counter())
        return [
            Encoded(
                row_of(item.output, outputs, inputs, index, item.prepared.tokens),
                item.prepared.tokens,
                item.prepared.truncated,
                batch,
                Spent(item.seconds, started - item.queued, batch.ended - started),
                item.prepared.file,
            )
            for index, item in enumerate(items)
        ]


class PartQueue:
    """A tower for parts of items, each of its own size and so one at a time. Its output is `ROWS`."""

    def __init__(
        self, encoder: TowerRunner, *, name: str, choice: Choice, budget: Budget, observer: LaneObserver
    ) -> None:
        self.name, self.encoder, self.choice = name, encoder, choice
        self.batcher = Batcher[Prepared, Vectors](
            self._encode, name=name, workers=encoder.parallel, budget=budget, admission=Admission(), observer=observer
        )
        # Rows of parts with a key, by that.
        self._known: dict[str, Vectors] = {}
        observer.watch_queue(lambda: self.batcher.waiting, lambda: self.batcher.admitted)

    async def rows(self, parts: Sequence[Prepared]) -> Vectors:
        """What the tower makes of the parts, one after another: float32 (rows, width)."""
        return np.concatenate(await asyncio.gather(*map(self._rows, parts)))

    async def _rows(self, part: Prepared) -> Vectors:
        if part.key in self._known:
            return self._known[part.key]
        found = await self.batcher.submit(part, part.size)
        if part.key:
            self._known[part.key] = found
        return found

    def _encode(self, parts: Sequence[Prepared]) -> Sequence[Vectors]:
        return [self.encoder.encode(part.arrays)[ROWS] for part in parts]
