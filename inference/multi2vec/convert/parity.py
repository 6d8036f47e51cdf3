"""Measures how equal the served vectors are to the original library's, stage by stage, with the engine's own code.

    text    → input_ids ┐
    picture → pixels    ┴→ tower (on exactly the original's inputs)
    text or picture ──────────────────────────────────────────────→ whole vectors, in each precision

A stage below its floor fails the conversion, and its name says where to look. Only bfloat16 is a choice that a server
has: a model that is not near enough in it is served in float32 alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from multi2vec.convert import originals, progress
from multi2vec.convert.comparison import Report, Stage, compare_rows, table, worst
from multi2vec.convert.errors import ParityError
from multi2vec.convert.model import Model
from multi2vec.convert.originals import FEW_SAMPLES, Compared
from multi2vec.engine import memory, proof
from multi2vec.engine.embedder import Embedder
from multi2vec.engine.encoder import Execution, Precision
from multi2vec.engine.errors import EmbedError, WrongVectors
from multi2vec.engine.floors import Floor, floor
from multi2vec.engine.loading import open_model
from multi2vec.engine.precision import cpu_has_bf16
from multi2vec.engine.preparers.protocol import ROWS
from multi2vec.engine.rows import Array, Row, Vectors
from multi2vec.engine.vectors import row_of
from multi2vec.specs import Modality, OutputSpec

# Instead of figures. Where there are none, no server computes in bfloat16.
BF16_NOT_MEASURED = "not measured: this CPU has no bf16"
BF16_NOT_USED = "not used: {}"


def check(model: Model, folder: Path, console: Console) -> dict[str, Any]:
    """Measure, print the table, and return the figures for the manifest. Raises `ParityError` below a floor.

    The folder has a manifest already, without figures. The model's references are let go on the way.
    """
    report = measure(model, folder, console)
    console.print(table(report))
    alone = [f"bf16 {report.parity['bf16']}"] if isinstance(report.parity["bf16"], str) else []
    for note in [*report.notes, *alone]:
        console.print(f"note: {note}", markup=False)
    if report.faults:
        shown = "\n".join(f"  {fault}" for fault in report.faults[:20])
        raise ParityError(f"the vectors would not be those of the original library:\n{shown}")
    return report.parity


def prove(folder: Path, precision: Precision) -> float:
    """The folder's examples through the whole path, as a server proves itself. Returns the smallest cosine; raises
    `ParityError`."""
    with opened(folder, precision) as embedder:
        try:
            return asyncio.run(proof.prove(embedder))
        except WrongVectors as error:
            raise ParityError(f"the finished folder does not prove itself in {precision}: {error}") from error


@contextlib.contextmanager
def opened(folder: Path, precision: Precision) -> Iterator[Embedder]:
    """The folder as it is served. Whoever had it opened before lets go of that first: two are twice the memory."""
    gc.collect()
    memory.release()
    embedder = open_model(folder, Execution(precision=precision), verify_checksums=False)
    try:
        yield embedder
    finally:
        embedder.close(wait=True)


def measure(model: Model, folder: Path, console: Console) -> Report:
    """Every stage's figures."""
    report = Report(parity={"samples": {}, "preparation": {}, "towers": {}})
    compared = originals.collect(model, folder, report, console)
    _measure(folder, "f32", compared, report, console)
    if cpu_has_bf16():
        _measure_bf16(folder, compared, report, console)
    else:
        report.parity["bf16"] = BF16_NOT_MEASURED
    if report.notes:
        report.parity["notes"] = report.notes
    return report


def _measure(
    folder: Path, precision: Precision, compared: Sequence[Compared], report: Report, console: Console
) -> None:
    with opened(folder, precision) as embedder:
        if precision == "f32":
            for each in compared:
                if not each.reading.name:
                    _compare_tower(each, embedder, report, console)
        _compare_vectors(embedder, compared, precision, report, console)


def _measure_bf16(folder: Path, compared: Sequence[Compared], report: Report, console: Console) -> None:
    own = Report()
    _measure(folder, "bf16", compared, own, console)
    report.parity["bf16"] = BF16_NOT_USED.format(own.faults[0]) if own.faults else own.parity["bf16"]
    report.stages += [dataclasses.replace(stage, required=False) for stage in own.stages]


def _compare_tower(default: Compared, embedder: Embedder, report: Report, console: Console) -> None:
    """The tower alone, on the original's inputs, one item at a time."""
    lane = embedder.lanes[default.modality]
    same = [
        index
        for index, (own, original) in enumerate(zip(default.ours, default.originals, strict=True))
        if _shapes(originals.arrays_of(own)) == _shapes(original)
    ][:FEW_SAMPLES]
    rows: dict[str, list[Row]] = {output.name: [] for output in lane.outputs}
    parts: list[Vectors] = []
    for index in progress.follow(same, default.title("tower"), console):
        item = originals.in_place_of(default.ours[index], default.originals[index])
        if lane.parts is not None and item.parts:
            parts.append(np.concatenate([lane.parts.encoder.encode(part.arrays)[ROWS] for part in item.parts]))
            item = dataclasses.replace(item, arrays={**item.arrays, ROWS: parts[-1]}, parts=())
        inputs = lane.preparer.collate([item])
        outputs = lane.encoder.encode(inputs)
        for output in lane.outputs:
            rows[output.name].append(row_of(output, outputs, inputs, 0, item.tokens))
    names = [default.samples[index].name for index in same]
    if parts and default.part_rows:
        _compare_parts(default, embedder, parts, same, report)
    for output in lane.outputs:
        expected = [default.rows[output.name][index] for index in same]
        least = _least(embedder, output, "f32")
        stage = compare_rows(default.title("tower", output.name), rows[output.name], expected, names, output, least)
        report.stages.append(stage)
        report.parity["towers"].setdefault(default.modality, {})[output.name] = stage.figures


def _compare_parts(
    default: Compared, embedder: Embedder, rows: Sequence[Vectors], same: Sequence[int], report: Report
) -> None:
    """The tower for parts alone: all rows that it makes for an item."""
    names = [default.samples[index].name for index in same if default.ours[index].parts]
    expected = [default.part_rows[index] for index in same if default.ours[index].parts]
    vision = embedder.manifest.inputs[default.modality].vision
    (output,) = embedder.manifest.towers[vision].outputs
    stage = compare_rows(
        default.title("tower", f"{vision} {ROWS}"), rows, expected, names, output, _least(embedder, output, "f32")
    )
    report.stages.append(stage)
    report.parity["towers"].setdefault(default.modality, {})[f"{vision} {ROWS}"] = stage.figures


def _shapes(arrays: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
    return {name: each.shape for name, each in arrays.items()}


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
            least = _least(embedder, output, precision)
            stage = compare_rows(title, ours, each.rows[output.name], names, output, least)
            report.stages.append(stage)
            if stage.figures:
                figures.setdefault(each.modality, {}).setdefault(output.name, []).append(stage.figures)
    report.parity[precision] = {
        modality: {output: worst(found) for output, found in outputs.items()} for modality, outputs in figures.items()
    }


def _least(embedder: Embedder, output: OutputSpec, precision: Precision) -> Floor:
    return floor(output.kind, precision, embedder.manifest.precision, embedder.manifest.floor)
