"""Pictures in tiles: a large picture is cut, so that the tower sees it in detail, and token ids hold the tiles' places.

The steps and their roundings are those of the Idefics3 processor of transformers, as the `TileSpec` says; a test holds
them against it, pixel by pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from multi2vec.engine.preparers.pictures import RESAMPLING, Picture, PicturePreparer, Pixels, decoded, to_rgb, upright
from multi2vec.engine.preparers.protocol import Prepared, Preparer
from multi2vec.engine.preparers.tokens import IDS, MASK, Ids, padded
from multi2vec.engine.rows import Array
from multi2vec.engine.wanted import Wanted
from multi2vec.engine.work import Limits
from multi2vec.specs import PictureSpec, TileSpec, TowerSpec

Size = tuple[int, int]


def picture_preparer(folder: Path, spec: PictureSpec, tower: TowerSpec, limits: Limits = Limits()) -> Preparer[Picture]:
    """The preparer for what the spec says: whole pictures, or tiles."""
    if spec.tiles is None:
        return PicturePreparer(folder, spec, tower, limits)
    return TilePreparer(spec, spec.tiles, tower, limits)


class TilePreparer:
    """Turns pictures into what one tower takes. A picture's size in a batch is how many tiles it has."""

    def __init__(self, spec: PictureSpec, tiles: TileSpec, tower: TowerSpec, limits: Limits = Limits()) -> None:
        self._spec, self._tiles, self._limits = spec, tiles, limits
        self._pixels = tower.inputs[0].name
        self._prompts = {grid: expanded(ids, tiles) for grid, ids in tiles.prompts.items()}

    def is_quick(self, item: Picture) -> bool:
        """Decoding and resizing take milliseconds."""
        return False

    def prepare(self, item: Picture, wanted: Wanted = Wanted()) -> Prepared:
        """The picture's tiles, uint8 (tiles, height, width, 3), and token ids, int64 (length,).

        Raises `BadInput` when it cannot be decoded and `TooLarge` when it is over a limit.
        """
        spec = self._spec
        (pixels, grid), file = decoded(
            item, lambda opened: cut(to_rgb(upright(opened, spec), spec), spec), self._limits
        )
        return Prepared({self._pixels: pixels, IDS: self._prompts[grid]}, size=len(pixels), file=file)

    def collate(self, items: Sequence[Prepared]) -> dict[str, Array]:
        """The tower's inputs for several pictures: all tiles one after another, uint8 (tiles, height, width, 3), and
        token ids and mask, int64 (len(items), length), padded on the right."""
        length = max(len(item.arrays[IDS]) for item in items)
        ids, mask = padded([item.arrays[IDS] for item in items], length, self._tiles.pad_id)
        pixels = np.concatenate([item.arrays[self._pixels] for item in items])
        return {self._pixels: pixels, IDS: ids, MASK: mask}


def expanded(ids: Sequence[int], tiles: TileSpec) -> Ids:
    """The prompt with as many places for each tile as it has tokens, int64 (length,)."""
    places = [tiles.places if number == tiles.place else 1 for number in ids]
    return np.repeat(np.array(ids, dtype=np.int64), places)


def cut(picture: Image.Image, spec: PictureSpec) -> tuple[Pixels, str]:
    """The picture's tiles, uint8 (tiles, height, width, 3), the whole of it last, and the grid as `prompts` name it."""
    assert spec.tiles is not None
    tile = (spec.width, spec.height)
    resample = RESAMPLING[spec.interpolation]
    picture = picture.resize(longest_edge_size(picture.size, spec.tiles.longest), resample)
    picture = picture.resize(whole_tiles_size(picture.size, tile), resample)
    columns, rows = picture.width // tile[0], picture.height // tile[1]
    if rows == columns == 1:
        return np.asarray(picture)[None], "0×0"
    whole = picture.resize(tile, resample)
    pixels = np.asarray(picture).reshape(rows, tile[1], columns, tile[0], 3).swapaxes(1, 2)
    return np.concatenate([pixels.reshape(-1, tile[1], tile[0], 3), np.asarray(whole)[None]]), f"{rows}×{columns}"


def longest_edge_size(size: Size, longest: int) -> Size:
    """(width, height) after the longer edge became `longest`; the other one is floored, then made even, and is 1 at
    least."""
    width, height = size
    ratio = width / height
    if width >= height:
        return longest, max(1, _even(int(longest / ratio)))
    return max(1, _even(int(longest * ratio))), longest


def whole_tiles_size(size: Size, tile: Size) -> Size:
    """(width, height) in whole tiles: the longer edge is rounded up, the other one follows it and is rounded up too."""
    width, height = size
    ratio = width / height
    if width >= height:
        width = math.ceil(width / tile[0]) * tile[0]
        return width, math.ceil(int(width / ratio) / tile[1]) * tile[1]
    height = math.ceil(height / tile[1]) * tile[1]
    return math.ceil(int(height * ratio) / tile[0]) * tile[0], height


def _even(length: int) -> int:
    return length + length % 2
