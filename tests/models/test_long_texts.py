"""Memory and waiting when texts of a few tokens and of thousands come together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from multi2vec.convert import pipeline
from tests.convert.layouts import LAYOUTS
from tests.models.real_sizes import ROOT


def convert(layout: str, folder: Path) -> Path:
    chosen = LAYOUTS[layout]
    pipeline.convert(chosen.recipe, chosen.write(folder / "checkpoint"), folder / "model", "fp16", Console(quiet=True))
    return folder / "model"


def measure(*arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.models.long_texts", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    print(done.stdout)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.timeout(1800)
def test_memory_stays_flat_over_texts_of_all_lengths(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """Up to 8,192 tokens. The first half fills what is kept for later batches."""
    requests = pytestconfig.getoption("requests")
    found = measure("mixed", convert("text of GTE", tmp_path), requests)
    settled, last = found["resident"][5], found["resident"][-1]
    assert last < 1.1 * settled, found


@pytest.mark.timeout(1800)
def test_short_texts_do_not_wait_for_one_of_32_thousand_tokens(tmp_path: Path) -> None:
    found = measure("beside", convert("text of Qwen3", tmp_path), 40_000, 64)
    assert found["tokens"] == 32768
    assert found["short_seconds"] < 0.3 * found["long_seconds"], found
    # One mask of 32,768 × 32,768 numbers for all layers is half of it.
    assert found["peak"] < 9_000, found
