"""Embedders out of Phi-3-V: VLM2Vec (arXiv 2410.05160).

One vector of texts and pictures: the state of the last token. Each text around a picture begins with a `<s>` of its
own, and nothing stands behind the last one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import Phi3Config

from multi2vec.convert import checkpoint, options, references, weights
from multi2vec.convert.errors import reading
from multi2vec.convert.model import Lazy, Model, Part, Tower, dense, token_inputs
from multi2vec.convert.parts import phi3_v, phi3_v_checkpoint, phi3_v_reference, tokenizer_files
from multi2vec.convert.parts.phi3_v_checkpoint import Phi3V
from multi2vec.convert.parts.phi3_v_reference import Items
from multi2vec.convert.recipe import Recipe
from multi2vec.engine.preparers.protocol import ROWS
from multi2vec.layouts import HdLayout
from multi2vec.specs import FusedSpec, OutputSpec, TensorSpec

# Behind a picture. The authors put a space between it and what follows, be it another picture.
AFTER = "<s> "
# Of the table [fused].
NEEDS = ("crops", "without_text", "with_picture")


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when the checkpoint is not a Phi-3-V, not complete, or cannot be had."""
    found = checkpoint.find(recipe, "model", source)
    folder = found.folder
    with reading(folder, "a Phi-3-V"):
        weights.check_model_type(folder, "phi3_v")
        model = phi3_v_checkpoint.load(folder)
        tokenizer = tokenizer_files.all_special((folder / "tokenizer.json").read_text(encoding="utf-8"))
        spec = options.fused_spec(own_spec(model.text.config, tokenizer, recipe), recipe)
        part = part_of(model, spec, tokenizer, references.Shared(lambda: read_original(folder, spec)))
    return Model((found.source,), dict.fromkeys(spec.modalities, part))


def read_original(folder: Path, spec: FusedSpec) -> Items:
    """The original, loaded by its own loader, in float32 arithmetic."""
    assert isinstance(spec.layout, HdLayout)
    assert spec.without_text is not None
    assert spec.with_picture is not None
    return Items(
        phi3_v_reference.load(folder, spec.layout.crops),
        references.Opener(spec.exif_orientation, spec.transparency),
        spec.max_length,
        spec.without_text,
        spec.with_picture,
    )


def own_spec(config: Phi3Config, tokenizer: str, recipe: Recipe) -> FusedSpec:
    """What the checkpoint and the table [fused] say. Raises `RecipeError`."""
    crops = options.fused_options(recipe, needs=NEEDS).crops
    assert crops is not None
    assert config.pad_token_id is not None
    # Which token stands in a picture's places does not matter: its rows take them.
    place = Tokenizer.from_str(tokenizer).id_to_token(config.pad_token_id)
    assert place is not None
    return FusedSpec(
        tower="language",
        vision="vision",
        # Positions beyond have other factors.
        max_length=config.original_max_position_embeddings,
        prompts={},
        default_prompt="",
        layout=HdLayout(crops),
        place=place,
        after=AFTER,
        pad_id=config.pad_token_id,
        interpolation="bilinear",
    )


def part_of(model: Phi3V, spec: FusedSpec, tokenizer: str, original: Callable[[], Items]) -> Part:
    """Everything about texts, pictures and both."""
    size: int = model.text.config.hidden_size
    return Part(
        spec,
        language_tower(model, size),
        Lazy(original),
        {spec.tokenizer: tokenizer},
        vision=vision_tower(model, size),
        part_rows=lambda item: original().picture_rows(item),
    )


def vision_tower(model: Phi3V, size: int) -> Tower:
    """From one picture's tiles to its rows."""
    module = phi3_v.Vision(model).eval()
    # Two by three tiles: neither is fixed, and they differ.
    example = torch.zeros(2 * module.tile, 3 * module.tile, 3, dtype=torch.uint8)
    return Tower(module, (TensorSpec("pixels", "u8", (None, None, 3)),), (example,), (OutputSpec(ROWS, size),))


def language_tower(model: Phi3V, size: int) -> Tower:
    """From tokens and rows to vectors."""
    ids = torch.ones(2, 8, dtype=torch.int64)
    return Tower(
        phi3_v.Language(model).eval(),
        (
            *token_inputs("input_ids", "attention_mask"),
            TensorSpec(ROWS, "f32", (None, size)),
            *token_inputs("index"),
        ),
        (ids, ids, torch.zeros(3, size), torch.tensor([[0, 1, 2, 0, 0, 0, 0, 0]] * 2)),
        dense(size),
    )
