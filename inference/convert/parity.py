"""Measures how equal the served vectors are to the original library's, stage by stage, with the server's own code.

    text  → token ids ┐
    image → pixels    ┴→ tower (on exactly the original's inputs)
    text or image ────────────────────────────────────────────→ whole vector

A stage below its floor fails the conversion, and its name says where to look.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import openvino as ov
from rich.console import Console
from rich.progress import track
from rich.table import Table

from inference.convert import samples
from inference.convert.errors import ParityError
from inference.convert.model import ImagePart, Model, Pixels, TextPart, Vectors
from inference.convert.samples import Picture
from inference.manifest import TowerSpec
from inference.serve.encoder import Encoder, Execution, resolve_precision
from inference.serve.images import prepare
from inference.serve.texts import TextPreparer, Tokens

Arithmetic = Literal["f32", "bf16"]

COSINE_FLOORS: dict[Arithmetic, float] = {"f32": 0.9999, "bf16": 0.999}
TEXT_BATCH = 16
IMAGE_BATCH = 4
# Whole vectors cover the towers too; alone, one row at a time, they tell which stage is to blame.
TOWER_SAMPLES = 8

Item = TypeVar("Item")


@dataclass
class Stage:
    """One line of the table. `figures` go to the manifest; `faults` say what is wrong."""

    name: str
    samples: int
    figures: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


@dataclass
class Report:
    """All that was measured. `parity` is what the manifest gets."""

    stages: list[Stage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    parity: dict[str, Any] = field(default_factory=lambda: {"samples": {}})

    @property
    def faults(self) -> list[str]:
        return [f"{stage.name}: {fault}" for stage in self.stages for fault in stage.faults]


@dataclass(frozen=True)
class Prepared(Generic[Item]):
    """One modality's samples as the server prepared them and as the original did, and the original's vectors."""

    modality: Literal["text", "image"]
    names: Sequence[str]
    ours: Sequence[Item]
    originals: Sequence[Item]
    vectors: Vectors
    collate: Callable[[Sequence[Item]], Mapping[str, npt.NDArray[Any]]]
    batch: int


def check(model: Model, folder: Path, towers: Mapping[str, TowerSpec], console: Console) -> dict[str, Any]:
    """Measure, print the table, and return the figures for the manifest. Raises `ParityError` below a floor."""
    report = measure(model, folder, towers, console)
    console.print(table(report))
    for note in report.notes:
        console.print(f"note: {note}", markup=False)
    if report.faults:
        shown = "\n".join(f"  {fault}" for fault in report.faults[:20])
        raise ParityError(f"the vectors would not be those of the original library:\n{shown}")
    return report.parity


def measure(model: Model, folder: Path, towers: Mapping[str, TowerSpec], console: Console) -> Report:
    """Every stage's figures."""
    report = Report()
    if model.text is not None:
        tower = towers[model.text.spec.tower]
        _vectors(prepare_texts(model.text, folder, tower, report, console), folder, tower, report, console)
    if model.image is not None:
        tower = towers[model.image.spec.tower]
        _vectors(prepare_images(model.image, tower, report, console), folder, tower, report, console)
    if "bf16" not in precisions():
        report.parity["bf16"] = "not measured: this CPU has no bf16"
    if report.notes:
        report.parity["notes"] = report.notes
    return report


def precisions() -> tuple[Arithmetic, ...]:
    """What this CPU can measure. On any CPU bf16 can be asked for; without the instructions it would run as f32."""
    return ("f32", "bf16") if resolve_precision(ov.Core(), Execution()) == "bf16" else ("f32",)


def prepare_texts(part: TextPart, folder: Path, tower: TowerSpec, report: Report, console: Console) -> Prepared[Tokens]:
    """Compare token ids, and let the original make its vectors."""
    preparer = TextPreparer(folder, part.spec, tower)
    stage = Stage("token ids", len(samples.TEXTS))
    ours, originals = [], []
    for text in samples.TEXTS:
        own, ids = preparer.tokenise(text), part.reference.tokens(text)
        if own.ids.tolist() != ids:
            stage.faults.append(f"{text[:40]!r} became {own.ids.tolist()[:12]}…, the original's are {ids[:12]}…")
        ours.append(own)
        originals.append(Tokens(np.array(ids, dtype=np.int64), truncated=False))
    report.stages.append(stage)
    report.parity["samples"]["texts"] = len(ours)
    report.parity["token_ids_equal"] = not stage.faults
    vectors = _originals(part.reference.vectors, samples.TEXTS, TEXT_BATCH, "texts, original library", console)
    names = [repr(text[:40]) for text in samples.TEXTS]
    return Prepared("text", names, ours, originals, vectors, preparer.collate, TEXT_BATCH)


def prepare_images(part: ImagePart, tower: TowerSpec, report: Report, console: Console) -> Prepared[Pixels]:
    """Compare pixels, and let the original make its vectors."""
    stage = Stage("pixels", 0, {"largest_difference": 0})
    ours, originals, comparable = [], [], []
    for picture in samples.pictures():
        pixels = prepare(picture.data, part.spec)
        try:
            original = part.reference.pixels(picture.data)
        except Exception as error:
            report.notes.append(f"{picture.name}: served, though the original library fails on it ({error})")
            continue
        _compare_pixels(picture, pixels, original, stage)
        ours.append(pixels)
        originals.append(original)
        comparable.append(picture)
    stage.samples = len(comparable)
    report.stages.append(stage)
    report.parity["samples"]["images"] = len(comparable)
    report.parity["pixels_largest_difference"] = int(stage.figures["largest_difference"])
    files = [picture.data for picture in comparable]
    vectors = _originals(part.reference.vectors, files, IMAGE_BATCH, "images, original library", console)
    name = tower.inputs[0].name
    names = [picture.name for picture in comparable]
    return Prepared("image", names, ours, originals, vectors, lambda rows: {name: np.stack(rows)}, IMAGE_BATCH)


def _compare_pixels(picture: Picture, ours: Pixels, original: Pixels, stage: Stage) -> None:
    if ours.shape != original.shape:
        stage.faults.append(f"{picture.name} has the shape {ours.shape}, the original's is {original.shape}")
        return
    difference = int(np.abs(ours.astype(np.int16) - original).max())
    stage.figures["largest_difference"] = max(stage.figures["largest_difference"], difference)
    if difference:
        stage.faults.append(f"{picture.name} differs by up to {difference} levels of 255")


def _originals(
    run: Callable[[Sequence[Any]], Vectors], items: Sequence[Any], batch: int, title: str, console: Console
) -> Vectors:
    starts = range(0, len(items), batch)
    return np.concatenate([run(items[start : start + batch]) for start in _shown(starts, title, console)])


def _vectors(prepared: Prepared[Any], folder: Path, tower: TowerSpec, report: Report, console: Console) -> None:
    """The tower on the original's inputs, one by one; then whole vectors in batches, in each arithmetic."""
    modality, few = prepared.modality, prepared.originals[:TOWER_SAMPLES]
    for precision in precisions():
        encoder = Encoder(folder, tower, execution(precision))
        if precision == "f32":
            rows = [encoder.encode(prepared.collate([each])) for each in _shown(few, f"{modality} tower", console)]
            stage = compare(f"{modality} tower", np.concatenate(rows), prepared, COSINE_FLOORS["f32"])
            report.stages.append(stage)
            report.parity.setdefault("towers", {})[modality] = stage.figures
        starts = range(0, len(prepared.ours), prepared.batch)
        batches = [prepared.ours[start : start + prepared.batch] for start in starts]
        title = f"{modality} vectors, {precision}"
        ours = np.concatenate([encoder.encode(prepared.collate(rows)) for rows in _shown(batches, title, console)])
        stage = compare(title, ours, prepared, COSINE_FLOORS[precision])
        report.stages.append(stage)
        report.parity.setdefault(precision, {})[modality] = stage.figures


def compare(name: str, ours: Vectors, prepared: Prepared[Any], floor: float) -> Stage:
    """Rows of `ours`, float32 (n, dimensions), against the original's first n."""
    original = prepared.vectors[: len(ours)].astype(np.float64)
    if ours.shape != original.shape:
        return Stage(name, len(ours), faults=[f"shape {ours.shape}, the original's is {original.shape}"])
    lengths = np.linalg.norm(original, axis=1)
    cosines = np.sum(ours * original, axis=1) / (np.linalg.norm(ours, axis=1) * lengths)
    # Relative to the vector's length: near-constant vectors have a cosine near 1 whatever else is wrong.
    differences = np.abs(ours - original).max(axis=1) / lengths
    figures = {
        "smallest_cosine": round(float(cosines.min()), 7),
        "mean_cosine": round(float(cosines.mean()), 7),
        "largest_difference": float(f"{differences.max():.2e}"),
    }
    # Written so that a NaN counts as below.
    low = [index for index, cosine in enumerate(cosines) if not cosine >= floor]
    faults = [f"{prepared.names[index]} has cosine {cosines[index]:.6f}, the floor is {floor}" for index in low]
    return Stage(name, len(ours), figures, faults)


def execution(precision: Arithmetic) -> Execution:
    """The CPU, all the cores that this process may use."""
    return Execution(precision=precision, threads=len(os.sched_getaffinity(0)), streams=1)


def table(report: Report) -> Table:
    """The report for people."""
    shown = Table(title="Parity with the original library")
    for column in ("stage", "samples", "smallest\ncosine", "mean\ncosine", "largest\ndifference", ""):
        shown.add_column(column, justify="left" if column == "stage" else "right", no_wrap=True)
    for stage in report.stages:
        numbers = [_number(stage, key) for key in ("smallest_cosine", "mean_cosine", "largest_difference")]
        verdict = f"[red]{len(stage.faults)} below[/red]" if stage.faults else "[green]ok[/green]"
        shown.add_row(stage.name, str(stage.samples), *numbers, verdict)
    return shown


def _number(stage: Stage, key: str) -> str:
    return f"{stage.figures[key]:.7g}" if key in stage.figures else ""


def _shown(items: Sequence[Item], title: str, console: Console) -> Iterable[Item]:
    """The items, with a bar that follows them (in a log: a line)."""
    if console.is_terminal:
        return track(items, title, console=console, transient=True)
    console.print(f"comparing: {title}", markup=False, highlight=False)
    return items
