"""Layouts for smaller pictures than a model's authors take, a table by the kind of layout.

A vision tower needs memory and time for each pixel that it sees. What a layout here gives is what a recipe would with
such a limit in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from multi2vec.engine.preparers.layouts.hd import TILE
from multi2vec.layouts import GemmaLayout, HdLayout, Layout, PatchLayout
from multi2vec.specs import FusedSpec

# Above the least size that frames may have, so much room is left even where their pixels are spent.
ROOM = 1.05


def with_pixels(spec: FusedSpec, pixels: int) -> FusedSpec:
    """The spec with pictures of at most so many pixels; as it is where they have no more than that.

    A frame of a video counts as a picture, but keeps the pixels that it needs. Raises `ValueError` with a sentence
    where pictures need more.
    """
    least = LAYOUTS[type(spec.layout)].least(spec.layout)
    if pixels < least:
        raise ValueError(f"the model's pictures have at least {least} pixels, more than {pixels}")
    video = spec.video and replace(spec.video, layout=_smaller(spec.video.layout, pixels))
    return replace(spec, layout=_smaller(spec.layout, pixels), video=video)


def sharing(layout: Layout, pixels: int | None, frames: int) -> Layout:
    """The layout of one of so many frames that have so many pixels together, as `fetch_video` of the library
    qwen_vl_utils counts them; None: as many as each likes."""
    if pixels is None:
        return layout
    return _smaller(layout, max(pixels // frames, int(LAYOUTS[type(layout)].least(layout) * ROOM)))


def _smaller(layout: Layout, pixels: int) -> Layout:
    kind = LAYOUTS[type(layout)]
    return kind.smaller(layout, max(pixels, kind.least(layout)))


def _patches(layout: PatchLayout, pixels: int) -> PatchLayout:
    # What an earlier step makes, the last one makes smaller.
    *before, last = layout.resizes
    return replace(layout, resizes=(*before, replace(last, most=min(last.most, pixels))))


def _gemma(layout: GemmaLayout, pixels: int) -> GemmaLayout:
    return replace(layout, most=min(layout.most, pixels // layout.side**2))


def _hd(layout: HdLayout, pixels: int) -> HdLayout:
    """The whole of the picture, which the tower looks at as well, is one tile more."""
    return replace(layout, crops=min(layout.crops, pixels // TILE**2))


@dataclass(frozen=True)
class Kind:
    """The least pixels that a picture can be told to have, and the layout with so many."""

    least: Callable[[Any], int]
    smaller: Callable[[Any, int], Layout]


LAYOUTS: dict[type[Layout], Kind] = {
    PatchLayout: Kind(lambda layout: layout.resizes[-1].least, _patches),
    GemmaLayout: Kind(lambda layout: layout.side**2, _gemma),
    HdLayout: Kind(lambda _: TILE**2, _hd),
}
