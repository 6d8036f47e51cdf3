"""Texts alone, by any folder of sentence-transformers (Transformer, Pooling, Dense, Normalize), or by a plain folder of
an encoder or decoder of transformers; for that the recipe says the pooling.

A decoder's vector is the state of a text's last token, usually an end token; where the checkpoint's tokenizer lacks it,
the recipe's `append_eos` puts it there. Its attention is causal unless its configuration or the recipe says that it is
not (gte-Qwen2, https://huggingface.co/Alibaba-NLP/gte-Qwen2-1.5B-instruct).
"""

from __future__ import annotations

from pathlib import Path

from multi2vec.convert.errors import RecipeError, SourceError, reading
from multi2vec.convert.model import Model
from multi2vec.convert.options import FURTHER
from multi2vec.convert.parts import gte, text_towers
from multi2vec.convert.parts import sentence_pipelines as pipelines
from multi2vec.convert.parts.text_towers import Pipeline
from multi2vec.convert.recipe import Recipe, TextOptions

# The recipe's word for a pooling, and sentence-transformers'.
POOLINGS = {"cls": "cls", "mean": "mean", "last": "lasttoken"}


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when the checkpoint is of a kind that is not supported, not complete, or not there."""
    found = pipelines.find(recipe, "model", source, or_plain=True)
    gte.register()
    with reading(found.folder, "a text model"):
        pipeline = _pipeline(found.folder, recipe)
        part = text_towers.part(found.folder, pipeline, recipe, knows=FURTHER)
    return Model((found.source,), {"text": part})


def _pipeline(folder: Path, recipe: Recipe) -> Pipeline:
    pooling = (recipe.text or TextOptions()).pooling
    if pipelines.is_pipeline(folder):
        if pooling is not None:
            raise RecipeError(
                f"{recipe.tag}: text: pooling is {pooling!r}, but the checkpoint has a pooling of its own"
            )
        return text_towers.read(folder)
    if pooling is None:
        raise SourceError(
            f"{folder} cannot be read as a pipeline, since it has no {pipelines.MODULES}; of a plain encoder the "
            f"recipe says the pooling, under [text]: {', '.join(POOLINGS)}"
        )
    return text_towers.plain(folder, POOLINGS[pooling])
