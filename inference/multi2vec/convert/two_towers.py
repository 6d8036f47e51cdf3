"""What the families of transformers share whose models have `get_text_features` and `get_image_features`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from multi2vec.convert import options, processors, references, weights
from multi2vec.convert.errors import ConversionError, SourceError, one_line
from multi2vec.convert.model import Part, Reference, Tower, dense, measured_dimensions, pixel_inputs
from multi2vec.convert.recipe import Recipe
from multi2vec.engine.rows import Array, Row


class PictureTower(torch.nn.Module):
    """float32 (rows, 3, height, width) scaled pixels to float32 (rows, dimensions)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.model.get_image_features(pixels).pooler_output
        return vectors


@dataclass(frozen=True)
class Pictures:
    """The original: processor and model together."""

    model: Any
    processor: Any
    open: references.Opener

    def prepare(self, item: bytes) -> Mapping[str, Array]:
        return {"pixels": processors.unscaled(self.processor, self.open(item))}

    def rows(self, items: Sequence[bytes]) -> Mapping[str, Sequence[Row]]:
        inputs = self.processor([self.open(item) for item in items], return_tensors="pt")
        with torch.inference_mode():
            vectors = self.model.get_image_features(**inputs).pooler_output
        return references.dense_rows(vectors)


@contextlib.contextmanager
def reading(folder: Path, what: str) -> Iterator[None]:
    """Whatever fails inside as a `SourceError` that says that `folder` cannot be read as `what`."""
    try:
        yield
    except ConversionError:
        raise
    except Exception as error:
        raise SourceError(f"{folder} cannot be read as {what} of transformers: {one_line(error)}") from error


def load_twice(kind: Any, folder: Path) -> tuple[Any, Any]:
    """The model to export, with exactly the checkpoint's weights, and the original to compare with, each loaded by the
    library. Raises `SourceError`."""
    model = weights.load_proved(kind, folder)
    original = kind.from_pretrained(folder, dtype=torch.float32)
    return model.eval().requires_grad_(False), original.eval().requires_grad_(False)


def pictures(original: Any, processor: Any, recipe: Recipe) -> Pictures:
    """The reference for pictures."""
    return Pictures(original, processor, references.opener(processors.picture_spec(processor), recipe))


def picture_part(model: Any, processor: Any, recipe: Recipe, reference: Reference) -> Part:
    """Everything about pictures."""
    spec = options.picture_spec(processors.picture_spec(processor), recipe)
    example = torch.zeros(2, 3, spec.height, spec.width)
    module = PictureTower(model.eval().requires_grad_(False))
    outputs = dense(measured_dimensions(module, [example]))
    inputs = pixel_inputs(spec.height, spec.width)
    return Part(spec, Tower(module, inputs, (example,), outputs, processors.scaling(processor)), reference)
