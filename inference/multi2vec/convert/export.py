"""From a Model to a model folder: towers as OpenVINO graphs, tokenizer, manifest; all of it or nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import openvino as ov
from openvino.preprocess import ColorFormat, PrePostProcessor
from rich.console import Console

from multi2vec import manifest
from multi2vec.convert import compression, disk, exact, progress, tracing, weights
from multi2vec.convert.errors import ConversionError
from multi2vec.convert.model import Model, Scaling, Tower
from multi2vec.convert.recipe import Recipe
from multi2vec.engine import floors
from multi2vec.manifest import Manifest, Stored
from multi2vec.specs import TowerSpec

LIBRARIES = (
    "openvino",
    "torch",
    "torchvision",
    "transformers",
    "open_clip_torch",
    "sentence-transformers",
    "tokenizers",
    "ftfy",
    "nncf",
    "numpy",
    "pillow",
)


def write(model: Model, folder: Path, stored: Stored, console: Console) -> dict[str, TowerSpec]:
    """Write the towers and the parts' files into the folder. Returns the towers' descriptions by name."""
    for part in model.parts.values():
        for name, text in part.files.items():
            (folder / name).write_text(text, encoding="utf-8")
    return {name: write_tower(name, tower, folder, stored, console) for name, tower in model.towers.items()}


def write_tower(name: str, tower: Tower, folder: Path, stored: Stored, console: Console) -> TowerSpec:
    """Trace the module and write `<name>.xml` and `<name>.bin`. Raises `ConversionError` when its outputs are others
    than the tower says."""
    path = folder / f"{name}.xml"
    with progress.step(f"tracing the tower {name}", console):
        graph = tracing.trace(name, tower)
    if stored in floors.COMPRESSED:
        # It has a bar of its own.
        console.print(f"compressing the weights of {name} to {stored}", markup=False, highlight=False)
    numbers = exact.numbers(graph)
    graph = compression.compress(graph, stored, console)
    with progress.step(f"writing {path.name}", console):
        ov.save_model(graph, path, compress_to_fp16=stored != "fp32")
        del graph
        if tower.scaling is not None or numbers:
            _finish(tower, numbers, path)
    return TowerSpec(path.name, tower.inputs, tower.outputs)


def _finish(tower: Tower, numbers: Mapping[str, exact.Numbers], path: Path) -> None:
    """What has to stay float32 comes into the graph when its weights are compressed already: as float16 it would cost a
    thousand times the rounding error."""
    graph = ov.Core().read_model(path)
    exact.restore(graph, numbers)
    if tower.scaling is not None:
        graph = _with_scaling(graph, tower.scaling)
    # The weights' file is mapped into memory and cannot be overwritten while it is read.
    beside = path.with_name(f"finished-{path.name}")
    ov.serialize(graph, beside)
    del graph
    gc.collect()
    for suffix in (".xml", ".bin"):
        beside.with_suffix(suffix).replace(path.with_suffix(suffix))


def _with_scaling(graph: ov.Model, scaling: Scaling) -> ov.Model:
    """Let the graph take uint8 pixels, channels last, as its first input."""
    prepared = PrePostProcessor(graph)
    pixels = prepared.input(0)
    pixels.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC")).set_color_format(ColorFormat.RGB)
    pixels.model().set_layout(ov.Layout("NCHW"))
    pixels.preprocess().convert_element_type(ov.Type.f32)
    pixels.preprocess().mean([255 * value for value in scaling.mean]).scale([255 * value for value in scaling.std])
    return prepared.build()


def describe(recipe: Recipe, model: Model, towers: dict[str, TowerSpec], stored: Stored) -> Manifest:
    """The manifest as far as it is known before parity is measured."""
    return Manifest(
        schema=manifest.SCHEMA,
        tag=recipe.tag,
        family=recipe.family,
        sources=model.sources,
        licence=recipe.licence,
        non_commercial=recipe.non_commercial,
        languages=recipe.languages,
        dimensions=model.dimensions,
        normalise=recipe.normalise,
        precision=stored,
        towers=towers,
        inputs={modality: part.spec for modality, part in model.parts.items()},
        weights=weights.digest(model),
        cut_dimensions=recipe.cut_dimensions,
        smallest_dimensions=recipe.smallest_dimensions,
        description=recipe.description,
        floor=recipe.floors.get(stored),
        libraries={name: version(name) for name in LIBRARIES},
    )


def write_manifest(folder: Path, description: Manifest) -> Manifest:
    """Write the manifest with its fingerprint and the checksums of all that lies in the folder, and read it back."""
    paths = [path for path in sorted(folder.iterdir()) if path.name != manifest.FILE_NAME]
    description = dataclasses.replace(description, files={path.name: manifest.sha256(path) for path in paths})
    (folder / manifest.FILE_NAME).write_text(manifest.with_fingerprint(description).to_json(), encoding="utf-8")
    return manifest.read(folder)


@contextlib.contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `target` when the block ends without an exception, else disappears.

    Raises `ConversionError` when `target` is something else than a model folder, which would be lost, or cannot be
    written.
    """
    target = target.absolute()
    check_replaceable(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    with disk.writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        try:
            yield temporary
            for path in (*temporary.iterdir(), temporary):
                _sync(path)
            _replace(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def check_replaceable(target: Path) -> None:
    """Raise `ConversionError` unless `target` can be written without losing anything but an older model folder."""
    above = next(each for each in target.parents if each.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise ConversionError(f"{target} cannot be written, since {above} is no folder that you may write to")
    if not target.exists():
        return
    if not target.is_dir():
        raise ConversionError(f"{target} is a file; name a folder with --out")
    if any(target.iterdir()) and not (target / manifest.FILE_NAME).is_file():
        raise ConversionError(f"{target} holds something else than a model; name another folder with --out")


def _replace(new: Path, target: Path) -> None:
    """Move `new` to `target`. A folder cannot be renamed onto a full one, so the older one steps aside first."""
    older = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        target.rename(older)
    try:
        new.rename(target)
    except BaseException:
        if older.exists():
            older.rename(target)
        raise
    _sync(target.parent)
    shutil.rmtree(older, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
