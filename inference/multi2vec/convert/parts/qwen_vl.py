"""What embedders out of Qwen-VL have in common, of whichever version: their spec, and what the original is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from multi2vec.convert import options, references
from multi2vec.convert.parts.qwen_vl_reference import Rules
from multi2vec.convert.recipe import FusedOptions, Recipe
from multi2vec.layouts import PatchLayout, Resize
from multi2vec.specs import FusedSpec, VideoSpec

PLACE, BEFORE, AFTER = "<|image_pad|>", "<|vision_start|>", "<|vision_end|>"
# What the head that writes has; an embedder has none.
LEFT_OUT = ("lm_head.weight",)
# Of the table [fused].
NEEDS = ("least_pixels", "most_pixels")
KNOWS = ("first_resize", "positions", "without_text", "without_picture", "between_texts", "nothing")


def wishes(recipe: Recipe) -> FusedOptions:
    """The table [fused]. Raises `RecipeError` where it says too little, or too much."""
    return options.fused_options(recipe, needs=NEEDS, knows=KNOWS)


def spec(model: Any, tokenizer: Any, recipe: Recipe, layout: PatchLayout, video: VideoSpec | None = None) -> FusedSpec:
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
        video=video,
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
        video=made.video,
    )


def video_spec(recipe: Recipe, layout: PatchLayout, usual: VideoSpec) -> VideoSpec | None:
    """How the recipe wants videos: as the family usually has them, with its own numbers; None if it says nothing of
    them. `layout` is that of pictures."""
    own = recipe.video
    if own is None:
        return None
    *before, last = layout.resizes
    resize = replace(last, least=own.least_pixels or last.least, most=own.most_pixels or last.most)
    return replace(
        usual,
        layout=replace(layout, resizes=(*before, resize)),
        count=own.count,
        fps=own.fps,
        least=own.least,
        most=own.most,
        pixels=own.pixels,
    )
