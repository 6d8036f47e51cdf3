"""Checkpoints and converted models, each made once per session."""

from __future__ import annotations

import dataclasses
import fcntl
import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from multi2vec import manifest as manifests
from multi2vec.convert import families, parity, pipeline, samples
from multi2vec.convert.comparison import Report
from multi2vec.convert.model import Model
from multi2vec.engine.preparers import PREPARERS
from multi2vec.engine.rows import Array
from multi2vec.engine.wanted import Wanted
from multi2vec.engine.work import Limits
from multi2vec.manifest import Manifest
from multi2vec.specs import Modality
from tests.convert.layouts import LAYOUTS

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Converted:
    """A converted checkpoint: the folder, its manifest, and the original."""

    folder: Path
    manifest: Manifest
    model: Model

    def prepared(self, modality: Modality, name: str, items: Sequence[Any]) -> list[Array]:
        """That input of each item, as the engine prepares it."""
        spec, tower = self.manifest.spec(modality), self.manifest.tower(modality)
        preparer = PREPARERS[modality].make(self.folder, spec, tower, Limits())[modality]
        return [preparer.prepare(item, Wanted()).arrays[name] for item in items]


def quiet() -> Console:
    return Console(quiet=True)


@pytest.fixture(scope="session", autouse=True)
def near_in_bf16_too() -> Iterator[None]:
    """No model of the tests is served in float32 alone for its figures, unless a test takes this away."""
    measure = parity.measure

    @functools.wraps(measure)
    def strict(*arguments: Any) -> Report:
        report = measure(*arguments)
        assert report.faults or not any(stage.faults for stage in report.stages), report.parity["bf16"]
        return report

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "measure", strict)
        yield


@contextmanager
def made_once(folder: Path) -> Iterator[Path | None]:
    """Where to make what shall become the folder, which appears when all went well; None if it is there. Other
    processes wait meanwhile."""
    folder.parent.mkdir(exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            yield None
            return
        part = folder.with_name(f"{folder.name}.part")
        yield part
        part.rename(folder)


def file_name(layout: str) -> str:
    return layout.replace(" ", "-").replace("'", "")


@pytest.fixture(scope="session")
def checkpoint(shared_folder: Path) -> Callable[[str], Path]:
    """The checkpoint of a layout, by its name in LAYOUTS."""

    def write(layout: str) -> Path:
        folder = shared_folder / "checkpoints" / file_name(layout)
        with made_once(folder) as part:
            if part is not None:
                LAYOUTS[layout].write(part)
        return folder

    return cache(write)


@pytest.fixture(scope="session")
def loaded(checkpoint: Callable[[str], Path]) -> Callable[[str], Model]:
    """The model of a layout, as its family hands it over."""
    return cache(lambda layout: families.load(LAYOUTS[layout].recipe, checkpoint(layout)))


@pytest.fixture(scope="session")
def converted(
    checkpoint: Callable[[str], Path], loaded: Callable[[str], Model], shared_folder: Path
) -> Callable[[str], Converted]:
    """The model folder of a layout."""

    def convert(layout: str) -> Converted:
        folder = shared_folder / "models" / file_name(layout)
        with made_once(folder) as part:
            if part is not None:
                pipeline.convert(LAYOUTS[layout].recipe, checkpoint(layout), part, "fp16", quiet())
        return Converted(folder, manifests.read(folder), loaded(layout))

    return cache(convert)


FEW = ("227×341", "RGBA", "grey", "64×64", "palette")


@contextmanager
def on_few_samples() -> Iterator[None]:
    """Parity on a handful of samples, for tests of what happens around it."""
    few = {
        "text": samples.texts()[:4],
        "image": [each for each in samples.pictures() if each.name in FEW],
    }
    with pytest.MonkeyPatch.context() as patch:
        for modality, chosen in few.items():
            table = samples.SAMPLES[modality]
            patch.setitem(samples.SAMPLES, modality, dataclasses.replace(table, all=lambda chosen=chosen: chosen))
        yield


@pytest.fixture
def few_samples() -> Iterator[None]:
    """The same, for a whole test."""
    with on_few_samples():
        yield


def only(model: Model, modality: Modality) -> Model:
    """The model with that modality and no other, to save time."""
    return dataclasses.replace(model, parts={modality: model.parts[modality]})


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in the repository's root, without settings of the hub but those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**kept, "PYTHONWARNINGS": "", "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
