"""Which of a model folder's examples the settings alter: their vectors are the original library's no more."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from multi2vec.engine.preparers import layouts
from multi2vec.engine.preparers.fused import pieces_of
from multi2vec.engine.preparers.layouts import Laid
from multi2vec.engine.preparers.pictures import RESAMPLING, Picture, decoded, to_rgb, upright
from multi2vec.engine.work import Limits
from multi2vec.manifest import Example, Manifest
from multi2vec.specs import FusedSpec


def altered(original: Manifest, served: Manifest) -> list[Example]:
    """The examples with a picture that the served manifest's layout makes another one of."""
    return [
        example
        for example in original.examples
        if _is_altered(example, original.inputs[example.modality], served.inputs[example.modality])
    ]


def _is_altered(example: Example, original: Any, served: Any) -> bool:
    if not isinstance(original, FusedSpec) or original.layout == served.layout:
        return False
    pieces = pieces_of(example.modality, example.content)
    return any(not _are_alike(piece.content, original, served) for piece in pieces if piece.modality == "image")


def _are_alike(picture: Picture, one: FusedSpec, other: FusedSpec) -> bool:
    def both(opened: Image.Image) -> tuple[Laid, Laid]:
        return _laid(opened, one), _laid(opened, other)

    (first, second), _ = decoded(picture, both, Limits())
    return all(np.array_equal(array, second.arrays[name]) for name, array in first.arrays.items())


def _laid(opened: Image.Image, spec: FusedSpec) -> Laid:
    return layouts.lay_out(to_rgb(upright(opened, spec), spec), spec.layout, RESAMPLING[spec.interpolation])
