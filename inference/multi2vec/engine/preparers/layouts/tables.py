"""Where the patches of a picture of any size lie in a square table of places, which is learned for one size: between
four of its entries.

As `get_vision_interpolation_indices_and_weights` of transformers computes it for Qwen3-VL (bilinear, the outermost
patches at the outermost entries); a test holds both against it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float32]


def between(places: Indices, grid: tuple[int, int], side: int) -> tuple[Indices, Weights]:
    """The four entries that each patch lies between, int64 (patches, 4), and how much it has of each, float32 (patches,
    4): upper left, upper right, lower left, lower right.

    `places` are the patches' rows and columns, int64 (patches, 2), `grid` is how many rows and columns there are, and
    the table has side² entries, row by row.
    """
    rows, of_rows = _neighbours(places[:, 0], grid[0], side)
    columns, of_columns = _neighbours(places[:, 1], grid[1], side)
    indices = rows[:, :, None] * side + columns[:, None, :]
    weights = of_rows[:, :, None] * of_columns[:, None, :]
    return indices.reshape(-1, 4), weights.reshape(-1, 4)


def _neighbours(places: Indices, count: int, side: int) -> tuple[Indices, Weights]:
    """Along one axis: the entries before and behind each place, int64 (patches, 2), and the parts of each, float32
    (patches, 2). In float32 throughout, in the order of the original, so that nothing is rounded otherwise."""
    exact = places.astype(np.float32) * np.float32(side - 1) / np.float32(max(1, count - 1))
    before = np.floor(exact)
    both = before.astype(np.int64)[:, None] + np.arange(2)
    distances = np.abs(exact[:, None] - before[:, None] - np.arange(2, dtype=np.float32))
    return np.minimum(both, side - 1), np.maximum(1 - distances, np.float32(0))
