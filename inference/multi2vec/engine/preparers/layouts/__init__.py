"""How a picture becomes what a vision tower takes, a table by the kind of layout. Numpy and Pillow alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from multi2vec.engine.preparers.layouts import gemma_patches, hd, patches
from multi2vec.engine.preparers.layouts.laid import Laid
from multi2vec.layouts import GemmaLayout, HdLayout, Layout, PatchLayout

__all__ = ["Laid", "lay_out"]

LAYOUTS: dict[type[Layout], Callable[[Sequence[Image.Image], Any, Image.Resampling], Laid]] = {
    PatchLayout: patches.lay_out,
    GemmaLayout: gemma_patches.lay_out,
    HdLayout: hd.lay_out,
}


def lay_out(frames: Sequence[Image.Image], layout: Layout, resample: Image.Resampling) -> Laid:
    """A picture in mode RGB as the tower takes it, or a video's frames that are shown as one. Raises `BadInput` for one
    that has no such form."""
    return LAYOUTS[type(layout)](frames, layout, resample)
