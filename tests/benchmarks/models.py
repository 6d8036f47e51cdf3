"""The models that are measured, with random weights: a ViT-B/32, and a small one of texts and pictures together. Made
once and kept in `.cache/benchmarks/`."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "benchmarks"
TAG = "openai-clip-vit-base-patch32"
CONVERT = ROOT / "inference" / "multi2vec" / "convert"
RECIPE = ROOT / "images" / f"{TAG}.toml"

MAKE_CHECKPOINT = (
    "import sys, pathlib; from tests.checkpoints import clip_vit_b32; clip_vit_b32(pathlib.Path(sys.argv[1]))"
)
MAKE_FUSED = """
import pathlib, sys, tempfile
from rich.console import Console
from multi2vec.convert import pipeline
from tests.convert.layouts import LAYOUTS
gme = LAYOUTS["GME"]
with tempfile.TemporaryDirectory() as folder:
    source = gme.write(pathlib.Path(folder) / "checkpoint")
    pipeline.convert(gme.recipe, source, pathlib.Path(sys.argv[1]), "fp16", Console(quiet=True))
"""


def checkpoint(cache: Path = CACHE) -> Path:
    """A checkpoint in `openai/clip-vit-base-patch32`'s layout."""
    folder = cache / "checkpoint"
    key = _key(ROOT / "tests" / "checkpoints")
    if not _is_current(folder, key):
        _make(folder, [sys.executable, "-c", MAKE_CHECKPOINT])
        _keep(folder, key)
    return folder


def model(source: Path, cache: Path = CACHE) -> Path:
    """The model folder that conversion makes of it."""
    folder = cache / "model"
    key = _key(ROOT / "tests" / "checkpoints", ROOT / "inference" / "multi2vec" / "manifest.py", CONVERT, RECIPE)
    if not _is_current(folder, key):
        _make(folder, [sys.executable, "-m", "multi2vec", "convert", TAG, "--source", str(source), "--out"])
        _keep(folder, key)
    return folder


def small_fused(cache: Path = CACHE) -> Path:
    """A model folder of GME's kind, a thousandth of its size."""
    folder = cache / "fused"
    key = _key(ROOT / "tests" / "checkpoints", ROOT / "inference" / "multi2vec" / "manifest.py", CONVERT)
    if not _is_current(folder, key):
        _make(folder, [sys.executable, "-W", "ignore", "-c", MAKE_FUSED])
        _keep(folder, key)
    return folder


def _make(folder: Path, command: list[str]) -> None:
    """Run the command with a folder beside the wanted one, and put it in place when it worked."""
    beside = folder.with_name(f"{folder.name}.new")
    for old in (beside, folder):
        shutil.rmtree(old, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([*command, str(beside)], cwd=ROOT, check=True)
    beside.rename(folder)


def _key(*paths: Path) -> str:
    """Changes when what makes the folder changes."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _is_current(folder: Path, key: str) -> bool:
    beside = folder.with_name(f"{folder.name}.key")
    return folder.is_dir() and beside.is_file() and beside.read_text() == key


def _keep(folder: Path, key: str) -> None:
    folder.with_name(f"{folder.name}.key").write_text(key)
