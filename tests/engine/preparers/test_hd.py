"""Phi-3-V's pictures, against the steps of its processor by torchvision."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import functional

from multi2vec.engine.errors import BadInput
from multi2vec.engine.preparers import layouts
from multi2vec.engine.preparers.layouts import hd
from multi2vec.layouts import HdLayout

# By height and width of a picture: tiles (high, wide) and rows with 4 tiles at most, and with 16.
TABLE = {
    (64, 64): ((2, 2), 757, (4, 4), 2509),
    (480, 640): ((2, 2), 757, (3, 4), 1921),
    (640, 480): ((2, 2), 757, (4, 3), 1933),
    (1080, 1920): ((2, 2), 757, (3, 5), 2353),
    (1754, 1240): ((2, 2), 757, (4, 3), 1933),
    (30, 5000): ((1, 4), 745, (1, 16), 2473),
    (5000, 30): ((4, 1), 781, (16, 1), 2653),
}
SIZES = [
    (1, 1),
    (336, 336),
    (337, 335),
    (335, 337),
    (500, 333),
    (333, 500),
    (97, 1000),
    (1000, 97),
    (2, 1343),
    (901, 7),
]


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * 10_000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def original(picture: Image.Image, crops: int) -> Image.Image:
    """The processor's steps: torchvision resizes and pads."""
    if picture.width < picture.height:
        turned = original(picture.transpose(Image.Transpose.TRANSPOSE), crops)
        return turned.transpose(Image.Transpose.TRANSPOSE)
    ratio = picture.width / picture.height
    wide = 1
    while wide * np.ceil(wide / ratio) <= crops:
        wide += 1
    width = (wide - 1) * 336
    picture = functional.resize(picture, [int(width / ratio), width])
    missing = math.ceil(picture.height / 336) * 336 - picture.height
    above = int(missing / 2)
    return functional.pad(picture, [0, above, 0, missing - above], fill=[255, 255, 255])


@pytest.mark.parametrize(
    ("size", "crops"),
    [
        (size, crops)
        for size in [*SIZES, *((width, height) for height, width in TABLE)]
        for crops in (1, 4, 16)
        # Those that are longer are refused, below.
        if max(size) <= 336 * crops * min(size)
    ],
)
def test_pixels_are_the_originals(size: tuple[int, int], crops: int) -> None:
    picture = noise(*size)
    pixels = hd.tiled(picture, crops)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, np.asarray(original(picture, crops)))


@pytest.mark.parametrize(("size", "expected"), TABLE.items())
def test_tiles_and_rows(size: tuple[int, int], expected: tuple[tuple[int, int], int, tuple[int, int], int]) -> None:
    for crops, tiles, rows in ((4, *expected[:2]), (16, *expected[2:])):
        height, width, _ = hd.tiled(noise(size[1], size[0]), crops).shape
        assert (height // 336, width // 336) == tiles
        assert hd.rows_of(height, width) == rows


def test_what_the_tower_takes() -> None:
    laid = layouts.lay_out([noise(640, 480)], HdLayout(16), Image.Resampling.BILINEAR)
    assert np.array_equal(laid.arrays["pixels"], hd.tiled(noise(640, 480), 16))
    assert (laid.rows, laid.grid, laid.size) == (1921, None, 13 * 24 * 24)


@pytest.mark.parametrize("size", [(1345, 1), (1, 1345)])
def test_a_picture_that_would_be_no_pixel_high_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(BadInput, match="are 1345 and 1 pixels; the longer one can be at most 1344 times"):
        hd.tiled(noise(*size), 4)
    assert hd.tiled(noise(*(min(side, 1344) for side in size)), 4).size > 0


def test_white_is_above_and_below() -> None:
    black = hd.tiled(Image.new("RGB", (500, 333)), 4)
    assert black.shape == (672, 672, 3)
    lines = black.max(axis=(1, 2))
    assert (lines[:112] == 255).all()
    assert (lines[112:559] == 0).all()
    assert (lines[559:] == 255).all()
