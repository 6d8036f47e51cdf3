"""One file per family: `load(recipe, source) -> Model`."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from multi2vec.convert import options
from multi2vec.convert.errors import RecipeError
from multi2vec.convert.model import Model
from multi2vec.convert.recipe import Recipe

# The module of each family, by name. They are imported when they are needed: each is a large library.
FAMILIES: dict[str, str] = {module.name: f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)}


def load(recipe: Recipe, source: Path | None) -> Model:
    """The recipe's model, from the folder `source` or from where the recipe says. Raises `ConversionError`."""
    if recipe.family not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise RecipeError(f"{recipe.tag}.toml names the family {recipe.family!r}; there are: {known}")
    model: Model = importlib.import_module(FAMILIES[recipe.family]).load(recipe, source)
    options.check(model, recipe)
    return model
