"""Preparers, a table by the kind of spec. A new kind is one file, one line here, and its spec in the manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multi2vec.engine.preparers.fused import fused_preparers
from multi2vec.engine.preparers.pictures import Picture
from multi2vec.engine.preparers.protocol import Prepared, Preparer
from multi2vec.engine.preparers.texts import TextPreparer
from multi2vec.engine.preparers.tiles import picture_preparer
from multi2vec.engine.work import Budget, Limits
from multi2vec.specs import Modality, PictureSpec, Spec, TextSpec, TowerSpec, kind_of

__all__ = ["PREPARERS", "Entry", "Prepared", "Preparer", "entry"]


@dataclass(frozen=True)
class Entry:
    """How the items of one kind of spec are prepared and batched.

    `make` gets the model folder, the spec, its tower and the limits, and gives the preparers by modality. `wide`: one
    item is work enough for several threads, so that a batch had better have them all. `parts` is for what runs through
    a tower of its own first, one at a time: how much of it is a batch's worth.
    """

    make: Callable[[Path, Any, TowerSpec, Limits], Mapping[Modality, Preparer[Any]]]
    budget: Budget
    wide: bool = False
    parts: Budget | None = None


def entry(spec: Spec) -> Entry:
    """The spec's."""
    return PREPARERS[kind_of(spec)]


def _texts(folder: Path, spec: TextSpec, tower: TowerSpec, limits: Limits) -> dict[Modality, Preparer[Any]]:
    return {"text": TextPreparer(folder, spec, tower, limits)}


def _pictures(folder: Path, spec: PictureSpec, tower: TowerSpec, limits: Limits) -> dict[Modality, Preparer[Picture]]:
    return {"image": picture_preparer(folder, spec, tower, limits)}


# The slack is about what it costs, in padded tokens, to run one more batch of texts. A picture counts as many as it has
# tiles.
PREPARERS: dict[str, Entry] = {
    "text": Entry(_texts, Budget(32, padded=1024, slack=96)),
    "image": Entry(_pictures, Budget(32, padded=32), wide=True),
    "fused": Entry(fused_preparers, Budget(16, padded=1024, slack=32), parts=Budget(1, padded=1024)),
}
