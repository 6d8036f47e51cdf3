"""What the picture processors of transformers do, told to the engine.

Their PIL-backed kind is the one to follow: the torchvision-backed kind, the library's default where torchvision is
installed, resizes with other roundings and would need torch at run time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from multi2vec.convert.errors import SourceError
from multi2vec.convert.model import Scaling
from multi2vec.engine.rows import Array
from multi2vec.specs import PictureSpec

INTERPOLATIONS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}


def unscaled(processor: Any, picture: Any) -> Array:
    """What the processor makes of a picture before it scales: uint8 (height, width, 3)."""
    arrays = processor(picture, do_rescale=False, do_normalize=False)["pixel_values"]
    return np.ascontiguousarray(np.moveaxis(np.asarray(arrays[0]), 0, -1))


def picture_spec(processor: Any) -> PictureSpec:
    """The processor's settings as the engine knows them. Raises `SourceError` for those that it does not know."""
    needed = ("do_resize", "do_rescale", "do_convert_rgb")
    if missing := [name for name in needed if not getattr(processor, name)]:
        raise SourceError(f"the picture processor has {missing[0]} off, which is not supported")
    if abs(processor.rescale_factor * 255 - 1) > 1e-9:
        raise SourceError("the picture processor does not scale by 1/255, which is not supported")
    size = processor.size
    crop = processor.crop_size if getattr(processor, "do_center_crop", None) else None
    edge = size.get("shortest_edge")
    if edge is None and not (size.get("height") and size.get("width")):
        raise SourceError("the picture processor resizes to neither a shortest edge nor a height and a width")
    squashes = edge is None
    if squashes and crop is not None and _sides(crop) != _sides(size):
        raise SourceError("the picture processor crops after resizing both sides, which is not supported")
    if not squashes and crop is None:
        raise SourceError("the picture processor resizes the shortest edge without cropping, which is not supported")
    height, width = _sides(size if squashes else crop)
    return PictureSpec(
        tower="image",
        height=height,
        width=width,
        resize="squash" if squashes else "shortest",
        edge=edge,
        interpolation=INTERPOLATIONS[int(processor.resample)],  # type: ignore[arg-type]
        crop_rounding="floor",
        convert_rgb="before_resize",
        transparency="white",
    )


def scaling(processor: Any) -> Scaling:
    """Mean and standard deviation; a processor without them leaves pixels at 0 to 1."""
    if not processor.do_normalize:
        return Scaling((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return Scaling(tuple(processor.image_mean), tuple(processor.image_std))


def _sides(size: Any) -> tuple[int, int]:
    return size["height"], size["width"]
