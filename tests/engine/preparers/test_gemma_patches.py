"""Pictures in patches, against Gemma 4's picture processor of transformers, by PIL."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from transformers import Gemma4ImageProcessorPil
from transformers.models.gemma4.image_processing_pil_gemma4 import get_aspect_ratio_preserving_size

from multi2vec.engine.preparers.layouts import Laid, lay_out
from multi2vec.engine.preparers.layouts.gemma_patches import fitted, places
from multi2vec.layouts import GemmaLayout

LAYOUT = GemmaLayout(edge=16, pooled=3, most=280)
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


def cut(picture: Image.Image, layout: GemmaLayout = LAYOUT) -> Laid:
    return lay_out([picture], layout, Image.Resampling.BICUBIC)


def check_original(picture: Image.Image, layout: GemmaLayout) -> None:
    """What the library makes of a picture, without the rows that fill it up, is the same."""
    processor = Gemma4ImageProcessorPil(
        patch_size=layout.edge, pooling_kernel_size=layout.pooled, max_soft_tokens=layout.most
    )
    expected, made = processor(picture, do_rescale=False), cut(picture, layout)
    where = np.asarray(expected["image_position_ids"][0])
    real = where[:, 0] >= 0
    assert expected["num_soft_tokens_per_image"] == [made.rows]
    assert np.array_equal(made.arrays["pixels"], np.asarray(expected["pixel_values"][0])[real])
    assert np.array_equal(made.arrays["position_ids"], where[real])


@pytest.mark.parametrize("size", SIZES)
def test_sizes(size: tuple[int, int]) -> None:
    whole, patches, tokens = SIZES[size]
    assert fitted(size, LAYOUT) == whole
    made = cut(noise(*size))
    assert (len(made.arrays["pixels"]), made.size, made.rows) == (patches, patches, tokens)
    assert (made.arrays["pixels"].dtype, made.arrays["position_ids"].dtype) == (np.uint8, np.int64)
    # Tokens are counted along a line, whatever stands in them.
    assert made.grid is None


@pytest.mark.parametrize("most", [70, 140, 280, 560, 1120])
def test_every_size_is_the_originals(most: int) -> None:
    layout = GemmaLayout(16, 3, most)
    generator = np.random.default_rng(most)
    for width, height in (np.exp(generator.uniform(0, 9, (2000, 2)))).astype(int).tolist():
        expected = get_aspect_ratio_preserving_size(height, width, layout.edge, most * layout.pooled**2, layout.pooled)
        assert fitted((width, height), layout) == expected[::-1]


@pytest.mark.parametrize("size", SIZES)
def test_patches_are_the_originals(size: tuple[int, int]) -> None:
    check_original(noise(*size), LAYOUT)


@pytest.mark.parametrize("layout", [GemmaLayout(16, 3, 70), GemmaLayout(16, 3, 140), GemmaLayout(8, 2, 70)])
def test_patches_of_other_layouts_are_the_originals(layout: GemmaLayout) -> None:
    check_original(noise(301, 207), layout)


def test_a_picture_that_fits_already_is_not_changed() -> None:
    picture = noise(768, 768)
    arrays = cut(picture).arrays
    assert np.array_equal(arrays["pixels"][49].reshape(16, 16, 3), np.asarray(picture)[16:32, 16:32])
    assert arrays["position_ids"][49].tolist() == [1, 1]


def test_places_go_from_left_to_right_first() -> None:
    assert places(2, 3).tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]
