"""Pictures in patches as Gemma 4's vision tower takes them, which EmbeddingGemma 2 shares.

A picture is resized, larger or smaller, to about as many pixels as its tokens allow, and cut into square patches. The
tower takes them in any shape, with each patch's place, and pools small squares of them into one token each. Sizes,
roundings and the order of patches are those of `Gemma4ImageProcessorPil` of transformers; a test holds them against it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from multi2vec.engine.preparers.layouts.laid import Laid
from multi2vec.layouts import GemmaLayout

Pixels = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Size = tuple[int, int]


def lay_out(frames: Sequence[Image.Image], layout: GemmaLayout, resample: Image.Resampling) -> Laid:
    """The picture's patches, uint8 (patches, edge² · 3), and their places, int64 (patches, 2), both from left to right
    and then from top to bottom."""
    (picture,) = frames
    picture = picture.resize(fitted(picture.size, layout), resample)
    columns, rows = picture.width // layout.edge, picture.height // layout.edge
    arrays: dict[str, npt.NDArray[Any]] = {
        "pixels": patches(np.asarray(picture), layout.edge),
        "position_ids": places(rows, columns),
    }
    return Laid(arrays, rows * columns // layout.pooled**2, None, rows * columns)


def fitted(size: Size, layout: GemmaLayout) -> Size:
    """(width, height) in whole tokens: as near as possible to the largest that keeps the picture's shape and has no
    more tokens than the layout allows.

    A picture so long that its shorter side would vanish is one token across, and its longer side follows the picture's
    shape rounded down.
    """
    width, height = size
    factor = math.sqrt(layout.most * layout.side**2 / (width * height))
    columns, rows = int(factor * width / layout.side), int(factor * height / layout.side)
    if rows == 0:
        columns, rows = min(width // height, layout.most), 1
    elif columns == 0:
        columns, rows = 1, min(height // width, layout.most)
    return columns * layout.side, rows * layout.side


def patches(pixels: Pixels, edge: int) -> Pixels:
    """uint8 (patches, edge² · 3) of uint8 (height, width, 3): in a patch by row, column and channel."""
    height, width = pixels.shape[0] // edge, pixels.shape[1] // edge
    blocks = pixels.reshape(height, edge, width, edge, 3).swapaxes(1, 2)
    return np.ascontiguousarray(blocks).reshape(height * width, -1)


def places(rows: int, columns: int) -> Places:
    """The place of each patch of a grid, int64 (rows · columns, 2), x before y."""
    y, x = np.divmod(np.arange(rows * columns, dtype=np.int64), columns)
    return np.stack([x, y], axis=1)
