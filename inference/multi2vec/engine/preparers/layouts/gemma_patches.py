"""Pictures in patches as Gemma 4's vision tower takes them, which EmbeddingGemma 2 shares.

A picture is resized, larger or smaller, to about as many pixels as its tokens allow, and cut into square patches. The
tower takes them in any shape, with each patch's place, and pools small squares of them into one token each. Sizes,
roundings and the order of patches are those of `Gemma4ImageProcessorPil` of transformers; a test holds them against it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from multi2vec.engine.preparers.pictures import Pixels

Size = tuple[int, int]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class GemmaRule:
    """Patches have `edge` pixels a side, `pooled` x `pooled` of them become a token, and a picture has `most` tokens at
    most."""

    edge: int = 16
    pooled: int = 3
    most: int = 280

    @property
    def side(self) -> int:
        """How many pixels a token covers a side."""
        return self.edge * self.pooled


@dataclass(frozen=True)
class Patches:
    """What the vision graph takes of one picture: uint8 (n, edge * edge * 3) `pixels`, a row for each patch, in it y,
    then x, then colour; int64 (n, 2) `position_ids`, x before y.

    `grid` is (rows, columns) of tokens.
    """

    pixels: Pixels
    position_ids: Places
    grid: Size

    @property
    def rows(self) -> int:
        """How many tokens the picture has, and rows the graph gives."""
        return self.grid[0] * self.grid[1]


def cut(picture: Image.Image, rule: GemmaRule) -> Patches:
    """The patches of a picture in mode RGB, from left to right and then from top to bottom."""
    picture = picture.resize(fitted(picture.size, rule), Image.Resampling.BICUBIC)
    columns, rows = picture.width // rule.edge, picture.height // rule.edge
    pixels = np.asarray(picture).reshape(rows, rule.edge, columns, rule.edge, 3).swapaxes(1, 2)
    return Patches(
        pixels=np.ascontiguousarray(pixels).reshape(rows * columns, -1),
        position_ids=positions(rows, columns),
        grid=(rows // rule.pooled, columns // rule.pooled),
    )


def positions(rows: int, columns: int) -> Places:
    """The place of each patch of a grid, int64 (rows * columns, 2), x before y."""
    y, x = np.divmod(np.arange(rows * columns, dtype=np.int64), columns)
    return np.stack([x, y], axis=1)


def fitted(size: Size, rule: GemmaRule) -> Size:
    """(width, height) in whole tokens: as near as possible to the largest that keeps the picture's shape and has no
    more tokens than the rule allows.

    A picture so long that its shorter side would vanish is one token across, and its longer side follows the picture's
    shape rounded down.
    """
    width, height = size
    factor = math.sqrt(rule.most * rule.side**2 / (width * height))
    columns, rows = int(factor * width / rule.side), int(factor * height / rule.side)
    if rows == 0:
        columns, rows = min(width // height, rule.most), 1
    elif columns == 0:
        columns, rows = 1, min(height // width, rule.most)
    return columns * rule.side, rows * rule.side
