"""A conversion from end to end. The model folder appears when all of it is written and proved, and not before."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from rich.console import Console

from multi2vec.convert import export, families, parity, samples
from multi2vec.convert.model import Model, Part
from multi2vec.convert.recipe import Recipe
from multi2vec.engine.rows import Row
from multi2vec.manifest import DENSE, Example, Manifest, Modality


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
            # What is measured is opened as a server opens it, so the folder has a manifest from here on.
            manifest = export.write_manifest(folder, export.describe(recipe, model, towers, precision))
        figures = parity.check(model, folder, console)
        complete = dataclasses.replace(manifest, parity=figures, examples=examples(model))
        manifest = export.write_manifest(folder, complete)
        with console.status("proving the finished folder"):
            parity.prove(folder)
        size = sum(path.stat().st_size for path in folder.iterdir())
    console.print(
        f"wrote {target} ({size / 1e6:.1f} MB, {manifest.dimensions} dimensions, fingerprint {manifest.fingerprint})",
        markup=False,
    )
    return manifest


def examples(model: Model) -> tuple[Example, ...]:
    """A few inputs of each modality with the original library's vectors, not normalised unless it does that itself."""
    return tuple(each for modality, part in model.parts.items() for each in _examples(modality, part))


def _examples(modality: Modality, part: Part) -> list[Example]:
    chosen = samples.SAMPLES[modality]
    items = list(chosen.examples())
    default = parity.readings(part.spec)[0]
    rows = part.reference.rows([default.for_original(item) for item in items])[DENSE]
    return [Example(modality, chosen.content(item), _digits(row)) for item, row in zip(items, rows, strict=True)]


def _digits(row: Row) -> tuple[float, ...]:
    """The vector in seven digits, all that a float32 holds."""
    return tuple(float(f"{value:.7g}") for value in np.asarray(row))
