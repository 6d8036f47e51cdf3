"""Reads `images/<tag>.toml`: which model an image holds, and what may differ from what the original library does."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from multi2vec import names, places
from multi2vec.convert import licences
from multi2vec.convert.errors import RecipeError
from multi2vec.decoding import DecodeError, decode
from multi2vec.engine.floors import COMPRESSED
from multi2vec.manifest import Stored
from multi2vec.specs import Modality, Prompt

RECIPES = places.IMAGES


@dataclass(frozen=True)
class HubSource:
    """A repository on the model hub. Without a revision conversion takes the branch and records its commit."""

    repository: str
    revision: str | None = None

    @property
    def name(self) -> str:
        return self.repository


@dataclass(frozen=True)
class OpenClipSource:
    """A name of open_clip's catalogue; `text_revision` is that of the text tower's own repository, if it has one."""

    architecture: str
    pretrained: str
    revision: str | None = None
    text_revision: str | None = None

    @property
    def name(self) -> str:
        return f"{self.architecture}/{self.pretrained}"


@dataclass(frozen=True)
class FolderSource:
    """A checkpoint in this repository; `path` is relative to its root."""

    path: str

    @property
    def name(self) -> str:
        return self.path


Source = HubSource | OpenClipSource | FolderSource


def as_prompt(given: str | Prompt) -> Prompt:
    """A prompt that may stand there as its template alone."""
    return Prompt(given) if isinstance(given, str) else given


@dataclass(frozen=True)
class TextOptions:
    """The table [text].

    A prompt is a template with a place for `{text}`, and perhaps one for `{task}`; without `{text}` it stands in front
    of the text. As a table it can have a `task` for callers that give none. `max_length` counts tokens.

    The others are for a model that does not say it itself. `pooling`: which of an encoder's states become the vector;
    `append_eos`: the end token stands behind each text; `is_causal`: whether a decoder's tokens see only those before.
    """

    prompts: Mapping[str, str | Prompt] = field(default_factory=dict)
    default_prompt: str | None = None
    max_length: int | None = None
    pooling: Literal["cls", "mean", "last"] | None = None
    append_eos: bool = False
    is_causal: bool | None = None

    @property
    def named_prompts(self) -> dict[str, Prompt]:
        """The prompts, all in one form."""
        return {name: as_prompt(each) for name, each in self.prompts.items()}


@dataclass(frozen=True)
class PictureOptions:
    """The table [picture]. What shows through transparent pixels: a white ground, or with `drop` the colour that is
    stored beneath; None: as the original library does."""

    exif_orientation: bool = False
    transparency: Literal["drop", "white"] | None = None


@dataclass(frozen=True)
class FusedOptions:
    """The table [fused]: what models of texts and pictures in one item have to be told about. Each family knows some of
    it.

    A picture is resized to from `least_pixels` to `most_pixels`; and before, if `first_resize` says so, as the library
    qwen_vl_utils does it, which refuses a very narrow one or clamps it. Or it becomes `crops` tiles at most.
    `positions`: how tokens are counted, along a line or with the rows and columns of pictures. `without_text`: the
    prompt of a picture alone; `with_picture`: that of both together; `without_picture`: the side in pixels of a black
    square that a text alone is shown with. `between_texts` stands between two texts beside each other, and `nothing`
    for an empty item.
    """

    least_pixels: int | None = None
    most_pixels: int | None = None
    crops: int | None = None
    first_resize: Literal["refuse", "clamp"] | None = None
    positions: Literal["line", "grid"] = "grid"
    without_text: str | Prompt | None = None
    with_picture: str | Prompt | None = None
    without_picture: int | None = None
    between_texts: str = "\n"
    nothing: str = ""


@dataclass(frozen=True)
class VideoOptions:
    """The table [video]: which frames of a video a model takes that was made for videos.

    `count` of them from the first to the last one; or `fps` per second, at least `least` and at most `most`. A frame is
    resized to from `least_pixels` to `most_pixels`, where that is not as for pictures, and all of them have `pixels`
    together at most.
    """

    count: int | None = None
    fps: float | None = None
    least: int = 1
    most: int | None = None
    least_pixels: int | None = None
    most_pixels: int | None = None
    pixels: int | None = None


@dataclass(frozen=True)
class Published:
    """The table [published]: figures that the model's authors or others published, by what they measure, and where."""

    source: str
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Recipe:
    """One recipe. `sources` has one entry named "model", or "pictures" and "texts" where these come from two places.

    `modalities`, `dimensions` and `context` (tokens that a text may have) tell about the model before anybody has
    loaded it; conversion refuses a model that they are not true of. None says nothing. `aliases` are the model's names
    elsewhere; a repository that is the only source is one anyway, except of a recipe that is a variant of another (its
    tag), which serves the same model in another way. `weights` is how they are stored unless the user
    wants otherwise; `floors` are the smallest cosines that its compressed weights (int8, int4) may have, where they are
    not the usual ones. `published` are figures that others measured.
    """

    tag: str
    family: str
    licence: str
    sources: dict[str, Source]
    languages: tuple[str, ...] = ()
    description: str = ""
    modalities: tuple[Modality, ...] | None = ("text", "image")
    dimensions: int | None = None
    context: int | None = None
    aliases: tuple[str, ...] = ()
    variant_of: str | None = None
    weights: Stored = "fp16"
    floors: Mapping[str, float] = field(default_factory=dict)
    normalise: bool = True
    # Lengths that a dense vector may be cut to (Matryoshka), or the smallest where any length from there on will do.
    cut_dimensions: tuple[int, ...] = ()
    smallest_dimensions: int | None = None
    text: TextOptions | None = None
    picture: PictureOptions | None = None
    fused: FusedOptions | None = None
    video: VideoOptions | None = None
    published: Published | None = None

    @property
    def non_commercial(self) -> bool:
        """Whether the licence forbids commercial use."""
        return licences.is_non_commercial(self.licence)


def tags(folder: Path = RECIPES) -> list[str]:
    """The tags that there are recipes for."""
    return names.tags(folder)


def read(name: str, folder: Path = RECIPES) -> Recipe:
    """The recipe of that tag, or of the model that has this name elsewhere.

    Raises `RecipeError`, which lists similar names when there is none.
    """
    tag = names.resolve(name, folder)
    if tag is None:
        raise RecipeError(names.unknown(name, folder))
    path = folder / f"{tag}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path.name} is not TOML: {error}") from None
    try:
        sources = _sources(table.pop("source", None), path.name)
        recipe = decode(Recipe, table, path.name, strict=True, tag=tag, sources=sources)
    except DecodeError as error:
        raise RecipeError(str(error)) from None
    _check(recipe, path.name)
    return recipe


def _sources(table: Any, where: str) -> dict[str, Source]:
    if not isinstance(table, dict) or not table:
        raise RecipeError(f"{where} has no table [source]")
    if all(isinstance(value, dict) for value in table.values()):
        if set(table) != {"pictures", "texts"}:
            raise RecipeError(f"{where}: two sources are named [source.pictures] and [source.texts]")
        return {name: _source(value, f"{where}: source.{name}") for name, value in table.items()}
    return {"model": _source(table, f"{where}: source")}


def _source(table: dict[str, Any], where: str) -> Source:
    kinds: dict[str, type[Source]] = {
        "repository": HubSource,
        "architecture": OpenClipSource,
        "path": FolderSource,
    }
    for key, kind in kinds.items():
        if key in table:
            return decode(kind, table, where, strict=True)
    raise RecipeError(f"{where} needs a repository, an architecture with pretrained, or a path")


def _check(recipe: Recipe, where: str) -> None:
    """Raise `RecipeError` for what can be seen without the model; `options.check` does the rest."""
    if any(length <= 0 for length in (*recipe.cut_dimensions, recipe.smallest_dimensions or 1)):
        raise RecipeError(f"{where}: cut_dimensions and smallest_dimensions are lengths of vectors, so above zero")
    for name, floor in recipe.floors.items():
        if name not in COMPRESSED or not 0 < floor < 1:
            raise RecipeError(f"{where}: floors are cosines between 0 and 1 for {' and '.join(COMPRESSED)}")
    text = recipe.text or TextOptions()
    if text.max_length is not None and text.max_length <= 0:
        raise RecipeError(f"{where}: text: max_length is {text.max_length}; it is a number of tokens, so above zero")
    if text.default_prompt is not None and text.default_prompt not in text.prompts:
        known = ", ".join(text.prompts) or "none"
        raise RecipeError(f"{where}: text: default_prompt is {text.default_prompt!r}; the prompts are: {known}")
    for name, prompt in text.named_prompts.items():
        if prompt.template.count("{text}") > 1:
            raise RecipeError(f"{where}: text: the prompt {name!r} has more than one place for {{text}}")
        if prompt.task is not None and not prompt.takes_task:
            raise RecipeError(f"{where}: text: the prompt {name!r} has a task, but no place for {{task}}")
