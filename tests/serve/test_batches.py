"""On a real model: a vector computed in a batch is the one computed alone."""

import asyncio
import random

import numpy as np
import pytest

from images.demo.scenes import candidates, render
from inference.serve.encoder import Execution, resolve_precision
from inference.serve.metrics import Metrics
from inference.serve.service import Service
from inference.serve.settings import Settings
from inference.serve.vectors import Vectors
from tests import pictures

FLOORS = {"f32": 0.99999, "bf16": 0.9999}


@pytest.mark.parametrize("precision", FLOORS)
def test_alone_or_together(precision: str) -> None:
    import openvino as ov

    if precision == "bf16" and resolve_precision(ov.Core(), Execution()) != "bf16":
        pytest.skip("this CPU has no bf16")
    scenes = candidates(5, 40)
    texts = [caption for _, caption in scenes] + ["", "a", "red " * 500, "a blue star. " * 3]
    files = [pictures.encode(render(scene, 96), "PNG") for scene, _ in scenes]
    random.Random(1).shuffle(texts)

    async def main() -> tuple[Vectors, ...]:
        service = Service(Settings(cache_dir=None, precision=precision, picture_batch=7), Metrics())  # type: ignore[arg-type]
        await service.load()
        embedder = await service.embedder()
        alone = [await embedder.embed_texts([text]) for text in texts]
        alone_pictures = [await embedder.embed_pictures([file]) for file in files]
        together = await embedder.embed_texts(texts), await embedder.embed_pictures(files)
        service.close()
        return np.concatenate(alone), np.concatenate(alone_pictures), *together

    alone, alone_pictures, together, together_pictures = asyncio.run(main())
    assert (alone * together).sum(axis=1).min() >= FLOORS[precision]
    assert (alone_pictures * together_pictures).sum(axis=1).min() >= FLOORS[precision]
