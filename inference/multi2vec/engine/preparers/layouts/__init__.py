"""How a picture becomes what a vision tower takes, a table by the kind of layout. Numpy and Pillow alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from multi2vec.engine.preparers.layouts import gemma_patches, hd, patches
from multi2vec.engine.preparers.layouts.laid import Laid
from multi2vec.layouts import GemmaLayout, HdLayout, Layout, PatchLayout

__all__ = ["Laid", "lay_out", "lay_out_frames", "sharing"]

LAYOUTS: dict[type[Layout], Callable[[Image.Image, Any, Image.Resampling], Laid]] = {
    PatchLayout: patches.lay_out,
    GemmaLayout: gemma_patches.lay_out,
    HdLayout: hd.lay_out,
}

# Above the least size that frames may have, so much room is left even where their pixels are spent.
ROOM = 1.05


def lay_out(picture: Image.Image, layout: Layout, resample: Image.Resampling) -> Laid:
    """A picture in mode RGB as the tower takes it. Raises `BadInput` for one that has no such form."""
    return LAYOUTS[type(layout)](picture, layout, resample)


def lay_out_frames(frames: Sequence[Image.Image], layout: Layout, resample: Image.Resampling) -> Laid:
    """Frames in mode RGB that are shown as one picture. Raises as `lay_out` does."""
    if len(frames) > 1 and isinstance(layout, PatchLayout):
        return patches.lay_out_frames(frames, layout, resample)
    return lay_out(frames[0], layout, resample)


def sharing(layout: Layout, pixels: int | None, frames: int) -> Layout:
    """The layout of one of so many frames that have so many pixels together, as `fetch_video` of the library
    qwen_vl_utils counts them; None: as many as each likes."""
    if pixels is None or not isinstance(layout, PatchLayout):
        return layout
    *before, last = layout.resizes
    most = max(min(last.most, pixels // frames), int(last.least * ROOM))
    return replace(layout, resizes=(*before, replace(last, most=most)))
