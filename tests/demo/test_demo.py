"""The embedded default keeps its promises: small, never shown what it is asked about, and finding it through HTTP."""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPModel, CLIPTokenizer

from images.demo.scenes import HELD_OUT, candidates, random_scene, render, variant
from tests import pictures, toy
from tests.server import DEMO, Server, Vectors, serving

CHECKPOINT = DEMO.parent / "checkpoint"
LARGEST = 7_000_000


@pytest.fixture(scope="module")
def demo() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.mark.parametrize("folder", [DEMO, CHECKPOINT])
def test_it_is_small(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.iterdir()) <= LARGEST


def test_training_never_shows_a_pair_that_is_held_out() -> None:
    rng = random.Random(0)
    for _ in range(3000):
        scene = random_scene(rng)
        for each in (scene, variant(scene, rng)):
            assert not {(item.colour, item.shape) for item in each.items} & HELD_OUT


@pytest.mark.parametrize("seed", range(3))
def test_recall_on_pairs_that_were_never_trained_on(demo: Server, seed: int) -> None:
    scenes = candidates(seed, 200)
    captions = [caption for _, caption in scenes]
    assert len(set(captions)) == 200
    assert all((item.colour, item.shape) in HELD_OUT for scene, _ in scenes for item in scene.items)
    files = [toy.b64(pictures.encode(render(scene, 224), "PNG")) for scene, _ in scenes]
    texts, images = demo.vectorize(captions, files)
    for queries, answers in ((texts, images), (images, texts)):
        assert recall(queries, answers, 1) >= 0.95
        assert recall(queries, answers, 5) >= 0.995


def recall(queries: Vectors, answers: Vectors, within: int) -> float:
    """Share of queries whose own answer is among the nearest `within`; unit vectors (n, D)."""
    best = np.argsort(-(queries @ answers.T), axis=1)[:, :within]
    return float((best == np.arange(len(queries))[:, np.newaxis]).any(axis=1).mean())


def test_the_model_folder_is_that_of_the_checkpoint(demo: Server) -> None:
    texts = ["a red circle", "a small blue star above a large green ring on a white background"]
    inputs = CLIPTokenizer.from_pretrained(CHECKPOINT)(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        original = CLIPModel.from_pretrained(CHECKPOINT, dtype=torch.float32).get_text_features(**inputs).pooler_output
    original = torch.nn.functional.normalize(original).numpy()
    served, _ = demo.vectorize(texts)
    assert (served * original).sum(axis=1).min() >= 0.999
    assert demo.meta()["tag"] == "demo"
    assert "nothing else" in str(demo.meta()["description"])
