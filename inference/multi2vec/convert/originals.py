"""What the original library makes of the samples: inputs, held against ours at once, and rows, for later.

Apart from the comparison of rows, so that the original and our towers are never in memory at the same time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from multi2vec import manifest
from multi2vec.convert import progress, references, samples
from multi2vec.convert.comparison import Report, Stage, compare_array
from multi2vec.convert.errors import one_line
from multi2vec.convert.model import Model, Part
from multi2vec.convert.samples import Sample
from multi2vec.engine.errors import ClientError
from multi2vec.engine.items import Item
from multi2vec.engine.preparers import Prepared, Preparer, entry
from multi2vec.engine.preparers.fused import pieces_of
from multi2vec.engine.rows import Array, Row
from multi2vec.engine.wanted import Wanted
from multi2vec.engine.work import Limits
from multi2vec.specs import DENSE, FusedSpec, Modality, Prompt, word

# Whole vectors cover the towers and the prompts too; alone, a few of each tell which stage is to blame.
FEW_SAMPLES = 8
# Of longer items (in tokens) only the inputs are compared: on the longest texts that some models take, the original
# would run for hours and need tens of gigabytes.
LONGEST = 2400
# Of items that are together larger than this (in bytes of what the tower takes) vectors of a few are compared, and of
# the examples fewer are kept: a picture of many tiles takes half a minute. 38 whole pictures of 512 px are 30 MB.
MOST_BYTES = 100_000_000
MOST_EXAMPLE_BYTES = 12_500_000
# For prompts with a place for a task. The braces must stay as they are.
TASK = "find the {text} that answers"


@dataclass(frozen=True)
class Reading:
    """One way to ask for an item's vector: by the model's default, or with one of its prompts.

    `pieces` is what an item is made of, where one prompt stands around texts and pictures alike.
    """

    name: str
    wanted: Wanted
    prompt: Prompt | None
    pieces: Callable[[Any], Sequence[Item]] | None = None

    @property
    def suffix(self) -> str:
        """What the names of its stages end with."""
        return f", prompt {self.name}" if self.name else ""

    def for_original(self, item: Any) -> Any:
        """The item as people would give it to the original library."""
        if self.prompt is None:
            return item
        if self.pieces is not None:
            return references.InPrompt(self.pieces(item), self.prompt, self.wanted.task)
        text = references.prompted(item, self.prompt)
        return text if self.prompt.adapter is None else references.Adapted(text, self.prompt.adapter)


@dataclass(frozen=True)
class Compared:
    """One modality's samples that both sides could prepare, and the original's rows for them by output. `part_rows` are
    those that it makes of the parts of the first few."""

    modality: Modality
    reading: Reading
    samples: Sequence[Sample]
    ours: Sequence[Prepared]
    originals: Sequence[Mapping[str, Array]]
    rows: Mapping[str, Sequence[Row]]
    part_rows: Sequence[Array] = ()

    def title(self, what: str, output: str = DENSE) -> str:
        """A stage's name."""
        with_output = "" if output == DENSE else f", {output}"
        return f"{word(self.modality)} {what}{with_output}{self.reading.suffix}"


def readings(spec: Any, modality: Modality = "text") -> list[Reading]:
    """The default, then each further prompt; those that take a task once more with one."""
    prompts: Mapping[str, Prompt] = getattr(spec, "prompts", {})
    default: str | None = getattr(spec, "default_prompt", None)
    pieces = partial(pieces_of, modality) if isinstance(spec, FusedSpec) else None
    without: Prompt | None = getattr(spec, "without_prompt", None)
    found = [Reading("", Wanted(), prompts[default] if default else without, pieces)]
    for name, prompt in prompts.items():
        if name != default:
            found.append(Reading(name, Wanted(prompt=name), prompt, pieces))
        if prompt.takes_task:
            with_task = dataclasses.replace(prompt, task=TASK)
            found.append(Reading(f"{name} with a task", Wanted(prompt=name, task=TASK), with_task, pieces))
    return found


def collect(model: Model, folder: Path, report: Report, console: Console) -> list[Compared]:
    """Every modality with every prompt; what preparation shows goes to the report. The originals are let go."""
    described = manifest.read(folder)
    found: list[Compared] = []
    for modality, part in model.parts.items():
        preparer = entry(part.spec).make(folder, part.spec, described.tower(modality), Limits())[modality]
        both = _Both(modality, part, preparer, report, console)
        ways = [both.compare(reading) for reading in readings(part.spec, modality)]
        report.parity["samples"][modality] = len(ways[0].samples)
        both.compare_further(ways[0])
        found += ways
    model.release()
    return found


def batches(sizes: Sequence[int], items: int, padded: int | None) -> Iterator[list[int]]:
    """The places of all items, those of like size together: at most `items` in a batch, and items × largest size at
    most `padded` unless it is one item."""
    batch: list[int] = []
    for place in sorted(range(len(sizes)), key=lambda each: sizes[each]):
        if batch and (len(batch) == items or (padded is not None and (len(batch) + 1) * sizes[place] > padded)):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def arrays_of(item: Prepared) -> Mapping[str, Array]:
    """What was prepared of the item, that of its parts with a number in front."""
    parts = enumerate(item.parts, 1)
    found = dict(item.arrays)
    for number, part in parts:
        found |= {part_name(number, name): each for name, each in part.arrays.items()}
    return found


def in_place_of(item: Prepared, arrays: Mapping[str, Array]) -> Prepared:
    """The item with these arrays, as `arrays_of` names them, instead of its own."""
    parts = [
        dataclasses.replace(part, arrays={name: arrays[part_name(number, name)] for name in part.arrays})
        for number, part in enumerate(item.parts, 1)
    ]
    return dataclasses.replace(item, arrays={name: arrays[name] for name in item.arrays}, parts=parts)


def part_name(number: int, name: str) -> str:
    """What an array of the item's first, second, … part is called."""
    return f"picture {number} {name}"


def bytes_of(arrays: Mapping[str, Array]) -> int:
    """Bytes of a prepared item."""
    return sum(each.nbytes for each in arrays.values())


def spread(sizes: Sequence[int], most: int) -> list[int]:
    """The places of all items where they are together `most` or less, else of so many as are so on average (at least
    one): from the smallest to the largest, at even distances."""
    total = sum(sizes)
    if total <= most:
        return list(range(len(sizes)))
    ordered = sorted(range(len(sizes)), key=lambda each: sizes[each])
    count = max(1, most * len(sizes) // total)
    return [ordered[round(place)] for place in np.linspace(0, len(sizes) - 1, count)]


@dataclass(frozen=True)
class _Both:
    """Our preparation of one modality, and the original."""

    modality: Modality
    part: Part
    preparer: Preparer[Any]
    report: Report
    console: Console

    def compare(self, reading: Reading) -> Compared:
        """Compare what both sides make of the samples, and let the original make its rows for them."""
        stages: dict[str, Stage] = {}
        failed = Stage(f"{word(self.modality)} samples{reading.suffix}")
        kept: list[tuple[Sample, Prepared, Mapping[str, Array]]] = []
        title = f"{word(self.modality)} preparation{reading.suffix}"
        chosen = samples.SAMPLES[self.modality]
        fitting = [sample for sample in chosen.all() if samples.fits(sample.item, self.part.spec.modalities)]
        for sample in progress.follow(fitting[: chosen.with_prompts if reading.name else None], title, self.console):
            pair = self._prepare(sample, reading, failed)
            if pair is None:
                continue
            own, original = pair
            ours = arrays_of(own)
            for name in {**ours, **original}:
                stage = stages.setdefault(name, Stage(f"{word(self.modality)} {name}{reading.suffix}"))
                if name in ours:
                    compare_array(stage, sample.name, ours[name], original.get(name))
                else:
                    stage.faults.append(f"{sample.name} has no {name}, the original has")
            kept.append((sample, own, original))
        self.report.stages += [*stages.values(), *([failed] if failed.faults else [])]
        self._note_differences(stages)
        bounded = [each for each in kept if each[1].size <= LONGEST]
        bounded = [bounded[place] for place in spread([bytes_of(arrays_of(own)) for _, own, _ in bounded], MOST_BYTES)]
        if not reading.name and len(bounded) < len(kept):
            self.report.parity.setdefault("inputs_only", {})[self.modality] = len(kept) - len(bounded)
        return self._with_rows(reading, bounded[:FEW_SAMPLES] if reading.name else bounded)

    def compare_further(self, default: Compared) -> None:
        """Other ways to what the original prepares."""
        for name, way in self.part.further.items():
            stage = Stage(f"{word(self.modality)} {name}")
            for sample, own in zip(default.samples, default.ours, strict=True):
                for array, expected in (way(default.reading.for_original(sample.item)) or {}).items():
                    compare_array(stage, sample.name, own.arrays[array], expected)
            if not stage.samples:
                stage.faults.append("none of the samples could be compared")
            self.report.stages.append(stage)

    def _prepare(self, sample: Sample, reading: Reading, failed: Stage) -> tuple[Prepared, Mapping[str, Array]] | None:
        """Ours and the original's, or None when one of the two cannot: a fault, unless the sample is unusual and it is
        the original that fails, or neither has room for its pictures."""
        try:
            own = self.preparer.prepare(sample.item, reading.wanted)
        except ClientError as error:
            if self._has_no_room(reading.for_original(sample.item)):
                self.report.notes.append(f"{sample.name}: refused, as the original has no room for it either ({error})")
            else:
                failed.faults.append(f"{sample.name} cannot be prepared: {error}")
            return None
        try:
            return own, self.part.reference.prepare(reading.for_original(sample.item))
        except Exception as error:
            if sample.unusual:
                note = f"{sample.name}: served, though the original library fails on it ({one_line(error)})"
                self.report.notes.append(note)
            else:
                failed.faults.append(f"the original library fails on {sample.name}: {one_line(error)}")
            return None

    def _has_no_room(self, item: Any) -> bool:
        try:
            self.part.reference.prepare(item)
        except references.NoRoom:
            return True
        except Exception:
            return False
        return False

    def _note_differences(self, stages: Mapping[str, Stage]) -> None:
        differences = self.report.parity["preparation"].setdefault(self.modality, {})
        for name, stage in stages.items():
            found = max(differences.get(name, 0), stage.figures.get("largest_difference", 0))
            differences[name] = int(found) if found == int(found) else found

    def _with_rows(self, reading: Reading, kept: Sequence[tuple[Sample, Prepared, Mapping[str, Array]]]) -> Compared:
        items = [reading.for_original(sample.item) for sample, _, _ in kept]
        title = f"{word(self.modality)} rows of the original library{reading.suffix}"
        most = samples.SAMPLES[self.modality].batch, entry(self.part.spec).budget.padded
        rows: dict[str, list[Any]] = {output.name: [None] * len(items) for output in self.part.tower.outputs}
        groups = list(batches([own.size for _, own, _ in kept], *most))
        for group in progress.follow(groups, title, self.console):
            found = self.part.reference.rows([items[place] for place in group])
            for name, each in rows.items():
                for place, row in zip(group, found[name], strict=True):
                    each[place] = row
        of_parts = self.part.part_rows
        return Compared(
            modality=self.modality,
            reading=reading,
            samples=[sample for sample, _, _ in kept],
            ours=[own for _, own, _ in kept],
            originals=[original for _, _, original in kept],
            rows=rows,
            part_rows=[] if of_parts is None or reading.name else [of_parts(item) for item in items[:FEW_SAMPLES]],
        )
