"""What a family hands over: the towers, how their inputs are prepared, and the original library to compare with."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps

from inference.manifest import ImageSpec, Source, TensorSpec, TextSpec

Vectors = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Scaling:
    """From uint8 pixels to what the module takes: `(pixel / 255 - mean) / std`, per channel (red, green, blue)."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Tower:
    """One graph.

    `module` takes the inputs in order and returns float32 (rows, dimensions). Where there is a `scaling` it takes float
    pixels (rows, 3, height, width), and the graph's own input is uint8 (rows, height, width, 3). `example` is what the
    module is traced on: two rows at least, so that nothing is fixed at one.
    """

    module: torch.nn.Module
    inputs: tuple[TensorSpec, ...]
    example: tuple[torch.Tensor, ...]
    scaling: Scaling | None = None


class TextReference(Protocol):
    """The original library, texts in."""

    def tokens(self, text: str) -> list[int]:
        """Its token ids, special tokens included, padding not."""

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Its vectors, float32 (texts, dimensions), not normalised."""


class ImageReference(Protocol):
    """The original library, picture files in."""

    def pixels(self, data: bytes) -> Pixels:
        """Its pixels before scaling to floats, uint8 (height, width, 3)."""

    def vectors(self, pictures: Sequence[bytes]) -> Vectors:
        """Its vectors, float32 (pictures, dimensions), not normalised."""


@dataclass(frozen=True)
class TextPart:
    """Everything about texts; `tokenizer` is the text of `tokenizer.json`."""

    spec: TextSpec
    tower: Tower
    tokenizer: str
    reference: TextReference


@dataclass(frozen=True)
class ImagePart:
    """Everything about pictures."""

    spec: ImageSpec
    tower: Tower
    reference: ImageReference


@dataclass(frozen=True)
class Model:
    """What conversion works on."""

    sources: tuple[Source, ...]
    dimensions: int
    text: TextPart | None = None
    image: ImagePart | None = None

    @property
    def towers(self) -> dict[str, Tower]:
        """The towers by name."""
        parts = (self.text, self.image)
        return {part.spec.tower: part.tower for part in parts if part is not None}


def open_picture(data: bytes, spec: ImageSpec) -> Image.Image:
    """A picture as a user of the original library opens it, turned upright only where the recipe asks for it."""
    image = Image.open(io.BytesIO(data))
    return ImageOps.exif_transpose(image) if spec.exif_orientation else image


def token_inputs(*names: str) -> tuple[TensorSpec, ...]:
    """The inputs of a text tower: int64 (rows, length) each."""
    return tuple(TensorSpec(name, "i64", (None, None)) for name in names)


def pixel_inputs(height: int, width: int) -> tuple[TensorSpec, ...]:
    """The input of a picture tower: uint8 (rows, height, width, 3)."""
    return (TensorSpec("pixels", "u8", (None, height, width, 3)),)
