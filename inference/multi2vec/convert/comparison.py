"""Compares prepared inputs and vectors with the original's: figures, faults, and the table that shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.table import Table

from multi2vec.engine.floors import Floor
from multi2vec.engine.rows import Array, Row, Sparse
from multi2vec.specs import OutputSpec

Matrix = npt.NDArray[np.float64]

# Inputs that are no whole numbers may differ by so much; whole numbers must be equal.
FLOAT_TOLERANCE = 1e-5


@dataclass
class Stage:
    """One line of the table. `figures` go to the manifest; `faults` say what is wrong. A model is served without what
    is not `required`."""

    name: str
    samples: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    required: bool = True


@dataclass
class Report:
    """All that was measured. `parity` is what the manifest gets."""

    stages: list[Stage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    parity: dict[str, Any] = field(default_factory=dict)

    @property
    def faults(self) -> list[str]:
        """What forbids to serve the model."""
        return [f"{stage.name}: {fault}" for stage in self.stages if stage.required for fault in stage.faults]


def compare_array(stage: Stage, name: str, ours: Array, original: Array | None) -> None:
    """One prepared array of the sample `name`, added to the stage."""
    stage.samples += 1
    if original is None or ours.shape != original.shape:
        stage.faults.append(f"{name} became {_shown(ours)}, the original's is {_shown(original)}")
        return
    difference = float(np.abs(ours.astype(np.float64) - original).max()) if ours.size else 0.0
    stage.figures["largest_difference"] = max(stage.figures.get("largest_difference", 0.0), difference)
    allowed = 0.0 if np.issubdtype(ours.dtype, np.integer) else FLOAT_TOLERANCE
    # Written so that a NaN counts as different.
    if not difference <= allowed:
        stage.faults.append(f"{name} became {_shown(ours)}, which differs by up to {difference:g} from the original's")


def compare_rows(
    name: str, ours: Sequence[Row], originals: Sequence[Row], names: Sequence[str], spec: OutputSpec, least: Floor
) -> Stage:
    """Rows of one output against the original's: cosines (of each token, or of a sparse row's weights) and lengths,
    each at least as near as `least` says."""
    stage = Stage(name, len(ours))
    measured: list[tuple[float, float, float]] = []
    for sample, own, original in zip(names, ours, originals, strict=True):
        pair = _as_matrices(own, original)
        if pair is None or (spec.kind != "sparse" and pair[0].shape[-1] != spec.dimensions):
            stage.faults.append(f"{sample} has {_shape(own)}, the original {_shape(original)}")
            continue
        measured.append(_measure(*pair))
        _judge(stage, sample, *measured[-1][:2], least)
    if measured:
        cosines, ratios, differences = (np.array(each) for each in zip(*measured, strict=True))
        stage.figures = {
            "smallest_cosine": round(float(cosines.min()), 7),
            "mean_cosine": round(float(cosines.mean()), 7),
            "largest_difference": float(f"{differences.max():.2e}"),
            "length_ratio": round(float(ratios[np.abs(ratios - 1).argmax()]), 6),
        }
    return stage


def _judge(stage: Stage, sample: str, cosine: float, ratio: float, least: Floor) -> None:
    # Written so that a NaN counts as below.
    if not cosine >= least.cosine:
        stage.faults.append(f"{sample} has cosine {cosine:.6f}, the floor is {least.cosine}")
    elif not abs(ratio - 1) <= least.length:
        stage.faults.append(f"{sample} is {ratio:.4f} times as long as the original's, {least.length:.1%} is allowed")


def _measure(ours: Matrix, original: Matrix) -> tuple[float, float, float]:
    """Smallest cosine of two rows, ratio of lengths, largest difference of a number as a share of its row's length.

    Float64 (vectors, dimensions) each. Near-constant vectors have a cosine near 1 whatever else is wrong.
    """
    lengths, own_lengths = np.linalg.norm(original, axis=1), np.linalg.norm(ours, axis=1)
    if not lengths.any() and not own_lengths.any():
        return 1.0, 1.0, 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = (ours * original).sum(axis=1) / (lengths * own_lengths)
        differences = np.abs(ours - original).max(axis=1) / lengths
        ratio = np.linalg.norm(ours) / np.linalg.norm(original)
    return float(cosines.min()), float(ratio), float(differences.max())


def _as_matrices(ours: Row, original: Row) -> tuple[Matrix, Matrix] | None:
    """Both as float64 (vectors, numbers): a dense row is one vector, a row of token vectors one for each token, a
    sparse row one whose numbers are the weights of all tokens in either. None when they cannot be compared."""
    if isinstance(ours, Sparse) and isinstance(original, Sparse):
        ids = np.union1d(ours.ids, original.ids)
        return _spread(ours, ids), _spread(original, ids)
    if isinstance(ours, Sparse) or isinstance(original, Sparse) or ours.shape != original.shape:
        return None
    return np.atleast_2d(ours).astype(np.float64), np.atleast_2d(original).astype(np.float64)


def _spread(row: Sparse, ids: npt.NDArray[np.int64]) -> Matrix:
    weights = np.zeros((1, max(1, len(ids))))
    weights[0, np.searchsorted(ids, row.ids)] = row.weights
    return weights


def worst(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The figures of several stages as one."""
    return {
        "smallest_cosine": min(each["smallest_cosine"] for each in figures),
        "mean_cosine": min(each["mean_cosine"] for each in figures),
        "largest_difference": max(each["largest_difference"] for each in figures),
        "length_ratio": max((each["length_ratio"] for each in figures), key=lambda ratio: abs(ratio - 1)),
    }


def _shape(row: Row) -> str:
    return f"{len(row.ids)} weights" if isinstance(row, Sparse) else f"the shape {row.shape}"


def _shown(array: Array | None) -> str:
    if array is None:
        return "nothing"
    return f"{array.tolist()[:12]}… ({len(array)})" if array.ndim == 1 else f"an array {array.shape}"


def table(report: Report) -> Table:
    """The report for people; 80 columns are enough."""
    shown = Table(title="Parity with the original library")
    for column in ("stage", "samples", "smallest\ncosine", "largest\ndifference", "length", ""):
        shown.add_column(column, justify="left" if column == "stage" else "right", overflow="fold")
    formats = {"smallest_cosine": ".7f", "largest_difference": ".2g", "length_ratio": ".4f"}
    for stage in report.stages:
        numbers = [format(stage.figures[key], how) if key in stage.figures else "" for key, how in formats.items()]
        shown.add_row(stage.name, str(stage.samples), *numbers, _verdict(stage))
    return shown


def _verdict(stage: Stage) -> str:
    if not stage.faults:
        return "[green]ok[/green]"
    return f"[red]{len(stage.faults)} wrong[/red]" if stage.required else f"[yellow]{len(stage.faults)} below[/yellow]"
