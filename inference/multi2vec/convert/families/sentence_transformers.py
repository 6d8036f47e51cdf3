"""Models of the sentence-transformers library: a CLIP for pictures and texts, or texts by a pipeline of their own.

With two sources, pictures come from the first's CLIP and texts from the second, any pipeline that ends in one vector
per text (for the multilingual CLIP: DistilBERT, mean pooling, a dense layer). A local checkpoint of such a pair
(`--source DIR`) is a folder with both, `DIR/clip-ViT-B-32/` and `DIR/clip-ViT-B-32-multilingual-v1/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from transformers import AutoModel, CLIPImageProcessorPil, CLIPModel

from multi2vec.convert import references, weights
from multi2vec.convert.errors import SourceError, reading
from multi2vec.convert.families import clip
from multi2vec.convert.model import Model, Part
from multi2vec.convert.parts import processors, text_towers, two_towers
from multi2vec.convert.parts import sentence_pipelines as pipelines
from multi2vec.convert.parts.text_towers import Texts
from multi2vec.convert.recipe import Recipe
from multi2vec.engine.rows import Array, Row
from multi2vec.specs import TextSpec


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
class LoadedClip:
    """`pipeline` is exported; `original` is the same checkpoint loaded again."""

    folder: Path
    pipeline: SentenceTransformer
    original: SentenceTransformer


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when a checkpoint is of a kind that is not supported, or cannot be had."""
    found = {name: pipelines.find(recipe, name, source) for name in recipe.sources}
    with_pictures = found["pictures" if "pictures" in found else "model"].folder
    folders = " and ".join(str(each.folder) for each in found.values())
    with reading(folders, "a model of sentence-transformers"):
        loaded = load_clip(with_pictures)
        parts = {
            "text": _texts(found["texts"].folder, recipe) if "texts" in found else clip_text_part(loaded, recipe),
            "image": picture_part(loaded, recipe),
        }
    return Model(tuple(each.source for each in found.values()), parts)


def load_clip(folder: Path) -> LoadedClip:
    """The pipeline, twice, with exactly the checkpoint's weights. Raises `SourceError` unless it is a CLIP alone."""
    first = pipelines.modules(folder)[0].folder
    pipeline = pipelines.load(folder)
    proved = weights.load_proved(AutoModel, first)
    weights.check_equal(clip_of(pipeline).model.state_dict(), proved.state_dict(), str(first))
    return LoadedClip(first, pipeline, pipelines.load(folder))


def clip_of(pipeline: SentenceTransformer) -> Any:
    """The module that makes vectors of pictures. Raises `SourceError` unless it is a CLIP."""
    transformer: Any = pipeline[0]
    if not isinstance(transformer.model, CLIPModel) or len(pipeline) > 1:
        raise SourceError("pictures can come from a CLIP of sentence-transformers only")
    return transformer


def _texts(folder: Path, recipe: Recipe) -> Part:
    return text_towers.part(folder, text_towers.read(folder), recipe)


def clip_text_part(loaded: LoadedClip, recipe: Recipe) -> Part:
    """Everything about texts, by the CLIP of the pictures."""
    transformer = clip_of(loaded.pipeline)
    clip.limit_length(transformer.tokenizer, transformer.model)

    def reference(spec: TextSpec) -> Texts:
        loaded.original.max_seq_length = spec.max_length
        return Texts(loaded.original)

    return clip.text_part(transformer.model, transformer.tokenizer, loaded.folder, recipe, reference)


def picture_part(loaded: LoadedClip, recipe: Recipe) -> Part:
    """Everything about pictures. Raises `SourceError` unless a CLIP makes their vectors."""
    original = clip_of(loaded.original)
    # With torchvision installed the library takes the processor whose roundings need torch; see processors.py.
    processor = CLIPImageProcessorPil.from_dict(original.processor.image_processor.to_dict())
    original.processor.image_processor = processor
    open_picture = references.opener(processors.picture_spec(processor), recipe)
    return two_towers.picture_part(
        clip_of(loaded.pipeline).model, processor, recipe, Pictures(loaded.original, open_picture)
    )
