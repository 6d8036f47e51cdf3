"""From a Model to a model folder: towers as OpenVINO graphs, tokenizer, manifest; all of it or nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import shutil
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import openvino as ov
from openvino.preprocess import ColorFormat, PrePostProcessor

from inference import manifest
from inference.convert.errors import ConversionError
from inference.convert.model import Model, Tower
from inference.convert.recipe import Recipe
from inference.manifest import Manifest, OutputSpec, TowerSpec

Precision = Literal["fp32", "fp16"]

OUTPUT = "vector"
TYPES = {"u8": ov.Type.u8, "i64": ov.Type.i64, "f32": ov.Type.f32}
LIBRARIES = (
    "openvino",
    "torch",
    "torchvision",
    "transformers",
    "open_clip_torch",
    "sentence-transformers",
    "tokenizers",
    "ftfy",
    "numpy",
    "pillow",
)


def write(model: Model, folder: Path, precision: Precision) -> dict[str, TowerSpec]:
    """Write the towers and the tokenizer into the folder. Returns the towers' descriptions by name."""
    if model.text is not None:
        (folder / model.text.spec.tokenizer).write_text(model.text.tokenizer, encoding="utf-8")
    return {name: write_tower(name, tower, folder, model.dimensions, precision) for name, tower in model.towers.items()}


def write_tower(name: str, tower: Tower, folder: Path, dimensions: int, precision: Precision) -> TowerSpec:
    """Trace the module and write `<name>.xml` and `<name>.bin`."""
    graph = _trace(tower)
    path = folder / f"{name}.xml"
    ov.save_model(graph, path, compress_to_fp16=precision == "fp16")
    del graph
    if tower.scaling is not None:
        _prepend_scaling(tower, path)
    return TowerSpec(path.name, tower.inputs, (OutputSpec(OUTPUT, dimensions),))


def _trace(tower: Tower) -> ov.Model:
    shapes = [_module_shape(tower, index) for index in range(len(tower.inputs))]
    with warnings.catch_warnings():
        # The tracer warns of every condition on a shape; the dynamic sizes are proved by parity instead.
        warnings.simplefilter("ignore")
        graph = ov.convert_model(tower.module.eval(), example_input=tower.example, input=shapes)
    for port, spec in zip(graph.inputs, tower.inputs, strict=True):
        port.get_tensor().set_names({spec.name})
        port.get_node().set_friendly_name(spec.name)
    graph.outputs[0].get_tensor().set_names({OUTPUT})
    return graph


def _module_shape(tower: Tower, index: int) -> ov.PartialShape:
    """The shape that the module itself sees: channels first where the graph's pixels have them last."""
    shape = [-1 if size is None else size for size in tower.inputs[index].shape]
    if tower.scaling is not None:
        shape = [shape[0], shape[3], shape[1], shape[2]]
    return ov.PartialShape(shape)


def _prepend_scaling(tower: Tower, path: Path) -> None:
    """Let the graph take uint8 pixels, channels last.

    After the weights were compressed, so that mean and deviation stay float32: as float16 they cost a thousand times
    the rounding error.
    """
    assert tower.scaling is not None
    graph = ov.Core().read_model(path)
    prepared = PrePostProcessor(graph)
    pixels = prepared.input(0)
    pixels.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC")).set_color_format(ColorFormat.RGB)
    pixels.model().set_layout(ov.Layout("NCHW"))
    scaling = tower.scaling
    pixels.preprocess().convert_element_type(ov.Type.f32)
    pixels.preprocess().mean([255 * value for value in scaling.mean]).scale([255 * value for value in scaling.std])
    graph = prepared.build()
    # The weights' file is mapped into memory and cannot be overwritten while it is read.
    beside = path.with_name(f"scaled-{path.name}")
    ov.serialize(graph, beside)
    del prepared, pixels, graph
    gc.collect()
    for suffix in (".xml", ".bin"):
        beside.with_suffix(suffix).replace(path.with_suffix(suffix))


def describe(recipe: Recipe, model: Model, towers: dict[str, TowerSpec], precision: Precision) -> Manifest:
    """The manifest as far as it is known before parity is measured."""
    return Manifest(
        schema=manifest.SCHEMA,
        tag=recipe.tag,
        family=recipe.family,
        sources=model.sources,
        licence=recipe.licence,
        languages=recipe.languages,
        dimensions=model.dimensions,
        normalise=recipe.normalise,
        precision=precision,
        towers=towers,
        image=model.image.spec if model.image else None,
        text=model.text.spec if model.text else None,
        description=recipe.description,
        libraries={name: version(name) for name in LIBRARIES},
    )


def finish(folder: Path, description: Manifest) -> Manifest:
    """Write the manifest with the checksums of all that lies in the folder, and read it back."""
    files = {path.name: manifest.sha256(path) for path in sorted(folder.iterdir())}
    description = dataclasses.replace(description, files=files)
    (folder / manifest.FILE_NAME).write_text(description.to_json(), encoding="utf-8")
    return manifest.read(folder)


@contextlib.contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `target` when the block ends without an exception, else disappears.

    Raises `ConversionError` when `target` is something else than a model folder: it would be lost.
    """
    target = target.absolute()
    check_replaceable(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
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
