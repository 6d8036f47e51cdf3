"""What must be true of all recipes, as far as it can be seen without their models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from multi2vec.convert import catalogue
from multi2vec.convert import recipe as recipes
from multi2vec.convert.errors import RecipeError
from multi2vec.convert.families import FAMILIES
from multi2vec.convert.recipe import RECIPES, HubSource, OpenClipSource, Recipe
from multi2vec.specs import MODALITIES

COMMIT = re.compile(r"[0-9a-f]{40}")
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
# What can be the tag of an image: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
TAG = re.compile(r"\w[\w.-]{0,119}", re.ASCII)


def faults(folder: Path = RECIPES) -> list[str]:
    """What is wrong with the folder's recipes, a sentence each, in the order of tags. Nothing is downloaded."""
    found, read = [], []
    for tag in recipes.tags(folder):
        try:
            read.append(recipes.read(tag, folder))
        except RecipeError as error:
            found.append(str(error))
    for each in read:
        found += [f"{each.tag}.toml: {fault}" for fault in _of_one(each)]
    return [*found, *_of_names(read, recipes.tags(folder)), *_of_open_clip(read)]


def _of_one(recipe: Recipe) -> Iterator[str]:
    if not TAG.fullmatch(recipe.tag):
        yield "its name cannot be an image's tag"
    if recipe.family not in FAMILIES:
        yield f"there is no family {recipe.family!r}; there are: {', '.join(sorted(FAMILIES))}"
    yield from _of_modalities(recipe)
    if not recipe.licence.strip():
        yield "licence is empty"
    if not recipe.languages or not all(each.strip() for each in recipe.languages):
        yield "languages names none"
    if not recipe.description.strip().endswith("."):
        yield "description is no sentence that ends with a full stop"
    for name, source in recipe.sources.items():
        yield from _of_source(name, source)


def _of_modalities(recipe: Recipe) -> Iterator[str]:
    if unknown := [each for each in recipe.modalities or () if each not in MODALITIES]:
        yield f"modalities has {unknown[0]!r}; known are {', '.join(MODALITIES)}"
    if not recipe.modalities:
        yield "modalities is empty"
    if recipe.dimensions is None or recipe.dimensions <= 0:
        yield "dimensions is not stated"
    if "text" in (recipe.modalities or ()) and (recipe.context is None or recipe.context <= 0):
        yield "context, the tokens that a text may have, is not stated"
    whole = recipe.dimensions or 0
    for name, lengths in (
        ("cut_dimensions", recipe.cut_dimensions),
        ("smallest_dimensions", (recipe.smallest_dimensions or 0,)),
    ):
        if any(length >= whole > 0 for length in lengths):
            yield f"{name} has {max(lengths)}, but dimensions is {whole}"
    if recipe.published is not None and not (recipe.published.source.strip() and recipe.published.figures):
        yield "published needs figures and the source that has them"


def _of_source(name: str, source: recipes.Source) -> Iterator[str]:
    revisions = []
    if isinstance(source, HubSource):
        revisions = [source.revision]
        if not REPOSITORY.fullmatch(source.repository):
            yield f"the source {name!r} is {source.repository!r}; a repository is OWNER/NAME"
    elif isinstance(source, OpenClipSource):
        revisions = [source.revision, source.text_revision]
    for revision in revisions:
        if revision is not None and not COMMIT.fullmatch(revision):
            yield f"the source {name!r} has the revision {revision!r}, which is no commit of 40 hexadecimal digits"


def _of_names(read: Iterable[Recipe], tags: Iterable[str]) -> Iterator[str]:
    """A name must mean one model."""
    known = set(tags)
    owners: dict[str, str] = {}
    for each in read:
        if each.variant_of is not None and each.variant_of not in known:
            yield f"{each.tag}.toml: it is a variant of {each.variant_of!r}, which is no recipe's tag"
        for name in catalogue.other_names(each):
            if not name.strip():
                yield f"{each.tag}.toml: an alias is empty"
            elif name in known and name != each.tag:
                yield f"{each.tag}.toml: the alias {name!r} is another recipe's tag"
            elif name in owners:
                yield f"{each.tag}.toml: the name {name!r} is one of {owners[name]}.toml's too"
            owners.setdefault(name, each.tag)


def _of_open_clip(read: Iterable[Recipe]) -> Iterator[str]:
    """Names that open_clip's catalogue does not have; nothing where the library is not installed."""
    wanted = [
        (each.tag, source) for each in read for source in each.sources.values() if isinstance(source, OpenClipSource)
    ]
    if not wanted:
        return
    try:
        import open_clip
    except ImportError:
        return
    for tag, source in wanted:
        if open_clip.get_model_config(source.architecture) is None:
            yield f"{tag}.toml: open_clip has no architecture {source.architecture!r}"
        elif not open_clip.get_pretrained_cfg(source.architecture, source.pretrained):
            there = ", ".join(open_clip.list_pretrained_tags_by_model(source.architecture)) or "none"
            yield f"{tag}.toml: open_clip has no {source.pretrained!r} of {source.architecture}; there are: {there}"
