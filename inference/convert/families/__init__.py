"""One file per family: `load(recipe, source) -> Model`."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from inference.convert.errors import RecipeError
from inference.convert.model import Model
from inference.convert.recipe import Recipe


def load(recipe: Recipe, source: Path | None) -> Model:
    """The recipe's model, from the folder `source` or from where the recipe says. Raises `ConversionError`."""
    known = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if recipe.family not in known:
        raise RecipeError(f"{recipe.tag}.toml names the family {recipe.family!r}; there are: {', '.join(known)}")
    family = importlib.import_module(f"{__name__}.{recipe.family}")
    model: Model = family.load(recipe, source)
    return model
