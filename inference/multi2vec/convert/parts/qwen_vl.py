"""What embedders out of Qwen-VL have in common, of whichever version: their spec, and what the original is told."""

from __future__ import annotations

from typing import Any

from multi2vec.convert import options, references
from multi2vec.convert.errors import RecipeError
from multi2vec.convert.parts.qwen_vl_reference import Rules
from multi2vec.convert.recipe import FusedOptions, Recipe
from multi2vec.layouts import PatchLayout, Resize
from multi2vec.specs import FusedSpec, Prompt

PLACE, BEFORE, AFTER = "<|image_pad|>", "<|vision_start|>", "<|vision_end|>"
# What the head that writes has; an embedder has none.
LEFT_OUT = ("lm_head.weight",)


def wishes(recipe: Recipe) -> FusedOptions:
    """The table [fused]. Raises `RecipeError` without it."""
    if recipe.fused is None:
        raise RecipeError(f"{recipe.tag} has no table [fused], which says how large pictures may be, and more")
    return recipe.fused


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
        without_text=None if own.without_text is None else Prompt(own.without_text),
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
    )
