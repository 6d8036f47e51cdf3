"""Models of the sentence-transformers library: a CLIP for pictures and texts, or texts by a pipeline of their own.

With two sources, pictures come from the first's CLIP and texts from the second, any pipeline that ends in one vector
per text (for the multilingual CLIP: DistilBERT, mean pooling, a dense layer). A local checkpoint of such a pair
(`--source DIR`) is a folder with both, `DIR/clip-ViT-B-32/` and `DIR/clip-ViT-B-32-multilingual-v1/`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from transformers import CLIPImageProcessorPil, CLIPModel

from inference.convert import checkpoint
from inference.convert.checkpoint import Checkpoint
from inference.convert.errors import ConversionError, SourceError
from inference.convert.families import clip
from inference.convert.model import (
    ImagePart,
    Model,
    Pixels,
    TextPart,
    Tower,
    Vectors,
    open_picture,
    token_inputs,
)
from inference.convert.recipe import HubSource, Recipe
from inference.manifest import ImageSpec, TextSpec

LAYOUT = ("modules.json", "config_sentence_transformers.json")


class TextTower(torch.nn.Module):
    """The whole pipeline: int64 (rows, length) token ids and mask to float32 (rows, dimensions)."""

    def __init__(self, pipeline: SentenceTransformer) -> None:
        super().__init__()
        self.modules_in_order = torch.nn.ModuleList(pipeline)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        features: dict[str, Any] = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "modality": "text",
        }
        for module in self.modules_in_order:
            features = module(features)
        vectors: torch.Tensor = features["sentence_embedding"]
        return vectors


@dataclass(frozen=True)
class Texts:
    """The original, texts in."""

    pipeline: SentenceTransformer

    def tokens(self, text: str) -> list[int]:
        ids: list[int] = self.pipeline.preprocess([{"text": text}])["input_ids"][0].tolist()
        return ids

    def vectors(self, texts: Sequence[str]) -> Vectors:
        # As objects: of a bare string that looks like a picture's address the library would fetch the picture.
        items: list[Any] = [{"text": text} for text in texts]
        return np.asarray(self.pipeline.encode(items, show_progress_bar=False), dtype=np.float32)


@dataclass(frozen=True)
class Images:
    """The original, pictures in."""

    pipeline: SentenceTransformer
    spec: ImageSpec

    def pixels(self, data: bytes) -> Pixels:
        processor = clip_of(self.pipeline).processor.image_processor
        arrays = processor(open_picture(data, self.spec), do_rescale=False, do_normalize=False)["pixel_values"]
        return np.ascontiguousarray(np.moveaxis(np.asarray(arrays[0]), 0, -1))

    def vectors(self, pictures: Sequence[bytes]) -> Vectors:
        images: list[Any] = [open_picture(data, self.spec) for data in pictures]
        return np.asarray(self.pipeline.encode(images, show_progress_bar=False), dtype=np.float32)


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when a checkpoint is of a kind that is not supported, or cannot be had."""
    found = {name: _find(recipe, name, source) for name in recipe.sources}
    loaded = {name: _read(each) for name, each in found.items()}
    pictures = loaded["images" if "images" in loaded else "model"]
    texts = loaded["texts" if "texts" in loaded else "model"]
    return Model(
        sources=tuple(each.source for each in found.values()),
        dimensions=clip_of(pictures).model.config.projection_dim,
        text=text_part(texts),
        image=image_part(pictures, recipe),
    )


def clip_of(pipeline: SentenceTransformer) -> Any:
    """The module that makes vectors of pictures. Raises `SourceError` unless it is a CLIP."""
    transformer: Any = pipeline[0]
    if not isinstance(transformer.model, CLIPModel) or len(pipeline) > 1:
        raise SourceError("pictures can come from a CLIP of sentence-transformers only")
    return transformer


def _find(recipe: Recipe, name: str, given: Path | None) -> Checkpoint:
    """The checkpoint; on the hub, of the folders that `modules.json` names only the files that are needed."""
    folder = checkpoint.local_folder(recipe, name, given)
    source = recipe.sources[name]
    if folder is not None or not isinstance(source, HubSource):
        return checkpoint.find(recipe, name, given)
    checkpoint.warn_unpinned(source.repository, source.revision)
    snapshot = checkpoint.fetch(source.repository, source.revision, LAYOUT)
    if not (snapshot / LAYOUT[0]).is_file():
        raise SourceError(f"{source.repository} has no {LAYOUT[0]}, so it is not a model of sentence-transformers")
    return checkpoint.download(source.repository, snapshot.name, module_folders(snapshot))


def module_folders(folder: Path) -> list[str]:
    """The folders of the pipeline's modules, "" for the root. Raises `SourceError` for one that lies elsewhere."""
    paths = [str(module["path"]) for module in json.loads((folder / LAYOUT[0]).read_text(encoding="utf-8"))]
    for path in paths:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise SourceError(f"{LAYOUT[0]} names {path}, which lies outside the checkpoint")
    return paths


def _read(found: Checkpoint) -> SentenceTransformer:
    try:
        pipeline = SentenceTransformer(
            str(found.folder),
            device="cpu",
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"dtype": "float32"},
        )
    except ConversionError:
        raise
    except Exception as error:
        raise SourceError(f"{found.folder} cannot be read as a model of sentence-transformers: {error}") from error
    return pipeline.eval().requires_grad_(False)


def text_part(pipeline: SentenceTransformer) -> TextPart:
    """Everything about texts."""
    transformer: Any = pipeline[0]
    if isinstance(transformer.model, CLIPModel):
        part = clip.text_part(transformer.model, transformer.tokenizer)
        return TextPart(part.spec, part.tower, part.tokenizer, Texts(pipeline))
    tokenizer = transformer.tokenizer
    encoded = tokenizer(["a photo of a cat", "a photo"], padding=True, return_tensors="pt")
    inputs = token_inputs("input_ids", "attention_mask")
    tower = Tower(TextTower(pipeline), inputs, (encoded["input_ids"], encoded["attention_mask"]))
    if tokenizer.padding_side != "right" or "token_type_ids" in encoded:
        raise SourceError("only text pipelines that pad on the right and take ids and a mask are supported")
    length = pipeline.max_seq_length or tokenizer.model_max_length
    spec = TextSpec(tower="text", max_length=length, pad_id=tokenizer.pad_token_id)
    return TextPart(spec, tower, tokenizer.backend_tokenizer.to_str(), Texts(pipeline))


def image_part(pipeline: SentenceTransformer, recipe: Recipe) -> ImagePart:
    """Everything about pictures. Raises `SourceError` unless a CLIP makes their vectors."""
    transformer = clip_of(pipeline)
    # With torchvision installed the library takes the processor whose roundings need torch; see families/clip.py.
    processor = CLIPImageProcessorPil.from_dict(transformer.processor.image_processor.to_dict())
    transformer.processor.image_processor = processor
    part = clip.image_part(transformer.model, processor, recipe)
    return ImagePart(part.spec, part.tower, Images(pipeline, part.spec))
