"""Layouts for smaller pictures than a model's authors take, a table by the kind of layout.

A vision tower needs memory and time for each pixel that it sees. What a layout here gives is what a recipe would with
such a limit in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from multi2vec.engine.preparers.layouts.hd import TILE
from multi2vec.layouts import GemmaLayout, HdLayout, Layout, PatchLayout


def smaller(layout: Layout, pixels: int) -> Layout:
    """The layout with pictures of at most so many pixels; as it is where they have no more than that.

    Raises `ValueError` with a sentence where the model needs more of them.
    """
    return SMALLER[type(layout)](layout, pixels)


def _patches(layout: PatchLayout, pixels: int) -> PatchLayout:
    # What an earlier step makes, the last one makes smaller.
    *before, last = layout.resizes
    _check(pixels, last.least)
    return replace(layout, resizes=(*before, replace(last, most=min(last.most, pixels))))


def _gemma(layout: GemmaLayout, pixels: int) -> GemmaLayout:
    row = layout.side**2
    _check(pixels, row)
    return replace(layout, most=min(layout.most, pixels // row))


def _hd(layout: HdLayout, pixels: int) -> HdLayout:
    """The whole of the picture, which the tower looks at as well, is one tile more."""
    _check(pixels, TILE**2)
    return replace(layout, crops=min(layout.crops, pixels // TILE**2))


def _check(pixels: int, least: int) -> None:
    if pixels < least:
        raise ValueError(f"the model's pictures have at least {least} pixels, more than {pixels}")


SMALLER: dict[type[Layout], Callable[[Any, int], Layout]] = {
    PatchLayout: _patches,
    GemmaLayout: _gemma,
    HdLayout: _hd,
}
