"""Phi-3-V's pictures: whole tiles of 336 pixels in about the picture's own proportions (arXiv 2404.06512 calls this
the HD transform).

The steps and their roundings are those of the processor of microsoft/Phi-3.5-vision-instruct, which VLM2Vec uses; a
test holds the pixels against torchvision, by which it resizes and pads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from multi2vec.engine.errors import BadInput
from multi2vec.engine.preparers.layouts.laid import Laid
from multi2vec.layouts import HdLayout

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]

TILE = 336
# Each side of a tile has so many patches, of 14 pixels.
SIDE_PATCHES = 24
# A tile becomes 12 × 12 rows.
SIDE_ROWS = 12
WHITE = (255, 255, 255)


def lay_out(frames: Sequence[Image.Image], layout: HdLayout, resample: Image.Resampling) -> Laid:
    """The picture's tiles as one picture, uint8 (height, width, 3), both whole multiples of 336. Its size is how many
    patches the tower looks at, with those of the whole picture as a tile. Raises `BadInput` for a picture that is too
    narrow."""
    (picture,) = frames
    pixels = tiled(picture, layout.crops, resample)
    height, width = pixels.shape[:2]
    tiles = height * width // TILE**2 + 1
    return Laid({"pixels": pixels}, rows_of(height, width), grid=None, size=tiles * SIDE_PATCHES**2)


def tiled(picture: Image.Image, crops: int, resample: Image.Resampling = Image.Resampling.BILINEAR) -> Pixels:
    """A picture in mode RGB as at most `crops` tiles: uint8 (height, width, 3), both whole multiples of 336.

    What the picture does not fill above and below, or left and right of a portrait, is white. Raises `BadInput` for a
    picture that is too narrow.
    """
    if picture.width >= picture.height:
        return np.asarray(_fitted(picture, crops, resample))
    # Pillow resizes along the lines first, and rounds: upright, pixels would differ by a level here and there.
    turned = _fitted(picture.transpose(Image.Transpose.TRANSPOSE), crops, resample)
    return np.asarray(turned.transpose(Image.Transpose.TRANSPOSE))


def rows_of(height: int, width: int) -> int:
    """How many rows the vision tower makes of a picture of so many pixels, whole tiles: those of the tiles, one after
    each line of them, one between, and those of the whole picture as one tile with one after each line."""
    tiles_high, tiles_wide = height // TILE, width // TILE
    lines = (tiles_high + 1) * SIDE_ROWS
    return (tiles_high * tiles_wide + 1) * SIDE_ROWS**2 + 1 + lines


def resized(size: Size, crops: int) -> Size:
    """(width, height) before padding of a picture that is no portrait. Raises `BadInput` for one that is too flat."""
    ratio = size[0] / size[1]
    columns = most_columns(ratio, crops)
    width = columns * TILE
    height = int(width / ratio)
    if height == 0:
        raise BadInput(
            f"a picture's sides are {size[0]} and {size[1]} pixels; the longer one can be at most {width} times the "
            "shorter one"
        )
    return width, height


def most_columns(ratio: float, crops: int) -> int:
    """How many tiles a picture is wide: the most with which it has no more than `crops` in all, none skipped."""
    columns = 1
    while (columns + 1) * math.ceil((columns + 1) / ratio) <= crops:
        columns += 1
    return columns


def _fitted(picture: Image.Image, crops: int, resample: Image.Resampling) -> Image.Image:
    """The picture, no portrait, resized and with white above and below; the larger half of it below."""
    width, height = resized(picture.size, crops)
    padded = math.ceil(height / TILE) * TILE
    ground = Image.new("RGB", (width, padded), WHITE)
    ground.paste(picture.resize((width, height), resample), (0, (padded - height) // 2))
    return ground
