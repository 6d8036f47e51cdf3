"""A conversion from end to end. The model folder appears when all of it is written and proved, and not before."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console

from multi2vec.convert import export, families, originals, parity, progress, samples
from multi2vec.convert.model import Model, Part
from multi2vec.convert.recipe import Recipe
from multi2vec.engine.encoder import Precision
from multi2vec.engine.floors import COMPRESSED
from multi2vec.engine.rows import Row
from multi2vec.manifest import Example, Manifest, Stored
from multi2vec.specs import DENSE, Modality

# How far another machine's float32 may be from this one's, as a cosine.
MARGIN = 0.001
PRECISIONS: tuple[Precision, ...] = ("f32", "bf16")


def convert(
    recipe: Recipe,
    source: Path | None,
    target: Path,
    stored: Stored,
    console: Console,
    between: Callable[[], None] = lambda: None,
) -> Manifest:
    """Write the model folder `target`. Raises `ConversionError`, and then nothing was written.

    `between` is called between steps and before the folder appears; what it raises ends the conversion.
    """
    export.check_replaceable(target.absolute())
    with progress.step(f"loading {recipe.tag}", console):
        model = families.load(recipe, source)
    between()
    for each in model.sources:
        console.print(f"source: {each.name}" + (f" at {each.revision}" if each.revision else ""), markup=False)
    with export.atomic_folder(target) as folder:
        towers = export.write(model, folder, stored, console)
        # What is measured is opened as a server opens it, so the folder has a manifest from here on.
        manifest = export.write_manifest(folder, export.describe(recipe, model, towers, stored))
        model = model.exported()
        gc.collect()
        between()
        shown = examples(model)
        figures = parity.check(model, folder, console)
        manifest = export.write_manifest(folder, dataclasses.replace(manifest, parity=figures, examples=shown))
        with progress.step("proving the finished folder", console):
            manifest = proved(folder, manifest)
        between()
        size = sum(path.stat().st_size for path in folder.iterdir())
    console.print(
        f"wrote {target} ({size / 1e6:.1f} MB, {manifest.dimensions} dimensions, fingerprint {manifest.fingerprint})",
        markup=False,
    )
    return manifest


def proved(folder: Path, manifest: Manifest) -> Manifest:
    """The manifest of a folder that proved itself, in each precision that it has figures of. Raises `ParityError`.

    Where weights are compressed, it states what the examples kept: a server on any machine must get there too, which
    says more than the floor that all models have.
    """
    cosines = {each: parity.prove(folder, each) for each in PRECISIONS if manifest.measured_in(each)}
    if manifest.precision not in COMPRESSED:
        return manifest
    return export.write_manifest(folder, dataclasses.replace(manifest, floor=round(cosines["f32"] - MARGIN, 4)))


def examples(model: Model) -> tuple[Example, ...]:
    """A few inputs of each modality with the original library's vectors, not normalised unless it does that itself."""
    return tuple(each for modality, part in model.parts.items() for each in _examples(modality, part))


def _examples(modality: Modality, part: Part) -> list[Example]:
    chosen = samples.SAMPLES[modality]
    items = [item for item in chosen.examples() if samples.fits(item, part.spec.modalities)]
    if not items:
        return []
    default = originals.readings(part.spec, modality)[0]
    # Every start proves itself with them.
    sizes = [originals.bytes_of(part.reference.prepare(default.for_original(item))) for item in items]
    items = [items[place] for place in originals.spread(sizes, originals.MOST_EXAMPLE_BYTES)]
    rows = part.reference.rows([default.for_original(item) for item in items])[DENSE]
    return [Example(modality, chosen.content(item), _digits(row)) for item, row in zip(items, rows, strict=True)]


def _digits(row: Row) -> tuple[float, ...]:
    """The vector in seven digits, all that a float32 holds."""
    return tuple(float(f"{value:.7g}") for value in np.asarray(row))
