"""What is decided before a model's towers are compiled: preparers, and how each tower runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from multi2vec.engine import precision
from multi2vec.engine.encoder import Execution
from multi2vec.engine.precision import Choice
from multi2vec.engine.preparers import Entry, Prepared, Preparer, entry
from multi2vec.engine.preparers.protocol import ROWS
from multi2vec.engine.rows import Array
from multi2vec.engine.wanted import Wanted
from multi2vec.engine.work import Limits
from multi2vec.manifest import Manifest
from multi2vec.specs import Modality, Spec, TowerSpec

# The sizes of batches that precisions are compared at: single items matter where each is work enough for all threads.
COMPARED = (8,)
COMPARED_WIDE = (1, 4)

Preparers = Mapping[Modality, Preparer[Any]]
# A tower's inputs, by size of batch.
Batches = Mapping[int, Mapping[str, Array]]


@dataclass(frozen=True)
class TowerPlan:
    """How a tower will run."""

    name: str
    execution: Execution
    choice: Choice


@dataclass(frozen=True)
class Plan:
    """A spec's preparers and towers; `vision` is for parts of items."""

    spec: Spec
    preparers: Preparers
    main: TowerPlan
    vision: TowerPlan | None

    @property
    def towers(self) -> list[TowerPlan]:
        """Both, or the one."""
        return [self.main] if self.vision is None else [self.main, self.vision]


@dataclass(frozen=True)
class Planner:
    """Makes plans. What has to be measured waits for `until_quiet`."""

    folder: Path
    manifest: Manifest
    execution: Execution
    limits: Limits
    until_quiet: Callable[[], object]

    def plans(self) -> list[Plan]:
        """One for each spec. Raises `DeviceError`."""
        allowed = precision.candidates(self.execution, bf16_is_measured=self.manifest.measured_in("bf16"))
        specs = {id(spec): spec for spec in self.manifest.inputs.values()}
        return [self._plan(spec, allowed) for spec in specs.values()]

    def _plan(self, spec: Spec, allowed: tuple[str, ...]) -> Plan:
        kind, tower = entry(spec), self.manifest.towers[spec.tower]
        preparers = kind.make(self.folder, spec, tower, self.limits)
        wide = self.execution.for_wide_items()
        main = self._tower(
            spec.tower, wide if kind.wide else self.execution, allowed, lambda: self._batches(kind, tower, preparers)
        )
        vision = spec.vision and self._tower(spec.vision, wide, allowed, lambda: self._part(preparers))
        return Plan(spec, preparers, main, vision or None)

    def _tower(
        self, name: str, execution: Execution, allowed: tuple[str, ...], batches: Callable[[], Batches]
    ) -> TowerPlan:
        return TowerPlan(name, execution, self._choice(name, execution, allowed, batches))

    def _choice(
        self, name: str, execution: Execution, allowed: tuple[str, ...], batches: Callable[[], Batches]
    ) -> Choice:
        if len(allowed) == 1 or not self.manifest.examples:
            return Choice(allowed[0])
        file = self.folder / self.manifest.towers[name].file

        def measured() -> Choice:
            inputs = batches()
            trials = precision.trials(file, execution, allowed, inputs)
            self.until_quiet()
            return precision.choose(trials, [*inputs])

        return precision.remembered(execution.cache, file, execution, allowed, measured)

    def _batches(self, kind: Entry, tower: TowerSpec, preparers: Preparers) -> Batches:
        """The first example, as often as batches have items."""
        item = _with_zeros(self._example(preparers, next(iter(preparers))), tower)
        collate = next(iter(preparers.values())).collate
        return {items: collate([item] * items) for items in compared(kind, item.size)}

    def _part(self, preparers: Preparers) -> Batches:
        """The first example picture."""
        return {1: self._example(preparers, "image").parts[0].arrays}

    def _example(self, preparers: Preparers, modality: Modality) -> Prepared:
        return preparers[modality].prepare(self.manifest.examples_of(modality)[0].content, Wanted())


def compared(kind: Entry, size: int) -> tuple[int, ...]:
    """The sizes of batches that precisions are compared at, for items of that size: those that are ever formed."""
    first, *others = COMPARED_WIDE if kind.wide else COMPARED
    most = kind.budget.padded
    return (first, *(each for each in others if most is None or each * size <= most))


def _with_zeros(item: Prepared, tower: TowerSpec) -> Prepared:
    """With zeros for what another tower would make of its parts."""
    if not item.parts:
        return item
    width = next(each.shape[-1] for each in tower.inputs if each.name == ROWS)
    rows = np.zeros((int(item.arrays["index"].max()), width or 1), dtype=np.float32)
    return replace(item, arrays={**item.arrays, ROWS: rows}, parts=())
