"""From raw figures to ratios, bars and a table."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks.machine import Cpu
from tests.benchmarks.samples import MODALITIES, Modality

Mode = Literal["served", "reference", "limit"]

PERCENTILES = (50, 95, 99)
# The ratio of throughputs is taken where a database imports (16) and where batches are full (64).
# Cores that others may use meanwhile before the figures are in doubt.
QUIET = 0.1
AT_LIMIT, AT_REFERENCE, ALONE = 64, 16, 1


@dataclass(frozen=True)
class Round:
    """One short measurement of one cell."""

    mode: Mode
    modality: Modality
    clients: int
    items_per_second: float
    # Milliseconds by percentile; empty for the ceiling.
    latency: dict[int, float] = field(default_factory=dict)
    errors: int = 0
    generator_cpu: float = 0.0
    server_cpu: float | None = None
    other_cpu: float | None = None


@dataclass(frozen=True)
class Bar:
    """What a figure should be."""

    at_least: float | None = None
    at_most: float | None = None

    def passed(self, figure: float) -> bool:
        return (self.at_least is None or figure >= self.at_least) and (self.at_most is None or figure <= self.at_most)

    def __str__(self) -> str:
        return f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"


def bars(cpu: Cpu) -> dict[str, Bar]:
    """Bars by figure. The reference computes in float32, so it falls further behind where there is AMX."""
    return {
        "served_over_limit_images": Bar(at_least=0.85),
        "served_over_limit_texts": Bar(at_least=0.6),
        "served_over_reference_images": Bar(at_least=8 if cpu.amx else 5),
        "served_over_reference_texts": Bar(at_least=15 if cpu.amx else 9),
        "p50_over_reference_image": Bar(at_most=0.5),
        "p50_over_reference_text": Bar(at_most=0.5),
        "seconds_to_ready_cached": Bar(at_most=3.0),
        "rss_over_reference": Bar(at_most=0.5),
    }


def percentile(values: Sequence[float], percent: float) -> float:
    """Linear between the two nearest values, as numpy has it. Raises `ValueError` for no values."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


Cell = tuple[Mode, Modality, int]


class Rounds:
    """All rounds of a run, by cell."""

    def __init__(self, rounds: Sequence[Round]) -> None:
        self._cells: dict[Cell, list[Round]] = defaultdict(list)
        for each in rounds:
            self._cells[each.mode, each.modality, each.clients].append(each)

    def speed_ratio(self, one: Cell, other: Cell) -> float | None:
        """The median of the rounds' own ratios: what slows the whole machine for a while falls out."""
        return self._ratio([(a.items_per_second, b.items_per_second) for a, b in self._pairs(one, other)])

    def p50_ratio(self, one: Cell, other: Cell) -> float | None:
        """The same for the median latency."""
        return self._ratio(
            [(a.latency[50], b.latency[50]) for a, b in self._pairs(one, other) if a.latency and b.latency]
        )

    def other_cpu(self) -> float | None:
        """Cores that were busy with something else while clients were measured, the median."""
        used = [each.other_cpu for rounds in self._cells.values() for each in rounds if each.other_cpu is not None]
        return round(statistics.median(used), 3) if used else None

    def summaries(self) -> list[dict[str, Any]]:
        """One object per cell: medians over the rounds, and each round's rate."""
        return [self._summary(cell, rounds) for cell, rounds in self._cells.items()]

    def _pairs(self, one: Cell, other: Cell) -> list[tuple[Round, Round]]:
        return list(zip(self._cells.get(one, []), self._cells.get(other, []), strict=False))

    @staticmethod
    def _ratio(pairs: Sequence[tuple[float, float]]) -> float | None:
        ratios = [a / b for a, b in pairs if b]
        return round(statistics.median(ratios), 4) if ratios else None

    @staticmethod
    def _summary(cell: Cell, rounds: list[Round]) -> dict[str, Any]:
        mode, modality, clients = cell
        used = [each.server_cpu for each in rounds if each.server_cpu is not None]
        summary: dict[str, Any] = {"mode": mode, "modality": modality, "clients": clients}
        summary["items_per_second"] = round(statistics.median(each.items_per_second for each in rounds), 2)
        for percent in PERCENTILES if rounds[0].latency else ():
            summary[f"p{percent}_ms"] = round(statistics.median(each.latency[percent] for each in rounds), 3)
        summary["errors"] = sum(each.errors for each in rounds)
        summary["generator_cores"] = round(statistics.median(each.generator_cpu for each in rounds), 3)
        summary["server_cores"] = round(statistics.median(used), 3) if used else None
        summary["rounds"] = [round(each.items_per_second, 2) for each in rounds]
        return summary


def ratios(rounds: Rounds) -> dict[str, float | None]:
    """The figures that have bars, as far as they come from rounds."""
    figures: dict[str, float | None] = {}
    for one in MODALITIES:
        figures[f"served_over_limit_{one}s"] = rounds.speed_ratio(("served", one, AT_LIMIT), ("limit", one, 0))
        at: tuple[Cell, Cell] = ("served", one, AT_REFERENCE), ("reference", one, AT_REFERENCE)
        figures[f"served_over_reference_{one}s"] = rounds.speed_ratio(*at)
        alone: tuple[Cell, Cell] = ("served", one, ALONE), ("reference", one, ALONE)
        figures[f"p50_over_reference_{one}"] = rounds.p50_ratio(*alone)
    return figures


def judge(figures: dict[str, Any], cpu: Cpu) -> dict[str, dict[str, Any]]:
    """Each bar, the figure and whether it passed; figures that are not there are left out."""
    return {
        name: {"figure": figures[name], "bar": str(bar), "passed": bar.passed(figures[name])}
        for name, bar in bars(cpu).items()
        if figures.get(name) is not None
    }


def show(console: Console, report: dict[str, Any]) -> None:
    """The report as tables."""
    cpu = report["cpu"]
    sets = [name.replace("_", "-") for name in ("amx", "avx512_bf16", "avx512", "avx2") if cpu[name]]
    console.print(f"\n{cpu['model']}, {cpu['cores']} cores ({', '.join(sets).upper() or 'instruction sets unknown'})")
    console.print(_cells_table(report["raw"]["cells"]))
    if (report["other_cpu"] or 0) > QUIET:
        console.print(f"the machine was busy: {report['other_cpu']:.2f} cores with other work; ratios are in doubt")
    if not report["complete"]:
        console.print(f"no ratios, because the run had errors: {report['first_error']}", style="red", markup=False)
        return
    console.print(_figures_table(report))


def _cells_table(cells: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("mode", "items", "clients"):
        table.add_column(column)
    for column in ("items/s", "p50 ms", "p95 ms", "p99 ms", "errors", "server CPU", "generator CPU"):
        table.add_column(column, justify="right")
    order = {"served": 0, "reference": 1, "limit": 2}
    for cell in sorted(cells, key=lambda each: (each["modality"], order[each["mode"]], each["clients"])):
        latencies = [f"{cell[f'p{percent}_ms']:.1f}" if f"p{percent}_ms" in cell else "" for percent in PERCENTILES]
        cores = [f"{cell[name]:.2f}" if cell[name] else "" for name in ("server_cores", "generator_cores")]
        rate, errors = f"{cell['items_per_second']:.1f}", str(cell["errors"])
        table.add_row(cell["mode"], cell["modality"], str(cell["clients"] or ""), rate, *latencies, errors, *cores)
    return table


def _figures_table(report: dict[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("figure")
    table.add_column("", justify="right")
    table.add_column("bar")
    table.add_column("")
    for name in FIGURES:
        figure, verdict = report[name], report["bars"].get(name)
        shown = "none" if figure is None else f"{figure:.4g}"
        bar = verdict["bar"] if verdict else ""
        passed = ("[green]pass" if verdict["passed"] else "[yellow]below") if verdict else ""
        table.add_row(name, shown, bar, passed)
    return table


FIGURES = (
    "served_over_limit_images",
    "served_over_limit_texts",
    "served_over_reference_images",
    "served_over_reference_texts",
    "p50_over_reference_image",
    "p50_over_reference_text",
    "seconds_to_ready_cold",
    "seconds_to_ready_cached",
    "rss_mb",
    "reference_rss_mb",
    "rss_over_reference",
    "import_over_reference",
)


def keep(found: Mapping[str, Any], path: Path | None) -> None:
    """All figures as JSON, where a file is wanted."""
    if path is not None:
        path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
