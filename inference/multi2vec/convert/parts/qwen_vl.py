"""What embedders out of Qwen-VL have in common, of whichever version: their spec, and what the original is told."""

from __future__ import annotations

from typing import Any

from multi2vec.convert import options, references
from multi2vec.convert.parts.qwen_vl_reference import Rules
from multi2vec.convert.recipe import FusedOptions, Recipe
from multi2vec.layouts import PatchLayout, Resize
from multi2vec.specs import FusedSpec

PLACE, BEFORE, AFTER = "<|image_pad|>", "<|vision_start|>", "<|vision_end|>"
# What the head that writes has; an embedder has none.
LEFT_OUT = ("lm_head.weight",)
# Of the table [fused].
NEEDS = ("least_pixels", "most_pixels")
KNOWS = ("first_resize", "positions", "without_text", "without_picture", "between_texts", "nothing")


def wishes(recipe: Recipe) -> FusedOptions:
    """The table [fused]. Raises `RecipeError` where it says too little, or too much."""
    return options.fused_options(recipe, needs=NEEDS, knows=KNOWS)


def spec(model: Any, tokenizer: Any, recipe: Recipe, layout: PatchLayout) -> FusedSpec:
    """What the checkpoint and the recipe say. Raises `RecipeError`."""
    own = wishes(recipe)
    plain = FusedSpec(
        tower="language",
        vision="vision",
        max_length=model.config.text_config.max_position_embeddings,
        prompts={},
        default_prompt="",
        layout=layout,
        place=PLACE,
        before=BEFORE,
        after=AFTER,
        positions=own.positions,
        between_texts=own.between_texts,
        nothing=own.nothing,
        without_picture=own.without_picture,
        pad_id=tokenizer.pad_token_id,
    )
    return options.fused_spec(plain, recipe)


def rules(made: FusedSpec, first: Resize | None) -> Rules:
    """What the original is told; `first` is how pictures are resized before its processor sees them."""
    return Rules(
        open=references.Opener(made.exif_orientation, made.transparency),
        first=first,
        counts_grid=made.positions == "grid",
        length=made.max_length,
        without_text=made.without_text.template if made.without_text else None,
        square=made.without_picture,
        between_texts=made.between_texts,
    )
