"""Pictures in patches, against transformers' own processor, and sizes against the code of the models' authors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from mteb.models.model_implementations import gme_v_models
from PIL import Image
from transformers import Qwen2VLImageProcessorPil, Qwen3VLVideoProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize
from transformers.vision_utils import get_vision_interpolation_indices_and_weights, get_vision_position_ids

from multi2vec.engine.errors import BadInput
from multi2vec.engine.preparers.layouts import patches
from multi2vec.layouts import PatchLayout, Resize

CLAMPED = Resize(28, 3136, 12845056, beyond="clamp")
REFUSED = Resize(28, 3136, 12845056)
GME = PatchLayout(14, 2, (CLAMPED, Resize(28, 200704, 1003520, at_least_one=False)))
DSE = PatchLayout(14, 2, (REFUSED, Resize(28, 784, 2007040, at_least_one=False)))
QWEN3 = PatchLayout(16, 2, (Resize(32, 4096, 1843200),), frames=2, table=48)
# Height and width of a picture, then those that a model makes of it, and how many tokens it takes.
TABLE = {
    (64, 64): ((448, 448, 256), (56, 56, 4), (64, 64, 4)),
    (480, 640): ((476, 644, 391), (476, 644, 391), (480, 640, 300)),
    (1080, 1920): ((728, 1316, 1222), (1064, 1876, 2546), (992, 1792, 1736)),
    (1754, 1240): ((1176, 812, 1218), (1680, 1176, 2520), (1600, 1120, 1750)),
    (30, 5000): ((56, 6020, 430), (28, 5012, 179), (32, 4992, 156)),
}
SIDES = (1, 3, 13, 14, 15, 27, 28, 29, 41, 42, 43, 56, 100, 333, 500, 1000, 1001, 2717, 5000)


def noise(height: int, width: int) -> Image.Image:
    """A picture in which each pixel is another."""
    return Image.fromarray(np.random.default_rng(height * width).integers(0, 255, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", TABLE)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_the_sizes_that_models_make_of_pictures(size: tuple[int, int], which: int) -> None:
    layout = (GME, DSE, QWEN3)[which]
    laid = patches.lay_out([noise(*size)], layout, Image.Resampling.BICUBIC)
    height, width, tokens = TABLE[size][which]
    unit = layout.patch * layout.merge
    assert laid.rows == tokens
    assert laid.grid == (height // unit, width // unit)
    assert laid.size == 4 * tokens
    between = {"interp_indices": (4 * tokens, 4), "interp_weights": (4 * tokens, 4)}
    assert {name: array.shape for name, array in laid.arrays.items()} == {
        "pixels": (4 * tokens, 1536 if layout.table else 588),
        "position_ids": (4 * tokens, 2),
        **(between if layout.table else {}),
    }


@pytest.mark.filterwarnings("ignore:Absolute aspect ratio")
def test_resizing_as_the_authors_of_gme_do_it_first() -> None:
    for size in itertools.product(SIDES, SIDES):
        assert patches.resized(size, CLAMPED) == gme_v_models.smart_resize(*size), size


@pytest.mark.parametrize(("least", "most"), [(784, 2007040), (200704, 1003520)])
def test_resizing_as_the_processor_does_it(least: int, most: int) -> None:
    step = Resize(28, least, most, at_least_one=False)
    for size in itertools.product(SIDES, SIDES):
        if max(size) > 200 * min(size):
            with pytest.raises(BadInput, match="at most 200 times"):
                patches.resized(size, step)
        else:
            assert patches.resized(size, step) == smart_resize(*size, 28, least, most), size


def test_resizing_in_units_of_32_pixels() -> None:
    """The authors of Qwen3-VL-Embedding take the rule of GME's with other numbers, and refuse what that clamps."""
    for size in itertools.product(SIDES, SIDES):
        if max(size) > 200 * min(size):
            with pytest.raises(BadInput, match="at most 200 times"):
                patches.resized(size, QWEN3.resizes[0])
        else:
            expected = gme_v_models.smart_resize(*size, factor=32, min_pixels=4096, max_pixels=1843200)
            assert patches.resized(size, QWEN3.resizes[0]) == expected, size


def test_a_pair_of_frames_is_one_picture_of_two_times() -> None:
    """Against the processor of videos, which gets two pairs."""
    layout = PatchLayout(16, 2, (), frames=2, table=48)
    frames = [np.asarray(noise(64, 96)) ^ np.uint8(number) for number in range(4)]
    video = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    settings = {"do_resize": False, "do_rescale": False, "do_normalize": False, "do_sample_frames": False}
    found = Qwen3VLVideoProcessor()(videos=[video], return_tensors="pt", **settings)
    pixels = np.split(found["pixel_values_videos"].numpy().astype(np.uint8), 2)
    grid = found["video_grid_thw"]
    indices, weights = get_vision_interpolation_indices_and_weights(
        grid, num_grid_per_side=48, align_corners=True, spatial_merge_size=2
    )
    for number, pair in enumerate((frames[:2], frames[2:])):
        laid = patches.in_patches(pair, layout)
        assert (laid.grid, laid.rows, laid.size) == ((2, 3), 6, 24)
        assert np.array_equal(laid.arrays["pixels"], pixels[number])
        part = slice(24 * number, 24 * (number + 1))
        assert np.array_equal(laid.arrays["interp_indices"], indices[part].numpy())
        assert np.array_equal(laid.arrays["interp_weights"], weights[part].numpy())
        assert np.array_equal(laid.arrays["position_ids"], get_vision_position_ids(grid, 2)[part].numpy())


@pytest.mark.parametrize("size", [(64, 64), (301, 207), (90, 911)])
def test_patches_of_qwen3_against_the_processor(size: tuple[int, int]) -> None:
    picture = noise(*size)
    processor = Qwen2VLImageProcessorPil(patch_size=16, min_pixels=4096, max_pixels=1843200)
    found = processor(picture, do_rescale=False, do_normalize=False, return_tensors="np")
    laid = patches.lay_out([picture], QWEN3, Image.Resampling.BICUBIC)
    assert laid.arrays["pixels"].dtype == np.uint8
    assert np.array_equal(laid.arrays["pixels"], found["pixel_values"])


@pytest.mark.parametrize("size", [(64, 64), (301, 207), (90, 911)])
def test_patches_against_the_processor(size: tuple[int, int]) -> None:
    picture = noise(*size)
    layout = PatchLayout(14, 2, (Resize(28, 784, 200000, at_least_one=False),))
    processor = Qwen2VLImageProcessorPil(min_pixels=784, max_pixels=200000)
    found = processor(picture, do_rescale=False, do_normalize=False, return_tensors="pt")
    pixels = found["pixel_values"].numpy().astype(np.uint8)
    laid = patches.lay_out([picture], layout, Image.Resampling.BICUBIC)
    assert laid.arrays["pixels"].dtype == np.uint8
    assert np.array_equal(laid.arrays["pixels"], pixels.reshape(-1, 3, 2, 196)[:, :, 0].reshape(-1, 588))
    both = patches.lay_out([picture], PatchLayout(14, 2, layout.resizes, frames=2), Image.Resampling.BICUBIC)
    assert np.array_equal(both.arrays["pixels"], pixels)
    places = get_vision_position_ids(found["image_grid_thw"], 2)
    assert np.array_equal(laid.arrays["position_ids"], places.numpy())


def test_a_very_narrow_picture_is_refused_or_clamped() -> None:
    with pytest.raises(BadInput, match="a picture has 6000×20 pixels; its longer side can be at most 200 times"):
        patches.lay_out([noise(20, 6000)], DSE, Image.Resampling.BICUBIC)
    assert patches.lay_out([noise(20, 6000)], GME, Image.Resampling.BICUBIC).grid == (2, 227)
