"""CLIP as the transformers library has it, for instance openai/clip-vit-base-patch32.

Pictures are prepared by its PIL-backed processor: the torchvision-backed one, its default where torchvision is
installed, resizes with other roundings and would need torch at run time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from inference.convert import checkpoint
from inference.convert.errors import ConversionError, SourceError
from inference.convert.model import (
    ImagePart,
    Model,
    Pixels,
    Scaling,
    TextPart,
    Tower,
    Vectors,
    open_picture,
    pixel_inputs,
    token_inputs,
)
from inference.convert.recipe import Recipe
from inference.manifest import ImageSpec, TextSpec

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


class ImageTower(torch.nn.Module):
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

    def tokens(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, truncation=True)["input_ids"]
        return ids

    def vectors(self, texts: Sequence[str]) -> Vectors:
        inputs = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            return np.asarray(self.model.get_text_features(**inputs).pooler_output, dtype=np.float32)


@dataclass(frozen=True)
class Images:
    """The original: processor and model together."""

    model: CLIPModel
    processor: Any
    spec: ImageSpec

    def pixels(self, data: bytes) -> Pixels:
        image = open_picture(data, self.spec)
        arrays = self.processor(image, do_rescale=False, do_normalize=False)["pixel_values"]
        return np.ascontiguousarray(np.moveaxis(np.asarray(arrays[0]), 0, -1))

    def vectors(self, pictures: Sequence[bytes]) -> Vectors:
        images = [open_picture(data, self.spec) for data in pictures]
        inputs = self.processor(images, return_tensors="pt")
        with torch.inference_mode():
            return np.asarray(self.model.get_image_features(**inputs).pooler_output, dtype=np.float32)


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when the checkpoint is not a CLIP or cannot be had."""
    found = checkpoint.find(recipe, "model", source)
    try:
        model: Any = CLIPModel.from_pretrained(found.folder, dtype=torch.float32, attn_implementation="sdpa")
        tokenizer = CLIPTokenizer.from_pretrained(found.folder)
        processor = CLIPImageProcessorPil.from_pretrained(found.folder)
    except ConversionError:
        raise
    except Exception as error:
        raise SourceError(f"{found.folder} cannot be read as a CLIP of transformers: {error}") from error
    model.eval().requires_grad_(False)
    return Model(
        sources=(found.source,),
        dimensions=model.config.projection_dim,
        text=text_part(model, tokenizer),
        image=image_part(model, processor, recipe),
    )


def text_part(model: Any, tokenizer: Any) -> TextPart:
    """Everything about texts."""
    # Not every checkpoint says how long texts may be; without a limit the original would fail on a long one.
    tokenizer.model_max_length = min(tokenizer.model_max_length, model.config.text_config.max_position_embeddings)
    spec = TextSpec(tower="text", max_length=tokenizer.model_max_length, pad_id=tokenizer.pad_token_id)
    example = torch.tensor([tokenizer("a photo of a cat")["input_ids"], tokenizer("a photo of a dog")["input_ids"]])
    return TextPart(
        spec=spec,
        tower=Tower(TextTower(model), token_inputs("input_ids"), (example,)),
        tokenizer=tokenizer.backend_tokenizer.to_str(),
        reference=Texts(model, tokenizer),
    )


def image_part(model: Any, processor: Any, recipe: Recipe) -> ImagePart:
    """Everything about pictures."""
    spec = image_spec(processor, recipe)
    example = torch.zeros(2, 3, spec.height, spec.width)
    scaling = Scaling(tuple(processor.image_mean), tuple(processor.image_std))
    return ImagePart(
        spec=spec,
        tower=Tower(ImageTower(model), pixel_inputs(spec.height, spec.width), (example,), scaling),
        reference=Images(model, processor, spec),
    )


def image_spec(processor: Any, recipe: Recipe) -> ImageSpec:
    """The processor's settings as the server knows them. Raises `SourceError` for those that it does not know."""
    needed = ("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb")
    if missing := [name for name in needed if not getattr(processor, name)]:
        raise SourceError(f"the picture processor has {missing[0]} off, which is not supported")
    if processor.size.get("shortest_edge") is None or abs(processor.rescale_factor * 255 - 1) > 1e-9:
        raise SourceError("the picture processor does not resize the shortest edge, or does not scale by 1/255")
    height, width = processor.crop_size["height"], processor.crop_size["width"]
    return ImageSpec(
        tower="image",
        height=height,
        width=width,
        resize="shortest",
        edge=processor.size["shortest_edge"],
        interpolation=INTERPOLATIONS[int(processor.resample)],  # type: ignore[arg-type]
        crop_rounding="floor",
        convert_rgb="before_resize",
        transparency="white",
        exif_orientation=recipe.exif_orientation,
    )
