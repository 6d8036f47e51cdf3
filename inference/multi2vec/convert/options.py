"""What a recipe says beside which model it is, applied to what a family found out; the same for all families."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from multi2vec.convert.errors import RecipeError
from multi2vec.convert.model import Model
from multi2vec.convert.recipe import FusedOptions, PictureOptions, Recipe, TextOptions, as_prompt
from multi2vec.engine.preparers.texts import ADAPTER
from multi2vec.specs import FusedSpec, Modality, PictureSpec, Prompt, TextSpec, word

# Options of texts that only some families follow.
FURTHER = ("pooling", "append_eos", "is_causal")


def text_spec(own: TextSpec, recipe: Recipe, *, knows: Sequence[str] = ()) -> TextSpec:
    """`own`, as the original library does it, with the recipe's prompts beside its own, and its maximum length.

    `knows` are the further options that the family follows. Raises `RecipeError`.
    """
    options = recipe.text or TextOptions()
    for name in FURTHER:
        if name not in knows and getattr(options, name) != getattr(TextOptions(), name):
            raise RecipeError(f"{recipe.tag}: text: {name} is not for models of the family {recipe.family!r}")
    length = options.max_length or own.max_length
    if length > own.max_length:
        raise RecipeError(f"{recipe.tag}: max_length is {length}, but the model takes {own.max_length} tokens at most")
    return dataclasses.replace(
        own,
        max_length=length,
        prompts={**own.prompts, **options.named_prompts},
        default_prompt=options.default_prompt or own.default_prompt,
    )


def picture_spec(own: PictureSpec, recipe: Recipe) -> PictureSpec:
    """`own`, as the original library does it, with the recipe's wishes.

    Another treatment of transparency than the library's own comes before the library sees the picture, which is then in
    RGB already.
    """
    options = recipe.picture or PictureOptions()
    spec = dataclasses.replace(own, exif_orientation=options.exif_orientation)
    if options.transparency in (None, own.transparency):
        return spec
    return dataclasses.replace(spec, transparency=options.transparency, convert_rgb="before_resize")


def fused_options(recipe: Recipe, *, needs: Sequence[str], knows: Sequence[str] = ()) -> FusedOptions:
    """The table [fused] of a family that needs those options, and may have these. Raises `RecipeError`."""
    options, usual = recipe.fused or FusedOptions(), FusedOptions()
    for name in (each.name for each in dataclasses.fields(options)):
        if name in needs and getattr(options, name) is None:
            raise RecipeError(f"{recipe.tag}: fused: {name} is missing")
        if name not in (*needs, *knows) and getattr(options, name) != getattr(usual, name):
            raise RecipeError(f"{recipe.tag}: fused: {name} is not for models of the family {recipe.family!r}")
    return options


def fused_spec(own: FusedSpec, recipe: Recipe) -> FusedSpec:
    """`own` with the recipe's prompts, its maximum length and its wishes for pictures. Raises `RecipeError`."""
    texts, pictures = recipe.text or TextOptions(), recipe.picture or PictureOptions()
    fused = recipe.fused or FusedOptions()
    length = texts.max_length or own.max_length
    if length > own.max_length:
        raise RecipeError(f"{recipe.tag}: max_length is {length}, but the model takes {own.max_length} tokens at most")
    default = texts.default_prompt or own.default_prompt
    known = {**own.prompts, **texts.named_prompts}
    if default not in known and own.without_prompt is None:
        raise RecipeError(f"{recipe.tag}: text: default_prompt is missing; every item of such a model is in a prompt")
    return dataclasses.replace(
        own,
        max_length=length,
        prompts=known,
        default_prompt=default,
        without_text=None if fused.without_text is None else as_prompt(fused.without_text),
        with_picture=None if fused.with_picture is None else as_prompt(fused.with_picture),
        without_picture=fused.without_picture,
        exif_orientation=pictures.exif_orientation,
        transparency=pictures.transparency or own.transparency,
    )


def check(model: Model, recipe: Recipe) -> None:
    """Raise `RecipeError` for wishes that the model cannot fulfil.

    A recipe that does not say which kinds of input its model takes may have wishes for any.
    """
    wishes: dict[Modality, Any] = {
        "text": recipe.text,
        "image": recipe.picture,
        "fused": recipe.fused,
        "video": recipe.video,
    }
    for modality, wish in wishes.items():
        if wish is not None and modality not in model.parts and recipe.modalities is not None:
            raise RecipeError(
                f"{recipe.tag} has a table [{word(modality)}], but the model has no {word(modality)} tower"
            )
    _check_adapters(model, recipe)
    lengths = {"cut_dimensions": recipe.cut_dimensions, "smallest_dimensions": (recipe.smallest_dimensions or 0,)}
    for name, each in lengths.items():
        if each and max(each) >= model.dimensions:
            raise RecipeError(f"{recipe.tag}: {name} has {max(each)}, but the model's vectors have {model.dimensions}")
    _check_promises(model, recipe)


def _check_adapters(model: Model, recipe: Recipe) -> None:
    for part in model.parts.values():
        prompts: Mapping[str, Prompt] = getattr(part.spec, "prompts", {})
        adapted = [name for name, prompt in prompts.items() if prompt.adapter is not None]
        if adapted and ADAPTER not in {each.name for each in part.tower.inputs}:
            raise RecipeError(f"{recipe.tag}: the prompt {adapted[0]!r} names an adapter, but the model has none")


def _check_promises(model: Model, recipe: Recipe) -> None:
    """What the catalogue tells of the model must be true of it."""
    if recipe.modalities is not None and recipe.modalities != tuple(model.parts):
        wanted, found = (" and ".join(map(word, each)) for each in (recipe.modalities, model.parts))
        raise RecipeError(f"{recipe.tag} promises vectors of {wanted}, but the model makes them of {found}")
    if recipe.dimensions not in (None, model.dimensions):
        raise RecipeError(
            f"{recipe.tag} promises {recipe.dimensions} dimensions, but the model's vectors have {model.dimensions}"
        )
    context = next(
        (getattr(part.spec, "max_length", None) for name, part in model.parts.items() if name == "text"), None
    )
    if recipe.context not in (None, context):
        raise RecipeError(f"{recipe.tag} promises texts of {recipe.context} tokens, but the model takes {context}")
