"""A fused model's towers may run in different precisions: its vectors are as near as the coarser one allows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from multi2vec.engine import loading, proof
from multi2vec.engine.encoder import Encoder, Execution
from multi2vec.engine.errors import WrongVectors
from tests import toy_fused


class Rough(Encoder):
    """An encoder whose vision tower is as rough as bfloat16 may be."""

    says: ClassVar[str] = "f32"

    def encode(self, inputs: Mapping[str, Any]) -> Any:
        found = super().encode(inputs)
        if "pixels" not in inputs:
            return found
        self.precision = Rough.says
        return {name: array + 0.04 * np.resize([-1.0, 1.0], array.shape) * array for name, array in found.items()}


def prove(folder: Path) -> float:
    embedder = loading.open_model(folder, Execution(precision="f32"))
    try:
        return asyncio.run(proof.prove(embedder))
    finally:
        embedder.close()


def test_the_coarser_tower_says_how_near_vectors_must_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = toy_fused.write(tmp_path)
    assert prove(folder) > 0.9999
    monkeypatch.setattr(loading, "Encoder", Rough)
    monkeypatch.setattr(Rough, "says", "f32")
    with pytest.raises(WrongVectors, match=r"at least 0\.9999 is needed in f32, fp32 weights"):
        prove(folder)
    monkeypatch.setattr(Rough, "says", "bf16")
    assert 0.999 < prove(folder) < 0.9999
