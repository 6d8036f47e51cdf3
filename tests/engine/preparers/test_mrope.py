"""Positions of tokens among pictures, against the library's own."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Qwen2VLConfig, Qwen2VLModel, Qwen3VLConfig, Qwen3VLModel

from multi2vec.engine.preparers import mrope

Spans = list[int | tuple[int, int]]
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}


def qwen2() -> Any:
    vision = {"depth": 1, "embed_dim": 16, "hidden_size": 16, "num_heads": 2}
    return Qwen2VLModel(Qwen2VLConfig(**SMALL, intermediate_size=16, vocab_size=16, vision_config=vision))


def qwen3() -> Any:
    vision = {"depth": 1, "hidden_size": 16, "num_heads": 2, "intermediate_size": 16, "deepstack_visual_indexes": []}
    text = {**SMALL, "head_dim": 8, "intermediate_size": 16, "vocab_size": 16}
    return Qwen3VLModel(Qwen3VLConfig(text_config=text, vision_config={**vision, "out_hidden_size": 16}))


@pytest.fixture(scope="module", params=[qwen2, qwen3])
def model(request: pytest.FixtureRequest) -> Any:
    return request.param()


def types_of(spans: Spans, kinds: list[int]) -> torch.Tensor:
    """What each token stands for, int64 (1, length)."""
    counts = [span if isinstance(span, int) else span[0] * span[1] for span in spans]
    return torch.tensor([list(itertools.chain(*([kind] * count for kind, count in zip(kinds, counts, strict=True))))])


def expected(model: Any, spans: Spans) -> np.ndarray:
    types = types_of(spans, [0 if isinstance(span, int) else 1 for span in spans])
    grids = torch.tensor([[1, 2 * span[0], 2 * span[1]] for span in spans if not isinstance(span, int)])
    positions, _ = model.get_rope_index(torch.zeros_like(types), types, image_grid_thw=grids)
    return np.asarray(positions[:, 0])


@pytest.mark.parametrize("seed", range(20))
def test_texts_and_pictures_in_turn(model: Any, seed: int) -> None:
    draw = random.Random(seed)
    spans: Spans = []
    for _ in range(draw.randint(1, 4)):
        spans += [draw.randint(1, 9), (draw.randint(1, 7), draw.randint(1, 7))]
    spans.append(draw.randint(1, 9))
    found = mrope.grid(spans)
    assert found.dtype == np.int64
    assert np.array_equal(found, expected(model, spans))


@pytest.mark.parametrize("seed", range(10))
def test_videos_whose_pairs_of_frames_stand_apart(seed: int) -> None:
    """Qwen3-VL says before each pair when it is shown: a pair is then counted as a picture is. Its library is told how
    many pairs a video has, and takes them apart itself."""
    draw = random.Random(seed)
    spans: Spans = [draw.randint(1, 9)]
    kinds, pictures, videos = [0], [], []
    for _ in range(draw.randint(1, 4)):
        kind, grid = draw.choice([1, 2]), (draw.randint(1, 5), draw.randint(1, 5))
        times = 1 if kind == 1 else draw.randint(1, 4)
        for _ in range(times):
            spans += [grid, draw.randint(1, 9)]
            kinds += [kind, 0]
        (pictures if kind == 1 else videos).append([times, 2 * grid[0], 2 * grid[1]])
    grids = {
        "image_grid_thw": torch.tensor(pictures) if pictures else None,
        "video_grid_thw": torch.tensor(videos) if videos else None,
    }
    types = types_of(spans, kinds)
    positions, _ = qwen3().get_rope_index(torch.zeros_like(types), types, **grids)
    assert np.array_equal(mrope.grid(spans), positions[:, 0].numpy())


def test_text_alone_is_a_line() -> None:
    assert np.array_equal(mrope.grid([3, 2]), mrope.line(5))
    assert mrope.line(5).tolist() == [[0, 1, 2, 3, 4]] * 3
