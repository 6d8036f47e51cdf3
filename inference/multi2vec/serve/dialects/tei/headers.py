"""What text-embeddings-inference tells in headers: on what, on how much and for how long it computed."""

from __future__ import annotations

import time
from collections.abc import Sequence

from multi2vec.serve.items import Item
from multi2vec.serve.service import Service


def computed(service: Service, given: Sequence[Item], tokens: int, started: float) -> dict[str, str]:
    """`started` as `time.perf_counter()` has it."""
    milliseconds = str(int((time.perf_counter() - started) * 1000))
    return {
        "x-compute-type": service.execution.device.lower(),
        "x-compute-time": milliseconds,
        "x-compute-characters": str(sum(len(item.content) for item in given if item.modality == "text")),
        "x-compute-tokens": str(tokens),
        "x-total-time": milliseconds,
    }
