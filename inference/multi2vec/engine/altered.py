"""Which of a model folder's examples the settings alter: their vectors are the original library's no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from multi2vec.engine.items import Item
from multi2vec.engine.preparers.fused import pieces_of
from multi2vec.engine.preparers.protocol import Prepared
from multi2vec.engine.preparers.shown import Showing
from multi2vec.engine.work import Limits
from multi2vec.manifest import Example, Manifest
from multi2vec.specs import FusedSpec


def altered(original: Manifest, served: Manifest) -> list[Example]:
    """The examples with a picture or video that the served manifest makes another one of."""
    return [
        example
        for example in original.examples
        if _is_altered(example, original.inputs[example.modality], served.inputs[example.modality])
    ]


def _is_altered(example: Example, original: Any, served: Any) -> bool:
    if not isinstance(original, FusedSpec) or (original.layout, original.video) == (served.layout, served.video):
        return False
    pieces = [piece for piece in pieces_of(example.modality, example.content) if piece.modality != "text"]
    return not all(_are_alike(_parts(piece, original), _parts(piece, served)) for piece in pieces)


def _parts(piece: Item, spec: FusedSpec) -> list[Prepared]:
    """What the vision tower gets of it."""
    places = [spec.place, *([spec.video.place] if spec.video else [])]
    return Showing(spec, dict.fromkeys(places, 0), Limits()).shown(piece).parts


def _are_alike(some: Sequence[Prepared], others: Sequence[Prepared]) -> bool:
    return all(
        np.array_equal(array, other.arrays[name])
        for one, other in zip(some, others, strict=True)
        for name, array in one.arrays.items()
    )
