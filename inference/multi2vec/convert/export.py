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

from multi2vec import manifest
from multi2vec.convert import weights
from multi2vec.convert.errors import ConversionError
from multi2vec.convert.model import Model, Tower
from multi2vec.convert.recipe import Recipe
from multi2vec.manifest import Manifest, TowerSpec

Precision = Literal["fp32", "fp16"]

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
    """Write the towers and the parts' files into the folder. Returns the towers' descriptions by name."""
    for part in model.parts.values():
        for name, text in part.files.items():
            (folder / name).write_text(text, encoding="utf-8")
    return {name: write_tower(name, tower, folder, precision) for name, tower in model.towers.items()}


def write_tower(name: str, tower: Tower, folder: Path, precision: Precision) -> TowerSpec:
    """Trace the module and write `<name>.xml` and `<name>.bin`. Raises `ConversionError` when its outputs are others
    than the tower says."""
    graph = _trace(tower)
    _check_outputs(name, graph, tower)
    path = folder / f"{name}.xml"
    ov.save_model(graph, path, compress_to_fp16=precision == "fp16")
    del graph
    if tower.scaling is not None:
        _prepend_scaling(tower, path)
    return TowerSpec(path.name, tower.inputs, tower.outputs)


def _trace(tower: Tower) -> ov.Model:
    shapes = [_module_shape(tower, index) for index in range(len(tower.inputs))]
    with warnings.catch_warnings():
        # The tracer warns of every condition on a shape; the dynamic sizes are proved by parity instead.
        warnings.simplefilter("ignore")
        graph = ov.convert_model(tower.module.eval(), example_input=tower.example, input=shapes)
    for port, spec in zip(graph.inputs, tower.inputs, strict=True):
        port.get_tensor().set_names({spec.name})
        port.get_node().set_friendly_name(spec.name)
    for port, output in zip(graph.outputs, tower.outputs, strict=False):
        port.get_tensor().set_names({output.name})
    return graph


def _check_outputs(name: str, graph: ov.Model, tower: Tower) -> None:
    """The graph's real outputs against what the manifest will say of them."""
    if len(graph.outputs) != len(tower.outputs):
        raise ConversionError(f"the tower {name!r} has {len(graph.outputs)} outputs, not {len(tower.outputs)}")
    for port, output in zip(graph.outputs, tower.outputs, strict=True):
        shape = [-1, -1] if output.kind == "sparse" else [-1, *([-1] * (output.kind == "tokens")), output.dimensions]
        found = port.get_partial_shape()
        if not found.compatible(ov.PartialShape(shape)):
            raise ConversionError(
                f"the tower {name!r} gives {output.name!r} in the shape {found}, not {ov.PartialShape(shape)}"
            )


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
        inputs={modality: part.spec for modality, part in model.parts.items()},
        weights=weights.digest(model),
        cut_dimensions=recipe.cut_dimensions,
        smallest_dimensions=recipe.smallest_dimensions,
        description=recipe.description,
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
