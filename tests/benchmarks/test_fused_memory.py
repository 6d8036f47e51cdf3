"""The benchmark of a fused model's memory, with a toy."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from multi2vec.layouts import GemmaLayout, HdLayout, Layout, PatchLayout, Resize
from tests import toy_fused
from tests.benchmarks import (
    fused_memory,
)
from tests.benchmarks.servers import BenchmarkError
from tests.server import DEMO


class TestFusedMemory:
    @pytest.mark.parametrize(
        ("layout", "size"),
        [
            (PatchLayout(14, 2, (Resize(28, 3136, 12845056), Resize(28, 200704, 1003520))), (1120, 896)),
            (PatchLayout(16, 2, (Resize(32, 4096, 1843200),)), (1440, 1280)),
            (GemmaLayout(16, 3, 280), (960, 672)),
            (HdLayout(16), (1344, 1344)),
        ],
    )
    def test_the_largest_picture_takes_all_there_is(self, layout: Layout, size: tuple[int, int]) -> None:
        assert fused_memory.largest(layout) == size
        side, most = fused_memory.units(layout)
        assert size[0] * size[1] == most * side**2

    def test_all_figures_are_there(self, tmp_path: Path) -> None:
        found = fused_memory.run(toy_fused.write(tmp_path / "model"), {"FUSED_BATCH": "4"})
        tokens = {what.split()[1]: answer["tokens"] for what, answer in found["answers"].items()}
        assert tokens["picture"] > 16
        assert tokens["text"] == 48
        assert tokens["short"] > 5 * fused_memory.SHORT
        assert 0 < found["memory_mb"]["own"] <= found["memory_mb"]["process"]
        console = Console(width=160, file=io.StringIO())
        fused_memory.show(console, json.loads(json.dumps(found)))
        assert isinstance(console.file, io.StringIO)
        assert "FUSED_BATCH" in console.file.getvalue()

    def test_another_model_is_refused(self) -> None:
        with pytest.raises(BenchmarkError, match="no model of texts and pictures together"):
            fused_memory.run(DEMO, {})
