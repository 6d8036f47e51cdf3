"""Qwen-VL's pictures (arXiv 2409.12191): at their own size, in patches. A pair of a video's frames is one, too.

The steps and their roundings are those of `smart_resize` in the library qwen_vl_utils and in transformers' Qwen2-VL; a
test holds pixels and places against the latter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from multi2vec.engine.errors import BadInput
from multi2vec.engine.preparers.layouts import tables
from multi2vec.engine.preparers.layouts.laid import Laid
from multi2vec.layouts import PatchLayout, Resize

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]


def lay_out(frames: Sequence[Image.Image], layout: PatchLayout, resample: Image.Resampling) -> Laid:
    """A picture's patches, uint8 (patches, 3 · frames · patch²), and their rows and columns, int64 (patches, 2), both
    in the order of the tower; with a table, the entries that they lie between, int64 (patches, 4), and how much they
    have of each, float32 (patches, 4). Raises `BadInput` for a picture that is too narrow."""
    sizes = _sizes(frames[0], layout)
    pixels = [_resized(frame, sizes, resample) for frame in frames]
    return in_patches(pixels * layout.frames if len(pixels) == 1 else pixels, layout)


def in_patches(frames: Sequence[Pixels], layout: PatchLayout) -> Laid:
    """The same for frames that have their size already, uint8 (height, width, 3) each; as many as the layout's."""
    grid = frames[0].shape[0] // layout.patch, frames[0].shape[1] // layout.patch
    where = places(grid, layout.merge)
    arrays: dict[str, npt.NDArray[Any]] = {
        "pixels": patches(frames, layout.patch, layout.merge),
        "position_ids": where,
    }
    if layout.table is not None:
        arrays["interp_indices"], arrays["interp_weights"] = tables.between(where, grid, layout.table)
    merged = grid[0] // layout.merge, grid[1] // layout.merge
    return Laid(arrays, merged[0] * merged[1], merged, grid[0] * grid[1])


def _sizes(picture: Image.Image, layout: PatchLayout) -> list[Size]:
    """The picture's (height, width) after each step."""
    size, found = (picture.height, picture.width), []
    for step in layout.resizes:
        size = resized(size, step)
        found.append(size)
    return found


def _resized(picture: Image.Image, sizes: Sequence[Size], resample: Image.Resampling) -> Pixels:
    for height, width in sizes:
        picture = picture.resize((width, height), resample)
    return np.asarray(picture)


def resized(size: Size, step: Resize) -> Size:
    """(height, width) after the step. Raises `BadInput` for a picture that is too narrow."""
    if step.beyond == "refuse":
        _check_ratio(size, step.ratio)
    least = step.multiple if step.at_least_one else 0
    height, width = (max(least, round(side / step.multiple) * step.multiple) for side in size)
    if height * width > step.most:
        factor = math.sqrt(size[0] * size[1] / step.most)
        height, width = (max(step.multiple, math.floor(side / factor / step.multiple) * step.multiple) for side in size)
    elif height * width < step.least:
        factor = math.sqrt(step.least / (size[0] * size[1]))
        height, width = (math.ceil(side * factor / step.multiple) * step.multiple for side in size)
    if step.beyond == "clamp":
        height, width = min(height, width * step.ratio), min(width, height * step.ratio)
    return height, width


def _check_ratio(size: Size, most: int) -> None:
    if max(size) > most * min(size):
        raise BadInput(
            f"a picture has {size[1]}×{size[0]} pixels; its longer side can be at most {most} times the shorter one"
        )


def patches(frames: Sequence[Pixels], patch: int, merge: int) -> Pixels:
    """uint8 (patches, 3 · frames · patch²) of frames, uint8 (height, width, 3) each: blocks of merge × merge patches
    row by row, in a block row by row, in a patch by channel, frame and row."""
    height, width = frames[0].shape[0] // patch, frames[0].shape[1] // patch
    blocks = np.stack(frames).reshape(len(frames), height // merge, merge, patch, width // merge, merge, patch, 3)
    ordered = blocks.transpose(1, 4, 2, 5, 7, 0, 3, 6)
    return ordered.reshape(height * width, 3 * len(frames) * patch * patch)


def places(grid: Size, merge: int) -> npt.NDArray[np.int64]:
    """Row and column of each patch, int64 (patches, 2), in the order of `patches`."""
    height, width = grid
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    both = np.stack([rows, columns], axis=-1).reshape(height // merge, merge, width // merge, merge, 2)
    return both.swapaxes(1, 2).reshape(-1, 2).astype(np.int64)
