"""What the families of transformers share whose models have `get_text_features` and `get_image_features`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from multi2vec.convert import checkpoint, options, references, weights
from multi2vec.convert.errors import reading
from multi2vec.convert.model import Lazy, Model, Part, Reference, Tower, dense, measured_dimensions, pixel_inputs
from multi2vec.convert.parts import processors
from multi2vec.convert.recipe import Recipe
from multi2vec.engine.rows import Array, Row


class TextTower(torch.nn.Module):
    """int64 (rows, length) token ids, and a mask of what is no padding where the model needs one, to float32 (rows,
    dimensions)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        vectors: torch.Tensor = self.model.get_text_features(input_ids, attention_mask).pooler_output
        return vectors


class PictureTower(torch.nn.Module):
    """float32 (rows, 3, height, width) scaled pixels to float32 (rows, dimensions)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.model.get_image_features(pixels).pooler_output
        return vectors


@dataclass(frozen=True)
class Texts:
    """The original: tokenizer and model together. `padding` is as the tokenizer takes it; whether there is a mask, and
    how long texts may be, the tokenizer says itself (`model_input_names`, `model_max_length`)."""

    model: Any
    tokenizer: Any
    padding: bool | str = True

    def prepare(self, item: str) -> Mapping[str, Array]:
        ids = self.tokenizer(item, truncation=True)["input_ids"]
        return {"input_ids": np.array(ids, dtype=np.int64)}

    def rows(self, items: Sequence[str]) -> Mapping[str, Sequence[Row]]:
        inputs = self.tokenizer(list(items), padding=self.padding, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            vectors = self.model.get_text_features(**inputs).pooler_output
        return references.dense_rows(vectors)


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


@dataclass(frozen=True)
class Kind:
    """One kind of model: what it is called, the `model_type` of its configuration, its class, and its picture processor
    of a folder, PIL-backed.

    `text_part` makes everything about texts of the model, the original, the folder and the recipe. `adjust` changes the
    model before it is traced.
    """

    name: str
    model_type: str
    model: Any
    processor: Callable[[Path], Any]
    text_part: Callable[[Any, Callable[[], Any], Path, Recipe], Part]
    adjust: Callable[[Any], None] = lambda model: None


def load(recipe: Recipe, source: Path | None, *kinds: Kind) -> Model:
    """The recipe's model, of the kind that its configuration states. Raises `ConversionError` when the checkpoint is of
    none of these kinds, not complete, or cannot be had."""
    found = checkpoint.find(recipe, "model", source)
    folder = found.folder
    with reading(folder, f"a {kinds[0].name} of transformers"):
        stated = weights.model_type(folder)
        kind = next((each for each in kinds if each.model_type == stated), kinds[0])
        weights.check_model_type(folder, kind.model_type)
        model, original = _load_twice(kind.model, folder)
        kind.adjust(model)
        processor = kind.processor(folder)
        opener = references.opener(processors.picture_spec(processor), recipe)
        pictures = Lazy(lambda: Pictures(original(), processor, opener))
        parts = {
            "text": kind.text_part(model, original, folder, recipe),
            "image": picture_part(model, processor, recipe, pictures),
        }
    return Model((found.source,), parts)


def _load_twice(kind: Any, folder: Path) -> tuple[Any, Callable[[], Any]]:
    """The model to export, with exactly the checkpoint's weights, and the original to compare with, which the library
    loads when it is first asked for. Raises `SourceError`."""

    def original() -> Any:
        return kind.from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False)

    model = weights.load_proved(kind, folder)
    return model.eval().requires_grad_(False), references.Shared(original)


def picture_part(model: Any, processor: Any, recipe: Recipe, reference: Reference) -> Part:
    """Everything about pictures."""
    spec = options.picture_spec(processors.picture_spec(processor), recipe)
    example = torch.zeros(2, 3, spec.height, spec.width)
    module = PictureTower(model.eval().requires_grad_(False))
    outputs = dense(measured_dimensions(module, [example]))
    inputs = pixel_inputs(spec.height, spec.width)
    return Part(spec, Tower(module, inputs, (example,), outputs, processors.scaling(processor)), reference)
