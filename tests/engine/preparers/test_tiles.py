"""Pictures in tiles, against the Idefics3 processor of transformers with pictures by PIL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from transformers import Idefics3ImageProcessorPil

from multi2vec.engine.errors import BadInput, TooLarge
from multi2vec.engine.preparers import PREPARERS
from multi2vec.engine.preparers.pictures import PicturePreparer
from multi2vec.engine.preparers.tiles import TilePreparer, cut, expanded, picture_preparer
from multi2vec.engine.work import Limits
from multi2vec.specs import OutputSpec, PictureSpec, TensorSpec, TileSpec, TowerSpec

PLACE, PLACES = 9, 3
PROMPTS = {"1×2": (1, PLACE, PLACE, 2), "2×1": (3, PLACE, 4, PLACE, 2), "2×2": (1, *[PLACE] * 5, 2), "0×0": (1, PLACE)}
TOWER = TowerSpec(
    "image.xml",
    (
        TensorSpec("pixels", "u8", (None, 48, 48, 3)),
        TensorSpec("input_ids", "i64", (None, None)),
        TensorSpec("attention_mask", "i64", (None, None)),
    ),
    (OutputSpec("dense", 4),),
)
SIZES = [
    (1, 1),
    (1, 400),
    (400, 1),
    (48, 48),
    (47, 49),
    (96, 96),
    (97, 53),
    (95, 96),
    (300, 299),
    (299, 300),
    (640, 480),
    (480, 640),
    (333, 1000),
    (1000, 17),
]


def spec(longest: int = 96, tile: int = 48) -> PictureSpec:
    tiles = TileSpec(longest=longest, place=PLACE, places=PLACES, prompts=PROMPTS, pad_id=7)
    return PictureSpec("image", tile, tile, "squash", interpolation="lanczos", tiles=tiles)


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * 10_000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def original(picture: Image.Image, longest: int, tile: int) -> tuple[np.ndarray, str]:
    processor = Idefics3ImageProcessorPil(size={"longest_edge": longest}, max_image_size={"longest_edge": tile})
    made = processor([[picture]], do_rescale=False, do_normalize=False, return_row_col_info=True)
    pixels = np.asarray(made["pixel_values"][0]).transpose(0, 2, 3, 1)
    return pixels, f"{made['rows'][0][0]}×{made['cols'][0][0]}"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("longest", "tile"), [(96, 48), (100, 48), (192, 48), (48, 48), (40, 48)])
def test_tiles_are_the_originals(size: tuple[int, int], longest: int, tile: int) -> None:
    picture = noise(*size)
    pixels, grid = cut(picture, spec(longest, tile))
    expected, expected_grid = original(picture, longest, tile)
    assert grid == expected_grid
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize("size", [(640, 427), (31, 1777)])
def test_tiles_of_real_size_are_the_originals(size: tuple[int, int]) -> None:
    picture = noise(*size)
    pixels, grid = cut(picture, spec(2048, 512))
    expected, expected_grid = original(picture, 2048, 512)
    assert grid == expected_grid
    assert np.array_equal(pixels, expected)


def test_a_place_becomes_as_many_tokens_as_a_tile_has() -> None:
    tiles = spec().tiles
    assert tiles is not None
    assert expanded((1, PLACE, 2, PLACE), tiles).tolist() == [1, PLACE, PLACE, PLACE, 2, PLACE, PLACE, PLACE]


def test_a_batch_has_all_tiles_one_after_another_and_a_row_for_each_picture() -> None:
    preparer = picture_preparer(Path(), spec(), TOWER)
    wide, square = preparer.prepare(noise(96, 30)), preparer.prepare(noise(60, 60))
    assert (wide.size, square.size) == (3, 5)
    batch = preparer.collate([wide, square])
    assert list(batch) == ["pixels", "input_ids", "attention_mask"]
    assert np.array_equal(batch["pixels"], np.concatenate([wide.arrays["pixels"], square.arrays["pixels"]]))
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, 17)
    assert batch["input_ids"][0].tolist() == [1, *[PLACE] * 6, 2, *[7] * 9]
    assert batch["attention_mask"].sum(axis=1).tolist() == [8, 17]


def test_tiles_bound_a_batch() -> None:
    """A picture of 17 tiles takes as much memory as 17 small pictures."""
    budget = PREPARERS["image"].budget
    assert budget.padded == budget.items == 32


def test_the_spec_says_which_preparer_it_is() -> None:
    plain = PictureSpec("image", 48, 48, "squash")
    assert isinstance(picture_preparer(Path(), plain, TOWER), PicturePreparer)
    assert isinstance(picture_preparer(Path(), spec(), TOWER), TilePreparer)


def test_what_is_no_picture_is_refused() -> None:
    preparer = picture_preparer(Path(), spec(), TOWER, Limits(picture_pixels=100))
    with pytest.raises(BadInput, match="none of the formats"):
        preparer.prepare(b"no picture")
    with pytest.raises(TooLarge, match="20×20 pixels, more than 100"):
        preparer.prepare(noise(20, 20))


def test_transparency_is_the_specs() -> None:
    picture = Image.new("RGBA", (40, 40), (10, 20, 30, 0))
    preparer = picture_preparer(Path(), spec(), TOWER)
    assert preparer.prepare(picture).arrays["pixels"].reshape(-1, 3).tolist()[0] == [10, 20, 30]
