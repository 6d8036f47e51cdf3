"""Which arithmetic is fastest on this machine: measured, because what a CPU says of itself does not tell.

With AMX, and on AMD CPUs with AVX512-BF16, bfloat16 is about twice as fast as float32; on Intel CPUs with AVX512-BF16
and no AMX it is slower. What is measured is the beginning of the tower itself, up to its ninth multiplication of
matrices (more than the first layer of a transformer), so that a start takes a fraction of a second longer. Where there
is a cache of compiled models, the choice is remembered in it for this kind of CPU.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import openvino as ov

from multi2vec.engine.encoder import Execution, check_device, properties
from multi2vec.engine.rows import Array

Inputs = Mapping[str, Array]

MULTIPLICATIONS = 9
HEAVY = ("MatMul", "Convolution")
# Runs that count, in each precision: at least so many, and further ones while all together are short (seconds).
REPEATS, MOST_REPEATS = 2, 8
SHORT = 0.03
# A lower precision is taken only when it is clearly faster: the same machine should choose the same every time.
MARGIN = 0.9


@dataclass(frozen=True)
class Choice:
    """The precision that a tower runs in. `milliseconds`: what was measured, by precision and size of batch; empty when
    there was nothing to choose."""

    precision: str
    milliseconds: Mapping[str, Mapping[int, float]] = field(default_factory=dict)


class Trial(Protocol):
    """Runs one batch in one precision."""

    def seconds(self, batch: int) -> float:
        """How long a batch of so many items took."""


def candidates(execution: Execution, *, bf16_is_measured: bool) -> tuple[str, ...]:
    """The precisions that may be chosen, the most exact first. Raises `DeviceError`.

    bf16 only where the CPU has it and parity in bf16 was measured when the model was converted.
    """
    core = ov.Core()
    check_device(core, execution.device)
    if execution.precision != "auto":
        return (execution.precision,)
    capabilities = core.get_property(execution.device.split(":")[0], "OPTIMIZATION_CAPABILITIES")
    if execution.device == "CPU":
        return ("f32", "bf16") if "BF16" in capabilities and bf16_is_measured else ("f32",)
    return ("f16",) if "FP16" in capabilities else ("f32",)


def cpu_has_bf16() -> bool:
    """Whether this CPU computes in bfloat16; others would do it in float32."""
    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def choose(trials: Mapping[str, Trial], batches: Sequence[int]) -> Choice:
    """The fastest of the precisions, the first one unless another is clearly faster."""
    first, *others = trials
    times = measure(trials, batches)
    best, smallest = first, MARGIN
    for each in others:
        relative = sum(times[each][batch] / times[first][batch] for batch in batches) / len(batches)
        if relative < smallest:
            best, smallest = each, relative
    shown = {name: {batch: round(1e3 * value, 2) for batch, value in row.items()} for name, row in times.items()}
    return Choice(best, shown)


def measure(trials: Mapping[str, Trial], batches: Sequence[int]) -> dict[str, dict[int, float]]:
    """The least seconds of some runs, by precision and batch; the precisions take turns, after a first run each.

    Large batches come first: what a precision does only once is then done in a run that is long anyway.
    """
    times: dict[str, dict[int, float]] = {name: {} for name in trials}
    for batch in sorted(batches, reverse=True):
        for trial in trials.values():
            trial.seconds(batch)
        spent = 0.0
        for repeat in range(MOST_REPEATS):
            if repeat >= REPEATS and spent > SHORT:
                break
            for name, trial in trials.items():
                took = trial.seconds(batch)
                spent += took
                times[name][batch] = min(took, times[name].get(batch, took))
    return times


class Beginning:
    """The first part of a tower, compiled for one precision; `inputs` are the tower's, by size of batch."""

    def __init__(self, graph: ov.Model, execution: Execution, precision: str, inputs: Mapping[int, Inputs]) -> None:
        compiled = ov.Core().compile_model(graph, execution.device, properties(execution, precision))
        self._request = compiled.create_infer_request()
        self._inputs = inputs

    def seconds(self, batch: int) -> float:
        """How long a batch of so many items took."""
        started = time.perf_counter()
        self._request.infer(dict(self._inputs[batch]), share_inputs=True)
        return time.perf_counter() - started


def trials(file: Path, execution: Execution, allowed: Sequence[str], inputs: Mapping[int, Inputs]) -> dict[str, Trial]:
    """The beginning of the tower in that file, compiled for each of the precisions."""
    graph = beginning(ov.Core().read_model(str(file)))
    # Side by side: compiling keeps one core busy.
    with ThreadPoolExecutor(len(allowed)) as pool:
        made = pool.map(lambda each: Beginning(graph, execution, each, inputs), allowed)
        return dict(zip(allowed, made, strict=True))


def remembered(
    folder: Path | None, tower: Path, execution: Execution, allowed: Sequence[str], make: Callable[[], Choice]
) -> Choice:
    """The choice that was made for this tower on this kind of CPU before, if it is among those allowed, or the one that
    `make` makes now.

    It is kept in `folder`; None: nowhere.
    """
    if folder is None:
        return make()
    path = folder / f"precision-{_key(tower, execution)}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        times = {name: {int(batch): ms for batch, ms in row.items()} for name, row in kept["milliseconds"].items()}
        if kept["precision"] in allowed:
            return Choice(str(kept["precision"]), times)
    choice = make()
    with contextlib.suppress(OSError):
        # Several servers may share the folder: none must read half of it.
        beside = path.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps({"precision": choice.precision, "milliseconds": choice.milliseconds}))
        beside.replace(path)
    return choice


def _key(tower: Path, execution: Execution) -> str:
    """Changes with the tower, the kind of CPU, the threads and OpenVINO's version."""
    cpu = ov.Core().get_property(execution.device, "FULL_DEVICE_NAME")
    parts = (cpu, execution.cpu_threads, execution.cpu_streams, ov.get_version())
    return hashlib.sha256(f"{parts}".encode() + tower.read_bytes()).hexdigest()[:16]


def beginning(graph: ov.Model) -> ov.Model:
    """The graph up to its ninth multiplication, or all of a graph that has fewer."""
    heavy = [node for node in graph.get_ordered_ops() if node.get_type_name() in HEAVY]
    if len(heavy) <= MULTIPLICATIONS:
        return graph
    return ov.Model([heavy[MULTIPLICATIONS - 1].output(0)], graph.get_parameters())
