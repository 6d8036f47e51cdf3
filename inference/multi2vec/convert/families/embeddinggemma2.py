"""EmbeddingGemma 2 (https://ai.google.dev/gemma/docs/embeddinggemma): texts, pictures and videos in one vector.

A vector is the mean over all tokens, each of which sees those before and after it, at unit length. Prompts are those of
the checkpoint, by their names there; a recipe's own are whole frames, `<bos>find: {text}<eos>`. Sound, which the
original takes too, is left out, since the engine has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, Gemma4ImageProcessorPil

from multi2vec.convert import checkpoint, options, references
from multi2vec.convert.errors import RecipeError, reading
from multi2vec.convert.model import Lazy, Model, Part, Tower, dense, token_inputs
from multi2vec.convert.parts import embeddinggemma2 as parts
from multi2vec.convert.parts import embeddinggemma2_checkpoint as checkpoints
from multi2vec.convert.parts import embeddinggemma2_reference as originals
from multi2vec.convert.parts import sentence_pipelines as pipelines
from multi2vec.convert.parts import text_towers
from multi2vec.convert.recipe import HubSource, Recipe
from multi2vec.engine.preparers.protocol import ROWS
from multi2vec.specs import FusedSpec, OutputSpec, Prompt, TensorSpec

# By which the original puts prompts, texts and pictures together.
TEMPLATE = "chat_template.jinja"


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when the checkpoint is not an EmbeddingGemma 2, not complete, or cannot be had."""
    if recipe.fused is not None:
        raise RecipeError(f"{recipe.tag}: the table [fused] is not for models of the family {recipe.family!r}")
    found = find(recipe, source)
    folder = found.folder
    with reading(folder, "an EmbeddingGemma 2 of sentence-transformers"):
        model = checkpoints.load(folder)
        checkpoints.check_pipeline(folder)
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        own = own_spec(folder, model, tokenizer)
        spec = options.fused_spec(own, recipe)
        opener = references.opener(own, recipe)
        shared = references.Shared(lambda: originals.load(folder, opener, spec.max_length))
        part = part_of(model, spec, tokenizer, shared)
    return Model((found.source,), dict.fromkeys(spec.modalities, part))


def find(recipe: Recipe, source: Path | None) -> checkpoint.Checkpoint:
    """The checkpoint, with the original's template beside the files that every pipeline has. Raises `SourceError`."""
    found, asked = pipelines.find(recipe, "model", source), recipe.sources["model"]
    if isinstance(asked, HubSource) and found.source.revision is not None:
        checkpoint.fetch(asked.repository, found.source.revision, [TEMPLATE])
    return found


def own_spec(folder: Path, model: Any, tokenizer: Any) -> FusedSpec:
    """How the original takes texts and pictures. Raises `SourceError`."""
    processor: Any = Gemma4ImageProcessorPil.from_pretrained(folder)
    before, place, after = checkpoints.marks(tokenizer, model)
    layout = checkpoints.layout(processor, model)
    prompts, default = framed_prompts(folder, checkpoints.frame(tokenizer))
    return FusedSpec(
        tower="language",
        vision="vision",
        max_length=model.config.text_config.max_position_embeddings,
        prompts=prompts,
        default_prompt=default,
        layout=layout,
        place=place,
        before=before,
        after=after,
        video=checkpoints.video(folder, layout, model, tokenizer),
        without_prompt=Prompt(checkpoints.frame(tokenizer)),
        pad_id=tokenizer.pad_token_id,
        transparency="white",
    )


def framed_prompts(folder: Path, frame: str) -> tuple[Mapping[str, Prompt], str | None]:
    """The checkpoint's prompts, each in front of what is in an item, and which it uses by default."""
    prompts, default = text_towers.own_prompts(folder)
    before, after = frame.split("{text}")
    framed = {name: Prompt(f"{before}{each.template}{{text}}{after}") for name, each in prompts.items()}
    return framed, default


def part_of(model: Any, spec: FusedSpec, tokenizer: Any, original: Callable[[], originals.Original]) -> Part:
    """Everything about texts, pictures and both."""
    return Part(
        spec,
        language_tower(model),
        Lazy(original),
        {spec.tokenizer: tokenizer.backend_tokenizer.to_str()},
        vision=vision_tower(model),
        part_rows=lambda item: original().picture_rows(item),
    )


def vision_tower(model: Any) -> Tower:
    """From one picture's patches to its rows."""
    config = model.config.vision_config
    pixels, side = 3 * config.patch_size**2, 2 * config.pooling_kernel_size
    places = torch.cartesian_prod(torch.arange(side), torch.arange(side)).flip(1)
    return Tower(
        parts.Vision(model).eval(),
        (TensorSpec("pixels", "u8", (None, pixels)), TensorSpec("position_ids", "i64", (None, 2))),
        (torch.zeros(len(places), pixels, dtype=torch.uint8), places),
        (OutputSpec(ROWS, model.config.text_config.hidden_size),),
    )


def language_tower(model: Any) -> Tower:
    """From tokens and rows to vectors."""
    config = model.config.text_config
    ids = torch.ones(2, 8, dtype=torch.int64)
    return Tower(
        parts.Language(model).eval(),
        (
            *token_inputs("input_ids", "attention_mask"),
            TensorSpec(ROWS, "f32", (None, config.hidden_size)),
            *token_inputs("index"),
        ),
        (ids, ids, torch.zeros(3, config.hidden_size), torch.tensor([[0, 1, 2, 0, 0, 0, 0, 0]] * 2)),
        dense(config.embedding_dim),
    )
