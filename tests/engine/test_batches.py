"""On a real model: a vector computed in a batch is the one computed alone.

A CPU without bf16 takes it as well and computes in f32, so that the floor holds everywhere.
"""

import asyncio
import random

import numpy as np
import pytest

from images.demo.scenes import candidates, render
from multi2vec import places
from multi2vec.engine.encoder import Execution
from multi2vec.engine.loading import open_model
from multi2vec.engine.work import Budget, Work
from tests import pictures

FLOORS = {"f32": 0.99999, "bf16": 0.9999}


@pytest.mark.parametrize("precision", FLOORS)
def test_alone_or_together(precision: str) -> None:
    scenes = candidates(5, 40)
    texts = [caption for _, caption in scenes] + ["", "a", "red " * 500, "a blue star. " * 3]
    files = [pictures.encode(render(scene, 96), "PNG") for scene, _ in scenes]
    random.Random(1).shuffle(texts)
    how = Execution(precision=precision)  # type: ignore[arg-type]
    embedder = open_model(places.model_folder("demo"), how, Work(budgets={"image": Budget(7)}))

    async def compare(modality: str, items: list[str] | list[bytes]) -> float:
        alone = [np.asarray((await embedder.embed(modality, [item])).rows)[0] for item in items]
        together = np.asarray((await embedder.embed(modality, items)).rows)
        return float((np.stack(alone) * together).sum(axis=1).min())

    assert asyncio.run(compare("text", texts)) >= FLOORS[precision]
    assert asyncio.run(compare("image", files)) >= FLOORS[precision]
    embedder.close()
