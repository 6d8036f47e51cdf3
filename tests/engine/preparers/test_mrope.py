"""Positions of tokens among pictures, against the library's own."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Qwen2VLConfig, Qwen2VLModel

from multi2vec.engine.preparers import mrope


@pytest.fixture(scope="module")
def model() -> Any:
    return Qwen2VLModel(
        Qwen2VLConfig(
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            vocab_size=16,
            vision_config={"depth": 1, "embed_dim": 16, "hidden_size": 16, "num_heads": 2},
        )
    )


def expected(model: Any, spans: list[int | tuple[int, int]]) -> np.ndarray:
    kinds = [0 if isinstance(span, int) else 1 for span in spans]
    counts = [span if isinstance(span, int) else span[0] * span[1] for span in spans]
    types = torch.tensor([list(itertools.chain(*([kind] * count for kind, count in zip(kinds, counts, strict=True))))])
    grids = torch.tensor([[1, 2 * span[0], 2 * span[1]] for span in spans if not isinstance(span, int)])
    positions, _ = model.get_rope_index(torch.zeros_like(types), types, image_grid_thw=grids)
    return np.asarray(positions[:, 0])


@pytest.mark.parametrize("seed", range(20))
def test_texts_and_pictures_in_turn(model: Any, seed: int) -> None:
    draw = random.Random(seed)
    spans: list[int | tuple[int, int]] = []
    for _ in range(draw.randint(1, 4)):
        spans += [draw.randint(1, 9), (draw.randint(1, 7), draw.randint(1, 7))]
    spans.append(draw.randint(1, 9))
    found = mrope.grid(spans)
    assert found.dtype == np.int64
    assert np.array_equal(found, expected(model, spans))


def test_text_alone_is_a_line() -> None:
    assert np.array_equal(mrope.grid([3, 2]), mrope.line(5))
    assert mrope.line(5).tolist() == [[0, 1, 2, 3, 4]] * 3
