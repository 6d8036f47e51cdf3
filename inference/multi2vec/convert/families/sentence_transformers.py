"""Models of the sentence-transformers library: a CLIP for pictures and texts, or texts by a pipeline of their own.

With two sources, pictures come from the first's CLIP and texts from the second, any pipeline that ends in one vector
per text (for the multilingual CLIP: DistilBERT, mean pooling, a dense layer). A local checkpoint of such a pair
(`--source DIR`) is a folder with both, `DIR/clip-ViT-B-32/` and `DIR/clip-ViT-B-32-multilingual-v1/`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Transformer
from transformers import AutoModel, CLIPImageProcessorPil, CLIPModel

from multi2vec.convert import checkpoint, options, references, weights
from multi2vec.convert.checkpoint import Checkpoint
from multi2vec.convert.errors import ConversionError, SourceError, one_line
from multi2vec.convert.families import clip
from multi2vec.convert.model import Model, Part, Tower, dense, measured_dimensions, token_inputs
from multi2vec.convert.parts import processors, two_towers
from multi2vec.convert.recipe import HubSource, Recipe
from multi2vec.engine.rows import Array, Row
from multi2vec.manifest import TextSpec

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

    def prepare(self, item: str) -> Mapping[str, Array]:
        ids = self.pipeline.preprocess([{"text": item}])["input_ids"][0]
        return {"input_ids": np.asarray(ids, dtype=np.int64)}

    def rows(self, items: Sequence[str]) -> Mapping[str, Sequence[Row]]:
        # As objects: of a bare string that looks like a picture's address the library would fetch the picture.
        objects: list[Any] = [{"text": item} for item in items]
        return references.dense_rows(self.pipeline.encode(objects, show_progress_bar=False))


@dataclass(frozen=True)
class Pictures:
    """The original, pictures in."""

    pipeline: SentenceTransformer
    open: references.Opener

    def prepare(self, item: bytes) -> Mapping[str, Array]:
        return {"pixels": processors.unscaled(clip_of(self.pipeline).processor.image_processor, self.open(item))}

    def rows(self, items: Sequence[bytes]) -> Mapping[str, Sequence[Row]]:
        images: list[Any] = [self.open(item) for item in items]
        return references.dense_rows(self.pipeline.encode(images, show_progress_bar=False))


@dataclass(frozen=True)
class Loaded:
    """`pipeline` is exported; `original` is the same checkpoint loaded again."""

    folder: Path
    pipeline: SentenceTransformer
    original: SentenceTransformer

    @property
    def first_folder(self) -> Path:
        """Where the pipeline's first module lies."""
        return self.folder / module_folders(self.folder)[0]


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when a checkpoint is of a kind that is not supported, or cannot be had."""
    found = {name: _find(recipe, name, source) for name in recipe.sources}
    loaded = {name: _load(each.folder) for name, each in found.items()}
    pictures = loaded["pictures" if "pictures" in loaded else "model"]
    texts = loaded["texts" if "texts" in loaded else "model"]
    return Model(
        sources=tuple(each.source for each in found.values()),
        parts={"text": text_part(texts, recipe), "image": picture_part(pictures, recipe)},
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


def _load(folder: Path) -> Loaded:
    try:
        folders = module_folders(folder)
        pipeline, original = _pipeline(folder), _pipeline(folder)
        for module, path in zip(pipeline, folders, strict=True):
            _prove(module, folder / path)
    except ConversionError:
        raise
    except Exception as error:
        raise SourceError(f"{folder} cannot be read as a model of sentence-transformers: {one_line(error)}") from error
    return Loaded(folder, pipeline, original)


def _pipeline(folder: Path) -> SentenceTransformer:
    pipeline = SentenceTransformer(
        str(folder),
        device="cpu",
        trust_remote_code=False,
        local_files_only=True,
        # A tensor of another shape is for `_prove` to report, with its name.
        model_kwargs={"dtype": "float32", "ignore_mismatched_sizes": True},
    )
    return pipeline.eval().requires_grad_(False)


def _prove(module: Any, folder: Path) -> None:
    """Refuse a module of the pipeline that does not have exactly its checkpoint's weights. Raises `SourceError`."""
    if isinstance(module, Transformer):
        proved = weights.load_proved(AutoModel, folder)
        weights.check_equal(module.model.state_dict(), proved.state_dict(), str(folder))
    elif state := module.state_dict():
        found = _state(folder)
        weights.check_state(found, state, str(folder))
        weights.check_equal(state, found, str(folder))


def _state(folder: Path) -> dict[str, torch.Tensor]:
    safe = folder / "model.safetensors"
    if safe.is_file():
        return dict(load_file(safe))
    loaded: dict[str, torch.Tensor] = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    return loaded


def text_part(loaded: Loaded, recipe: Recipe) -> Part:
    """Everything about texts."""
    transformer: Any = loaded.pipeline[0]
    if isinstance(transformer.model, CLIPModel):
        clip.limit_length(transformer.tokenizer, transformer.model)
        return clip.text_part(
            transformer.model, transformer.tokenizer, loaded.first_folder, recipe, lambda spec: _texts(loaded, spec)
        )
    tokenizer = transformer.tokenizer
    encoded = tokenizer(["a photo of a cat", "a photo"], padding=True, return_tensors="pt")
    if tokenizer.padding_side != "right" or "token_type_ids" in encoded:
        raise SourceError("only text pipelines that pad on the right and take ids and a mask are supported")
    length = loaded.pipeline.max_seq_length or tokenizer.model_max_length
    spec = options.text_spec(TextSpec(tower="text", max_length=length, pad_id=tokenizer.pad_token_id), recipe)
    module, example = TextTower(loaded.pipeline), (encoded["input_ids"], encoded["attention_mask"])
    outputs = dense(measured_dimensions(module, example))
    tower = Tower(module, token_inputs("input_ids", "attention_mask"), example, outputs)
    return Part(spec, tower, _texts(loaded, spec), {spec.tokenizer: tokenizer.backend_tokenizer.to_str()})


def _texts(loaded: Loaded, spec: TextSpec) -> Texts:
    loaded.original.max_seq_length = spec.max_length
    return Texts(loaded.original)


def picture_part(loaded: Loaded, recipe: Recipe) -> Part:
    """Everything about pictures. Raises `SourceError` unless a CLIP makes their vectors."""
    original = clip_of(loaded.original)
    # With torchvision installed the library takes the processor whose roundings need torch; see processors.py.
    processor = CLIPImageProcessorPil.from_dict(original.processor.image_processor.to_dict())
    original.processor.image_processor = processor
    open_picture = references.opener(processors.picture_spec(processor), recipe)
    return two_towers.picture_part(
        clip_of(loaded.pipeline).model, processor, recipe, Pictures(loaded.original, open_picture)
    )
