"""Checkpoints and converted models, each made once per session."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from rich.console import Console

from multi2vec.convert import families, pipeline, recipe, samples
from multi2vec.convert.model import Model
from multi2vec.manifest import Manifest, Modality
from tests import checkpoints

ROOT = Path(__file__).parents[2]

# For each family (and layout) a tag of its own and what writes its checkpoint.
LAYOUTS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "clip": ("openai-clip-vit-base-patch32", checkpoints.clip),
    "clip with OpenAI's configuration": ("openai-clip-vit-base-patch16", checkpoints.clip_as_openai),
    "open_clip": ("ViT-B-16-laion2b_s34b_b88k", checkpoints.open_clip_folder),
    "open_clip with QuickGELU": ("ViT-B-32-quickgelu-laion400m_e32", checkpoints.quick_gelu_open_clip),
    "open_clip with XLM-RoBERTa": ("xlm-roberta-base-ViT-B-32-laion5b_s13b_b90k", checkpoints.xlm_roberta_open_clip),
    "sentence_transformers": ("sentence-transformers-clip-ViT-B-32", checkpoints.sentence_transformers_clip),
    "sentence_transformers multilingual": (
        "sentence-transformers-clip-ViT-B-32-multilingual-v1",
        checkpoints.multilingual_clip,
    ),
}


@dataclass(frozen=True)
class Converted:
    """A converted checkpoint: the folder, its manifest, and the original."""

    folder: Path
    manifest: Manifest
    model: Model


def quiet() -> Console:
    return Console(quiet=True)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The checkpoint of a layout, by its name in LAYOUTS."""
    root = tmp_path_factory.mktemp("checkpoints")
    return cache(lambda layout: LAYOUTS[layout][1](root / layout.replace(" ", "-").replace("'", "")))


@pytest.fixture(scope="session")
def loaded(checkpoint: Callable[[str], Path]) -> Callable[[str], Model]:
    """The model of a layout, as its family hands it over."""
    return cache(lambda layout: families.load(recipe.read(LAYOUTS[layout][0]), checkpoint(layout)))


@pytest.fixture(scope="session")
def converted(
    checkpoint: Callable[[str], Path], loaded: Callable[[str], Model], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Converted]:
    """The model folder of a layout."""
    root = tmp_path_factory.mktemp("models")

    def convert(layout: str) -> Converted:
        tag, target = LAYOUTS[layout][0], root / layout.replace(" ", "-").replace("'", "")
        manifest = pipeline.convert(recipe.read(tag), checkpoint(layout), target, "fp16", quiet())
        return Converted(target, manifest, loaded(layout))

    return cache(convert)


FEW = ("227×341", "RGBA", "grey", "64×64", "palette")


@pytest.fixture
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parity on a handful of samples, for tests of what happens around it."""
    few = {
        "text": samples.texts()[:4],
        "image": [each for each in samples.pictures() if each.name in FEW],
    }
    for modality, chosen in few.items():
        table = samples.SAMPLES[modality]
        monkeypatch.setitem(samples.SAMPLES, modality, dataclasses.replace(table, all=lambda chosen=chosen: chosen))


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
