"""What text-embeddings-inference tells in headers: on what, on how much and for how long it computed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from statistics import fmean

from multi2vec.engine.items import Item
from multi2vec.engine.wanted import Spent
from multi2vec.serve.service import Service


def computed(
    service: Service, given: Sequence[Item], tokens: int, spent: Sequence[Spent], started: float
) -> dict[str, str]:
    """Times in milliseconds, those of steps as the items' mean; `started` as `time.perf_counter()` has it."""
    total = time.perf_counter() - started
    times = {
        "x-compute-time": total,
        "x-total-time": total,
        "x-tokenization-time": _mean(each.prepare for each in spent),
        "x-queue-time": _mean(each.wait for each in spent),
        "x-inference-time": _mean(each.encode for each in spent),
    }
    return {
        "x-compute-type": service.execution.device.lower(),
        "x-compute-characters": str(sum(len(item.content) for item in given if item.modality == "text")),
        "x-compute-tokens": str(tokens),
        **{name: str(int(1000 * seconds)) for name, seconds in times.items()},
    }


def _mean(seconds: Iterable[float]) -> float:
    return fmean([*seconds] or [0.0])
