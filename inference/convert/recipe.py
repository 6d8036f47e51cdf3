"""Reads `images/<tag>.toml`: which model an image holds."""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.convert.errors import RecipeError

RECIPES = Path(__file__).parents[2] / "images"


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


@dataclass(frozen=True)
class Recipe:
    """One recipe. `sources` has one entry named "model", or "images" and "texts" where these come from two places."""

    tag: str
    family: str
    licence: str
    sources: dict[str, Source]
    languages: tuple[str, ...] = ()
    description: str = ""
    normalise: bool = True
    exif_orientation: bool = False


def tags(folder: Path = RECIPES) -> list[str]:
    """The tags that there are recipes for."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def read(tag: str, folder: Path = RECIPES) -> Recipe:
    """The recipe of that tag. Raises `RecipeError`, which lists the tags when there is none of that name."""
    known = tags(folder)
    if tag not in known:
        raise RecipeError(f"there is no recipe for {tag!r}; there are: {', '.join(known)}")
    path = folder / f"{tag}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path.name} is not TOML: {error}") from None
    sources = _sources(table.pop("source", None), path.name)
    recipe: Recipe = _decode(Recipe, table, path.name, tag=tag, sources=sources)
    return recipe


def _sources(table: Any, where: str) -> dict[str, Source]:
    if not isinstance(table, dict) or not table:
        raise RecipeError(f"{where} has no table [source]")
    if all(isinstance(value, dict) for value in table.values()):
        if set(table) != {"images", "texts"}:
            raise RecipeError(f"{where}: two sources are named [source.images] and [source.texts]")
        return {name: _source(value, f"{where}: source.{name}") for name, value in table.items()}
    return {"model": _source(table, f"{where}: source")}


def _source(table: dict[str, Any], where: str) -> Source:
    for kind, key in ((HubSource, "repository"), (OpenClipSource, "architecture"), (FolderSource, "path")):
        if key in table:
            source: Source = _decode(kind, table, where)
            return source
    raise RecipeError(f"{where} needs a repository, an architecture with pretrained, or a path")


def _decode(kind: Any, table: dict[str, Any], where: str, **given: Any) -> Any:
    """The table as the dataclass `kind`; the fields in `given` are not the table's to say."""
    hints = typing.get_type_hints(kind)
    fields = [each for each in dataclasses.fields(kind) if each.name not in given]
    names = [each.name for each in fields]
    if unknown := sorted(set(table) - set(names)):
        raise RecipeError(f"{where} has the unknown key {unknown[0]!r}; allowed are {', '.join(names)}")
    arguments = dict(given)
    for each in fields:
        if each.name in table:
            arguments[each.name] = _value(hints[each.name], table[each.name], f"{where}: {each.name}")
        elif each.default is dataclasses.MISSING:
            raise RecipeError(f"{where} has no {each.name!r}")
    return kind(**arguments)


def _value(kind: Any, value: Any, where: str) -> Any:
    """`value` as the field's kind: a string, a truth value, or a list of strings."""
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise RecipeError(f"{where} is not a list of strings")
        return tuple(value)
    wanted = typing.get_args(kind)[0] if typing.get_origin(kind) in (types.UnionType, typing.Union) else kind
    if type(value) is not wanted:
        raise RecipeError(f"{where} is not {'a string' if wanted is str else 'true or false'}")
    return value


def table(folder: Path = RECIPES) -> str:
    """The recipes as a Markdown table."""
    rows = ["| tag | what it is | languages | licence |", "| --- | --- | --- | --- |"]
    for tag in tags(folder):
        recipe = read(tag, folder)
        rows.append(f"| `{tag}` | {recipe.description} | {', '.join(recipe.languages)} | {recipe.licence} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
