"""The manifest: what a model folder holds, and how its inputs are prepared.

Conversion writes it, the engine reads it, and nothing else passes between the two. A key that a reader does not know is
ignored, so a manifest may be widened with optional keys without breaking folders or readers that exist already.
`SCHEMA` rises when an old reader would compute *wrong vectors* from a new folder, or could not read it at all.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from multi2vec.decoding import DecodeError, decode
from multi2vec.fingerprint import fingerprint
from multi2vec.specs import DENSE, SPECS, Modality, TowerSpec, kind_of

SCHEMA = 2
FILE_NAME = "manifest.json"
# How a tower's weights are stored. int8, int4: compressed, with scales; arithmetic is in floats all the same.
Stored = Literal["fp32", "fp16", "int8", "int4"]


class ManifestError(ValueError):
    """A model folder cannot be used; the message is one sentence that says why."""


@dataclass(frozen=True)
class Source:
    """Where the weights came from: a hub repository, an open_clip name or a local folder, with the resolved commit."""

    name: str
    revision: str | None = None


@dataclass(frozen=True)
class Example:
    """An input and the original library's dense vector for it, so that a server can prove itself on any machine.

    The vector has the length that the original library gives it, whether or not the model's are normalised here.
    `content` is the text itself, or a file in base64.
    """

    modality: Modality
    content: str
    vector: tuple[float, ...]


@dataclass(frozen=True)
class Manifest:
    """The description of one model folder."""

    schema: int
    tag: str
    family: str
    sources: tuple[Source, ...]
    licence: str
    languages: tuple[str, ...]
    # Of the dense vectors, the same for every modality.
    dimensions: int
    normalise: bool
    # Precision of the stored weights; the precision of the arithmetic is the server's choice.
    precision: Stored
    towers: Mapping[str, TowerSpec]
    # By modality. Several may share a spec, which stands once in `manifest.json`, by its kind.
    inputs: Mapping[Modality, Any]
    # A hash of the original weights, whatever they are stored as here.
    weights: str = ""
    # Lengths that a vector may be cut to (Matryoshka); empty: only the whole vector has a meaning.
    cut_dimensions: tuple[int, ...] = ()
    # The smallest length of a cut vector, where any from there on will do.
    smallest_dimensions: int | None = None
    description: str = ""
    # Whether the licence forbids commercial use.
    non_commercial: bool = False
    libraries: Mapping[str, str] = field(default_factory=dict)
    parity: Mapping[str, Any] = field(default_factory=dict)
    # The smallest cosine that compressed weights may have, where it is not the usual one: see `engine/floors.py`.
    floor: float | None = None
    examples: tuple[Example, ...] = ()
    # sha256 (hex) of every other file in the folder.
    files: Mapping[str, str] = field(default_factory=dict)
    # What the vectors depend on, as a hash. It follows from the rest: `fingerprint_of`.
    fingerprint: str = ""

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The kinds of input that the model takes."""
        return tuple(self.inputs)

    def spec(self, modality: Modality) -> Any:
        """The modality's spec. Raises `KeyError`."""
        return self.inputs[modality]

    def tower(self, modality: Modality) -> TowerSpec:
        """The tower that takes the modality. Raises `KeyError`."""
        return self.towers[self.inputs[modality].tower]

    def measured_in(self, precision: str) -> bool:
        """Whether there are figures of parity for that arithmetic, and not a sentence why there are none."""
        return isinstance(self.parity.get(precision), Mapping)

    def examples_of(self, modality: Modality) -> list[Example]:
        """The examples of one modality."""
        return [example for example in self.examples if example.modality == modality]

    def to_json(self) -> str:
        """The manifest as it stands in `manifest.json`."""
        specs = {kind_of(spec): dataclasses.asdict(spec) for spec in self.inputs.values()}
        return json.dumps({**dataclasses.asdict(self), "inputs": specs}, indent=2, ensure_ascii=False) + "\n"


def fingerprint_of(manifest: Manifest) -> str:
    """The fingerprint that follows from the rest of the manifest."""
    return fingerprint(
        weights=manifest.weights,
        inputs=manifest.inputs,
        files=manifest.files,
        outputs={name: tower.outputs for name, tower in manifest.towers.items()},
        normalise=manifest.normalise,
        stored=manifest.precision,
    )


def with_fingerprint(manifest: Manifest) -> Manifest:
    """The manifest with its fingerprint."""
    return dataclasses.replace(manifest, fingerprint=fingerprint_of(manifest))


def parse(text: str | bytes) -> Manifest:
    """Read a manifest. Raises `ManifestError` when it is broken or of a schema that this version does not know."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ManifestError(f"{FILE_NAME} is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise ManifestError(f"{FILE_NAME} is not a JSON object")
    if data.get("schema") != SCHEMA:
        raise ManifestError(
            f"{FILE_NAME} has schema {data.get('schema')!r}, this version reads {SCHEMA}; convert the model again"
        )
    try:
        manifest = decode(Manifest, data, FILE_NAME, inputs=_inputs(data.get("inputs")))
    except DecodeError as error:
        raise ManifestError(str(error)) from None
    _check(manifest)
    return manifest


def read(folder: Path) -> Manifest:
    """Read the manifest of a model folder. Raises `ManifestError`."""
    try:
        text = (folder / FILE_NAME).read_bytes()
    except OSError as error:
        raise ManifestError(
            f"{folder} is not a model folder ({FILE_NAME}: {error.strerror}); multi2vec convert makes one"
        ) from None
    return parse(text)


def sha256(path: Path) -> str:
    """The file's sha256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_files(folder: Path, manifest: Manifest, *, checksums: bool = True) -> None:
    """Raise `ManifestError` unless every file is there and, with `checksums`, unchanged since conversion."""
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ManifestError(f"{folder} is not complete: {name} is missing")
        if checksums and sha256(path) != expected:
            raise ManifestError(f"{folder} is damaged: {name} does not have the checksum that {FILE_NAME} states")


def _inputs(data: Any) -> dict[Modality, Any]:
    if not isinstance(data, dict) or not data:
        raise ManifestError(f"{FILE_NAME} describes no inputs")
    if unknown := sorted(set(data) - set(SPECS)):
        raise ManifestError(f"{FILE_NAME} has inputs of the kind {unknown[0]!r}; known are {', '.join(SPECS)}")
    specs = [decode(SPECS[kind], spec, f"{FILE_NAME}: {kind}") for kind, spec in data.items()]
    return {modality: spec for spec in specs for modality in spec.modalities}


def _check(manifest: Manifest) -> None:
    named_towers = [name for spec in manifest.inputs.values() for name in (spec.tower, spec.vision) if name is not None]
    if missing := [name for name in named_towers if name not in manifest.towers]:
        raise ManifestError(f"{FILE_NAME} names the tower {missing[0]!r}, which it does not describe")
    for name, tower in manifest.towers.items():
        for output in tower.outputs:
            if output.name == DENSE and output.dimensions != manifest.dimensions:
                raise ManifestError(
                    f"{FILE_NAME} has vectors of {manifest.dimensions} dimensions, its tower {name!r} "
                    f"of {output.dimensions}"
                )
    _check_files(manifest)
    if manifest.fingerprint != (expected := fingerprint_of(manifest)):
        raise ManifestError(
            f"{FILE_NAME} was changed: its fingerprint is {manifest.fingerprint!r}, what it describes has {expected!r}"
        )


def _check_files(manifest: Manifest) -> None:
    named = [tower.file for tower in manifest.towers.values()]
    for name in (*named, *(file for spec in manifest.inputs.values() for file in spec.files)):
        if name not in manifest.files:
            raise ManifestError(f"{FILE_NAME} names {name} without a checksum")
    for name in manifest.files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ManifestError(f"{FILE_NAME} names {name}, which lies outside the model folder")
