"""Pictures in patches, against Gemma 4's picture processor of transformers, by PIL."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from transformers import Gemma4ImageProcessorPil
from transformers.models.gemma4.image_processing_pil_gemma4 import get_aspect_ratio_preserving_size

from multi2vec.engine.preparers.layouts.gemma_patches import GemmaRule, Patches, cut, fitted, positions

RULE = GemmaRule()
# By (width, height): what it becomes, its patches and its tokens.
SIZES = {
    (1, 1): ((768, 768), 2304, 256),
    (64, 64): ((768, 768), 2304, 256),
    (640, 480): ((912, 672), 2394, 266),
    (480, 640): ((672, 912), 2394, 266),
    (1920, 1080): ((1056, 576), 2376, 264),
    (1240, 1754): ((672, 912), 2394, 266),
    (803, 803): ((768, 768), 2304, 256),
    (4000, 3000): ((912, 672), 2394, 266),
    (333, 1000): ((432, 1344), 2268, 252),
    (1000, 17): ((6144, 96), 2304, 256),
    (5000, 30): ((10368, 48), 1944, 216),
    (279, 1): ((13392, 48), 2511, 279),
    (281, 1): ((13440, 48), 2520, 280),
    (3, 2000): ((48, 13440), 2520, 280),
    (50_000, 1): ((13440, 48), 2520, 280),
}


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * 10_000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def original(picture: Image.Image, rule: GemmaRule) -> Patches:
    """What the library makes of a picture, without the rows that fill it up."""
    processor = Gemma4ImageProcessorPil(
        patch_size=rule.edge, pooling_kernel_size=rule.pooled, max_soft_tokens=rule.most
    )
    made = processor(picture, do_rescale=False)
    places = np.asarray(made["image_position_ids"][0])
    real = places[:, 0] >= 0
    columns, rows = (places.max(axis=0) + 1) // rule.pooled
    assert made["num_soft_tokens_per_image"] == [rows * columns]
    return Patches(np.asarray(made["pixel_values"][0])[real], places[real], (int(rows), int(columns)))


@pytest.mark.parametrize("size", SIZES)
def test_sizes(size: tuple[int, int]) -> None:
    whole, patches, tokens = SIZES[size]
    assert fitted(size, RULE) == whole
    made = cut(noise(*size), RULE)
    assert (len(made.pixels), made.rows) == (patches, tokens)
    assert made.grid == (whole[1] // RULE.side, whole[0] // RULE.side)


@pytest.mark.parametrize("most", [70, 140, 280, 560, 1120])
def test_every_size_is_the_originals(most: int) -> None:
    rule = GemmaRule(most=most)
    generator = np.random.default_rng(most)
    for width, height in (np.exp(generator.uniform(0, 9, (2000, 2)))).astype(int).tolist():
        expected = get_aspect_ratio_preserving_size(height, width, rule.edge, most * rule.pooled**2, rule.pooled)
        assert fitted((width, height), rule) == expected[::-1]


@pytest.mark.parametrize("size", SIZES)
def test_patches_are_the_originals(size: tuple[int, int]) -> None:
    picture = noise(*size)
    made, expected = cut(picture, RULE), original(picture, RULE)
    assert made.pixels.dtype == np.uint8
    assert made.position_ids.dtype == np.int64
    assert np.array_equal(made.pixels, expected.pixels)
    assert np.array_equal(made.position_ids, expected.position_ids)
    assert made.grid == expected.grid


@pytest.mark.parametrize("rule", [GemmaRule(most=70), GemmaRule(most=140), GemmaRule(edge=8, pooled=2, most=70)])
def test_patches_of_other_rules_are_the_originals(rule: GemmaRule) -> None:
    picture = noise(301, 207)
    made, expected = cut(picture, rule), original(picture, rule)
    assert np.array_equal(made.pixels, expected.pixels)
    assert np.array_equal(made.position_ids, expected.position_ids)
    assert made.grid == expected.grid


def test_a_picture_that_fits_already_is_not_changed() -> None:
    picture = noise(768, 768)
    made = cut(picture, RULE)
    assert np.array_equal(made.pixels[49].reshape(16, 16, 3), np.asarray(picture)[16:32, 16:32])
    assert made.position_ids[49].tolist() == [1, 1]


def test_places_go_from_left_to_right_first() -> None:
    assert positions(2, 3).tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]
