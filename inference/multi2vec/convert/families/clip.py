"""CLIP as the transformers library has it, for instance openai/clip-vit-base-patch32.

Pictures are prepared by its PIL-backed processor: the torchvision-backed one, its default where torchvision is
installed, resizes with other roundings and would need torch at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer
from transformers.utils import logging

from multi2vec.convert import checkpoint, options, references, vocabulary, weights
from multi2vec.convert.errors import ConversionError, SourceError, one_line
from multi2vec.convert.model import (
    Model,
    Part,
    Reference,
    Scaling,
    Tower,
    dense,
    measured_dimensions,
    pixel_inputs,
    token_inputs,
)
from multi2vec.convert.recipe import Recipe
from multi2vec.engine.rows import Array, Row
from multi2vec.manifest import PictureSpec, TextSpec

# Each loading of weights would have a bar of its own, which lasts a moment and leaves a line.
logging.disable_progress_bar()  # type: ignore[no-untyped-call]

INTERPOLATIONS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}


class TextTower(torch.nn.Module):
    """int64 (rows, length) token ids to float32 (rows, dimensions).

    There is no mask: attention is causal and the vector is taken at the first end-of-text token, so that nothing after
    it can matter.
    """

    def __init__(self, model: CLIPModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.model.get_text_features(input_ids).pooler_output
        return vectors


class PictureTower(torch.nn.Module):
    """float32 (rows, 3, height, width) scaled pixels to float32 (rows, dimensions)."""

    def __init__(self, model: CLIPModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.model.get_image_features(pixels).pooler_output
        return vectors


@dataclass(frozen=True)
class Texts:
    """The original: tokenizer and model together."""

    model: CLIPModel
    tokenizer: CLIPTokenizer

    def prepare(self, item: str) -> Mapping[str, Array]:
        ids = self.tokenizer(item, truncation=True)["input_ids"]
        return {"input_ids": np.array(ids, dtype=np.int64)}

    def rows(self, items: Sequence[str]) -> Mapping[str, Sequence[Row]]:
        inputs = self.tokenizer(list(items), padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            vectors = self.model.get_text_features(**inputs).pooler_output
        return references.dense_rows(vectors)


@dataclass(frozen=True)
class Pictures:
    """The original: processor and model together."""

    model: CLIPModel
    processor: Any
    open: references.Opener

    def prepare(self, item: bytes) -> Mapping[str, Array]:
        return {"pixels": unscaled(self.processor, self.open(item))}

    def rows(self, items: Sequence[bytes]) -> Mapping[str, Sequence[Row]]:
        inputs = self.processor([self.open(item) for item in items], return_tensors="pt")
        with torch.inference_mode():
            vectors = self.model.get_image_features(**inputs).pooler_output
        return references.dense_rows(vectors)


def unscaled(processor: Any, picture: Any) -> Array:
    """What the processor makes of a picture before it scales: uint8 (height, width, 3)."""
    arrays = processor(picture, do_rescale=False, do_normalize=False)["pixel_values"]
    return np.ascontiguousarray(np.moveaxis(np.asarray(arrays[0]), 0, -1))


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when the checkpoint is not a CLIP, not complete, or cannot be had."""
    found = checkpoint.find(recipe, "model", source)
    folder = found.folder
    try:
        weights.check_model_type(folder, "clip")
        model = weights.load_proved(CLIPModel, folder)
        original: Any = CLIPModel.from_pretrained(folder, dtype=torch.float32)
        tokenizer = CLIPTokenizer.from_pretrained(folder)
        processor = CLIPImageProcessorPil.from_pretrained(folder)
        limit_length(tokenizer, model)
        open_picture = references.opener(own_picture_spec(processor), recipe)
        parts = {
            "text": text_part(model, tokenizer, folder, recipe, lambda spec: original_texts(original, folder, spec)),
            "image": picture_part(model, processor, recipe, Pictures(original, processor, open_picture)),
        }
    except ConversionError:
        raise
    except Exception as error:
        raise SourceError(f"{folder} cannot be read as a CLIP of transformers: {one_line(error)}") from error
    original.eval().requires_grad_(False)
    return Model((found.source,), parts)


def limit_length(tokenizer: Any, model: Any) -> None:
    """Not every checkpoint says how long texts may be; without a limit the original would fail on a long one."""
    tokenizer.model_max_length = min(tokenizer.model_max_length, model.config.text_config.max_position_embeddings)


def original_texts(model: Any, folder: Path, spec: TextSpec) -> Texts:
    """The reference, with a tokenizer of its own."""
    return Texts(model, CLIPTokenizer.from_pretrained(folder, model_max_length=spec.max_length))


def text_part(
    model: Any, tokenizer: Any, folder: Path, recipe: Recipe, reference: Callable[[TextSpec], Reference]
) -> Part:
    """Everything about texts; `folder` has the vocabulary."""
    own = TextSpec(tower="text", max_length=tokenizer.model_max_length, pad_id=tokenizer.pad_token_id)
    spec = options.text_spec(own, recipe)
    words = vocabulary.read(folder)
    start, end = tokenizer.bos_token, tokenizer.eos_token

    def slow(text: str) -> Mapping[str, Array] | None:
        ids = words.encode(text, start, end, spec.max_length)
        return None if ids is None else {"input_ids": np.array(ids, dtype=np.int64)}

    example = torch.tensor([tokenizer("a photo of a cat")["input_ids"]] * 2)
    module = TextTower(model.eval().requires_grad_(False))
    return Part(
        spec=spec,
        tower=Tower(module, token_inputs("input_ids"), (example,), dense(measured_dimensions(module, [example]))),
        reference=reference(spec),
        files={spec.tokenizer: tokenizer.backend_tokenizer.to_str()},
        further={"vocabulary": slow},
    )


def picture_part(model: Any, processor: Any, recipe: Recipe, reference: Reference) -> Part:
    """Everything about pictures."""
    spec = options.picture_spec(own_picture_spec(processor), recipe)
    example = torch.zeros(2, 3, spec.height, spec.width)
    scaling = Scaling(tuple(processor.image_mean), tuple(processor.image_std))
    module = PictureTower(model.eval().requires_grad_(False))
    outputs = dense(measured_dimensions(module, [example]))
    return Part(
        spec=spec,
        tower=Tower(module, pixel_inputs(spec.height, spec.width), (example,), outputs, scaling),
        reference=reference,
    )


def own_picture_spec(processor: Any) -> PictureSpec:
    """The processor's settings as the engine knows them. Raises `SourceError` for those that it does not know."""
    needed = ("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb")
    if missing := [name for name in needed if not getattr(processor, name)]:
        raise SourceError(f"the picture processor has {missing[0]} off, which is not supported")
    if processor.size.get("shortest_edge") is None or abs(processor.rescale_factor * 255 - 1) > 1e-9:
        raise SourceError("the picture processor does not resize the shortest edge, or does not scale by 1/255")
    height, width = processor.crop_size["height"], processor.crop_size["width"]
    return PictureSpec(
        tower="image",
        height=height,
        width=width,
        resize="shortest",
        edge=processor.size["shortest_edge"],
        interpolation=INTERPOLATIONS[int(processor.resample)],  # type: ignore[arg-type]
        crop_rounding="floor",
        convert_rgb="before_resize",
        transparency="white",
    )
