"""Measures how equal the served vectors are to the original library's, stage by stage, with the engine's own code.

    text    → input_ids ┐
    picture → pixels    ┴→ tower (on exactly the original's inputs)
    text or picture ──────────────────────────────────────────────→ whole vectors, in each precision

A stage below its floor fails the conversion, and its name says where to look.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import track

from multi2vec.convert import references, samples
from multi2vec.convert.comparison import Report, Stage, compare_array, compare_rows, table, worst
from multi2vec.convert.errors import ParityError, one_line
from multi2vec.convert.model import Model, Part
from multi2vec.convert.samples import Sample
from multi2vec.engine import proof
from multi2vec.engine.embedder import Embedder, Lane
from multi2vec.engine.encoder import Execution, Precision
from multi2vec.engine.errors import ClientError, EmbedError, WrongVectors
from multi2vec.engine.loading import open_model
from multi2vec.engine.precision import cpu_has_bf16
from multi2vec.engine.preparers import Prepared
from multi2vec.engine.rows import Array, Row
from multi2vec.engine.vectors import row_of
from multi2vec.engine.wanted import Wanted
from multi2vec.manifest import DENSE, Modality, Prompt, word

BF16_NOT_MEASURED = "not measured: this CPU has no bf16"

# Whole vectors cover the towers and the prompts too; alone, a few of each tell which stage is to blame.
FEW_SAMPLES = 8
# For prompts with a place for a task. The braces must stay as they are.
TASK = "find the {text} that answers"

Item = TypeVar("Item")


@dataclass(frozen=True)
class Reading:
    """One way to ask for an item's vector: by the model's default, or with one of its prompts."""

    name: str
    wanted: Wanted
    prompt: Prompt | None

    @property
    def suffix(self) -> str:
        """What the names of its stages end with."""
        return f", prompt {self.name}" if self.name else ""

    def for_original(self, item: Any) -> Any:
        """The item as people would give it to the original library."""
        return item if self.prompt is None else references.prompted(item, self.prompt)


@dataclass(frozen=True)
class Compared:
    """One modality's samples that both sides could prepare, and the original's rows for them by output."""

    modality: Modality
    reading: Reading
    samples: Sequence[Sample]
    ours: Sequence[Prepared]
    originals: Sequence[Mapping[str, Array]]
    rows: Mapping[str, Sequence[Row]]

    def title(self, what: str, output: str = DENSE) -> str:
        """A stage's name."""
        with_output = "" if output == DENSE else f", {output}"
        return f"{word(self.modality)} {what}{with_output}{self.reading.suffix}"


def check(model: Model, folder: Path, console: Console) -> dict[str, Any]:
    """Measure, print the table, and return the figures for the manifest. Raises `ParityError` below a floor.

    The folder has a manifest already, without figures.
    """
    report = measure(model, folder, console)
    console.print(table(report))
    for note in report.notes:
        console.print(f"note: {note}", markup=False)
    if report.faults:
        shown = "\n".join(f"  {fault}" for fault in report.faults[:20])
        raise ParityError(f"the vectors would not be those of the original library:\n{shown}")
    return report.parity


def prove(folder: Path) -> None:
    """The folder's examples through the whole path, as a server proves itself. Raises `ParityError`."""
    for precision in precisions():
        with opened(folder, precision) as embedder:
            try:
                asyncio.run(proof.prove(embedder))
            except WrongVectors as error:
                raise ParityError(f"the finished folder does not prove itself in {precision}: {error}") from error


def precisions() -> tuple[Precision, ...]:
    """What this CPU can measure. Any CPU takes bf16; without the instructions it would compute in float32."""
    return ("f32", "bf16") if cpu_has_bf16() else ("f32",)


@contextlib.contextmanager
def opened(folder: Path, precision: Precision) -> Iterator[Embedder]:
    """The folder as it is served."""
    embedder = open_model(folder, Execution(precision=precision), verify_checksums=False)
    try:
        yield embedder
    finally:
        embedder.close(wait=True)


def measure(model: Model, folder: Path, console: Console) -> Report:
    """Every stage's figures."""
    report = Report(parity={"samples": {}, "preparation": {}, "towers": {}})
    compared: list[Compared] = []
    for precision in precisions():
        with opened(folder, precision) as embedder:
            if precision == "f32":
                for modality, part in model.parts.items():
                    compared += _compare_modality(modality, part, embedder.lanes[modality], report, console)
            _compare_vectors(embedder, compared, precision, report, console)
    report.parity.setdefault("bf16", BF16_NOT_MEASURED)
    if report.notes:
        report.parity["notes"] = report.notes
    return report


def readings(spec: Any) -> list[Reading]:
    """The default, then each further prompt; those that take a task once more with one."""
    prompts: Mapping[str, Prompt] = getattr(spec, "prompts", {})
    default: str | None = getattr(spec, "default_prompt", None)
    found = [Reading("", Wanted(), prompts[default] if default else None)]
    for name, prompt in prompts.items():
        if name != default:
            found.append(Reading(name, Wanted(prompt=name), prompt))
        if prompt.takes_task:
            with_task = dataclasses.replace(prompt, task=TASK)
            found.append(Reading(f"{name} with a task", Wanted(prompt=name, task=TASK), with_task))
    return found


def _compare_modality(modality: Modality, part: Part, lane: Lane, report: Report, console: Console) -> list[Compared]:
    """Preparation with every prompt, and the tower; what is left to compare is whole vectors."""
    found = [_prepare(modality, part, reading, lane, report, console) for reading in readings(part.spec)]
    default = found[0]
    report.parity["samples"][modality] = len(default.samples)
    for name, way in part.further.items():
        stage = Stage(f"{word(modality)} {name}")
        for sample, own in zip(default.samples, default.ours, strict=True):
            for array, expected in (way(default.reading.for_original(sample.item)) or {}).items():
                compare_array(stage, sample.name, own.arrays[array], expected)
        if not stage.samples:
            stage.faults.append("none of the samples could be compared")
        report.stages.append(stage)
    _compare_tower(default, lane, report, console)
    return found


def _prepare(
    modality: Modality, part: Part, reading: Reading, lane: Lane, report: Report, console: Console
) -> Compared:
    """Compare what both sides make of the samples, and let the original make its rows for them."""
    everything = samples.SAMPLES[modality]
    stages: dict[str, Stage] = {}
    failed = Stage(f"{word(modality)} samples{reading.suffix}")
    kept: list[tuple[Sample, Prepared, Mapping[str, Array]]] = []
    for sample in _shown(everything.all(), f"{word(modality)} preparation{reading.suffix}", console):
        pair = _prepare_both(sample, part, reading, lane, failed, report)
        if pair is None:
            continue
        own, original = pair
        for name in {**own.arrays, **original}:
            stage = stages.setdefault(name, Stage(f"{word(modality)} {name}{reading.suffix}"))
            if name in own.arrays:
                compare_array(stage, sample.name, own.arrays[name], original.get(name))
            else:
                stage.faults.append(f"{sample.name} has no {name}, the original has")
        kept.append((sample, own, original))
    report.stages += [*stages.values(), *([failed] if failed.faults else [])]
    differences = report.parity["preparation"].setdefault(modality, {})
    for name, stage in stages.items():
        found = max(differences.get(name, 0), stage.figures.get("largest_difference", 0))
        differences[name] = int(found) if found == int(found) else found
    if reading.name:
        kept = kept[:FEW_SAMPLES]
    items = [reading.for_original(sample.item) for sample, _, _ in kept]
    title = f"{word(modality)} rows of the original library{reading.suffix}"
    rows = _rows_of_original(part, items, everything.batch, title, console)
    return Compared(
        modality=modality,
        reading=reading,
        samples=[sample for sample, _, _ in kept],
        ours=[own for _, own, _ in kept],
        originals=[original for _, _, original in kept],
        rows=rows,
    )


def _prepare_both(
    sample: Sample, part: Part, reading: Reading, lane: Lane, failed: Stage, report: Report
) -> tuple[Prepared, Mapping[str, Array]] | None:
    """Ours and the original's, or None when one of the two cannot: a fault, unless the sample is unusual and it is the
    original that fails."""
    try:
        own = lane.preparer.prepare(sample.item, reading.wanted)
    except ClientError as error:
        failed.faults.append(f"{sample.name} cannot be prepared: {error}")
        return None
    try:
        return own, part.reference.prepare(reading.for_original(sample.item))
    except Exception as error:
        if sample.unusual:
            report.notes.append(f"{sample.name}: served, though the original library fails on it ({one_line(error)})")
        else:
            failed.faults.append(f"the original library fails on {sample.name}: {one_line(error)}")
        return None


def _rows_of_original(
    part: Part, items: Sequence[Any], batch: int, title: str, console: Console
) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {output.name: [] for output in part.tower.outputs}
    for start in _shown(range(0, len(items), batch), title, console):
        found = part.reference.rows(items[start : start + batch])
        for name in rows:
            rows[name] += found[name]
    return rows


def _compare_tower(default: Compared, lane: Lane, report: Report, console: Console) -> None:
    """The tower alone, on the original's inputs, one item at a time."""
    same = [
        index
        for index, (own, original) in enumerate(zip(default.ours, default.originals, strict=True))
        if {name: each.shape for name, each in own.arrays.items()} == {n: each.shape for n, each in original.items()}
    ][:FEW_SAMPLES]
    rows: dict[str, list[Row]] = {output.name: [] for output in lane.outputs}
    for index in _shown(same, default.title("tower"), console):
        item = dataclasses.replace(default.ours[index], arrays=default.originals[index])
        inputs = lane.preparer.collate([item])
        outputs = lane.encoder.encode(inputs)
        for output in lane.outputs:
            rows[output.name].append(row_of(output, outputs, inputs, 0, item.tokens))
    names = [default.samples[index].name for index in same]
    for output in lane.outputs:
        originals = [default.rows[output.name][index] for index in same]
        stage = compare_rows(default.title("tower", output.name), rows[output.name], originals, names, output, "f32")
        report.stages.append(stage)
        report.parity["towers"].setdefault(default.modality, {})[output.name] = stage.figures


def _compare_vectors(
    embedder: Embedder, compared: Sequence[Compared], precision: Precision, report: Report, console: Console
) -> None:
    """Whole rows in batches, of every output with every prompt."""
    figures: dict[Modality, dict[str, list[Mapping[str, float]]]] = {}
    for each in compared:
        for output in embedder.lanes[each.modality].outputs:
            title = each.title(f"vectors, {precision}", output.name)
            wanted = dataclasses.replace(each.reading.wanted, output=output.name, normalise=False)
            work = embedder.embed(each.modality, [sample.item for sample in each.samples], wanted)
            console.print(f"comparing: {title}", markup=False, highlight=False)
            try:
                ours = asyncio.run(work).rows
            except EmbedError as error:
                report.stages.append(Stage(title, len(each.samples), faults=[str(error.__cause__ or error)]))
                continue
            names = [sample.name for sample in each.samples]
            stage = compare_rows(title, ours, each.rows[output.name], names, output, precision)
            report.stages.append(stage)
            if stage.figures:
                figures.setdefault(each.modality, {}).setdefault(output.name, []).append(stage.figures)
    report.parity[precision] = {
        modality: {output: worst(found) for output, found in outputs.items()} for modality, outputs in figures.items()
    }


def _shown(items: Sequence[Item], title: str, console: Console) -> Iterable[Item]:
    """The items, with a bar that follows them (in a log: a line)."""
    if console.is_terminal:
        return track(items, title, console=console, transient=True)
    console.print(f"comparing: {title}", markup=False, highlight=False)
    return items
