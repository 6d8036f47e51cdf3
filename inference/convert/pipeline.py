"""A conversion from end to end: load, export, compare, describe, and only then appear."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path

import numpy as np
from rich.console import Console

from inference.convert import export, families, parity, samples
from inference.convert.model import Model, Vectors
from inference.convert.recipe import Recipe
from inference.manifest import Example, Manifest

EXAMPLE_TEXTS = samples.TEXTS[:2]


def convert(
    recipe: Recipe, source: Path | None, target: Path, precision: export.Precision, console: Console
) -> Manifest:
    """Write the model folder `target`. Raises `ConversionError`, and then nothing was written."""
    export.check_replaceable(target.absolute())
    with console.status(f"loading {recipe.tag}"):
        model = families.load(recipe, source)
    for each in model.sources:
        console.print(f"source: {each.name}" + (f" at {each.revision}" if each.revision else ""), markup=False)
    with export.atomic_folder(target) as folder:
        with console.status("exporting to OpenVINO"):
            towers = export.write(model, folder, precision)
        figures = parity.check(model, folder, towers, console)
        description = export.describe(recipe, model, towers, precision)
        description = dataclasses.replace(description, parity=figures, examples=examples(model, recipe.normalise))
        manifest = export.finish(folder, description)
        size = sum(path.stat().st_size for path in folder.iterdir())
    console.print(f"wrote {target} ({size / 1e6:.1f} MB, {manifest.dimensions} dimensions)", markup=False)
    return manifest


def examples(model: Model, normalise: bool) -> tuple[Example, ...]:
    """Two texts and a small picture with the original library's vectors, as a server should answer them."""
    made: list[Example] = []
    if model.text is not None:
        rows = _finished(model.text.reference.vectors(EXAMPLE_TEXTS), normalise)
        made += [Example("text", text, row) for text, row in zip(EXAMPLE_TEXTS, rows, strict=True)]
    if model.image is not None:
        picture = samples.small_png()
        row = _finished(model.image.reference.vectors([picture]), normalise)[0]
        made.append(Example("image", base64.b64encode(picture).decode(), row))
    return tuple(made)


def _finished(vectors: Vectors, normalise: bool) -> list[tuple[float, ...]]:
    """The rows as they are answered, in seven digits (all that a float32 holds)."""
    if normalise:
        vectors = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return [tuple(float(f"{value:.7g}") for value in row) for row in vectors]
