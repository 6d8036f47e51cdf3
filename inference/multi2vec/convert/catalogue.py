"""All recipes together: the tables that are made of them, and what must be true of them.

`python -m multi2vec.convert.catalogue` prints the README's table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from multi2vec.convert import recipe as recipes
from multi2vec.convert.recipe import RECIPES, Recipe
from multi2vec.specs import word

# Modalities apart that many models take together, and what heads their part of the README's table.
HEADINGS = {
    ("text", "image"): "Texts and pictures",
    ("text",): "Texts only",
    ("image",): "Pictures only",
    ("text", "image", "fused"): "Texts, pictures, and both in one vector",
    ("text", "image", "fused", "video"): "Texts, pictures, videos, and several of them in one vector",
}
COLUMNS = ("TAG", "FAMILY", "DIMS", "INPUTS", "CONTEXT", "LANGUAGES", "LICENCE", "WEIGHTS")
RIGHT = ("DIMS", "CONTEXT")


def listing(folder: Path = RECIPES, width: int | None = None) -> str:
    """The recipes as lines of aligned columns, for a terminal.

    With the models' other names where the lines are then not longer than `width`; None: however long they are.
    Raises `RecipeError`.
    """
    read = [recipes.read(tag, folder) for tag in recipes.tags(folder)]
    plain = _aligned([COLUMNS, *(_cells(each) for each in read)])
    names = ["ALIASES", *(", ".join(other_names(each)) for each in read)]
    edge = max(map(len, plain)) + 2
    full = [f"{line.ljust(edge)}{name}".rstrip() for line, name in zip(plain, names, strict=True)]
    return "\n".join(full if width is None or max(map(len, full)) <= width else plain)


def other_names(recipe: Recipe) -> list[str]:
    """What the model can be called beside its tag."""
    (source, *others) = recipe.sources.values()
    is_own = not others and recipe.variant_of is None
    hub = [source.name] if is_own and isinstance(source, recipes.HubSource) else []
    return list(dict.fromkeys([*recipe.aliases, *hub]))


def _cells(recipe: Recipe) -> tuple[str, ...]:
    return (
        recipe.tag,
        recipe.family,
        _dimensions(recipe),
        "+".join(map(word, recipe.modalities or ())),
        "-" if recipe.context is None else str(recipe.context),
        ",".join(recipe.languages),
        recipe.licence,
        recipe.weights,
    )


def _dimensions(recipe: Recipe) -> str:
    """The length of vectors."""
    return "-" if recipe.dimensions is None else str(recipe.dimensions)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = [name in RIGHT for name in rows[0]]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    ]


def markdown(folder: Path = RECIPES) -> str:
    """The recipes as Markdown: one table for each combination of inputs, with what helps to choose."""
    parts = []
    read = [recipes.read(tag, folder) for tag in recipes.tags(folder)]
    kinds = dict.fromkeys([*HEADINGS, *(each.modalities or () for each in read)])
    for kind in kinds:
        chosen = [each for each in read if (each.modalities or ()) == kind]
        if chosen:
            parts.append("\n".join(_section(kind, chosen)))
    return "\n\n".join(parts)


def heading(kind: tuple[str, ...]) -> str:
    """What heads a table of the models that take these modalities together."""
    return HEADINGS.get(kind) or ", ".join(map(word, kind)).capitalize()


def _section(kind: tuple[str, ...], chosen: Sequence[Recipe]) -> Iterator[str]:
    yield f"**{heading(kind)}**\n"
    yield "| tag | what it is | dimensions | texts up to | languages | licence |"
    yield "| --- | --- | ---: | ---: | --- | --- |"
    for each in chosen:
        context = "" if each.context is None else f"{each.context:,} tokens"
        licence = f"{each.licence}, non-commercial" if each.non_commercial else each.licence
        languages = ", ".join(each.languages)
        yield (f"| `{each.tag}` | {each.description} | {_cut(each)} | {context} | {languages} | {licence} |")


def _cut(recipe: Recipe) -> str:
    """The length of vectors, and the smallest that they may be cut to."""
    smallest = recipe.smallest_dimensions or min(recipe.cut_dimensions, default=None)
    return _dimensions(recipe) if smallest is None else f"{_dimensions(recipe)} (cut: from {smallest})"


if __name__ == "__main__":
    print(markdown())
