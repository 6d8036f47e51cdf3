"""Real-size models of each family, converted by the command that users have: parity, memory, size."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from multi2vec import manifest as manifests
from multi2vec.convert import recipe
from multi2vec.engine.precision import cpu_has_bf16
from tests.models import measured, real_sizes


def test_a_real_size_model_is_converted(tag: str, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    weights = pytestconfig.getoption("weights")
    stored = ["--weights", weights] if weights else []
    source, target = real_sizes.write(tag, tmp_path / "checkpoint"), tmp_path / "model"
    try:
        record = measured.convert(tag, source, target, *stored)
        read, promised = manifests.read(target), recipe.read(tag)
    finally:
        # Several of them would fill a disk.
        shutil.rmtree(tmp_path)
    assert (read.tag, read.dimensions) == (tag, promised.dimensions)
    assert read.measured_in("bf16") == cpu_has_bf16()
    if tag in real_sizes.SIXTEEN_BITS:
        # With a copy in float32 it would be more than three times the checkpoint.
        assert record.peak_bytes < 2 * record.checkpoint_bytes
    assert set(record.speed) == set(promised.modalities or read.modalities)
    print(record)
    if pytestconfig.getoption("keep_records"):
        measured.keep(record)
