"""The manifest: what a model folder holds, and how its inputs are prepared.

Conversion writes it, serving reads it, and nothing else passes between the two. A key that a reader does not know is
ignored, so a manifest may be widened with optional keys without breaking folders or readers that exist already.
`SCHEMA` rises only when an old reader would compute *wrong vectors* from a new folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

SCHEMA = 1
FILE_NAME = "manifest.json"

Modality = Literal["text", "image", "video"]


class ManifestError(ValueError):
    """A model folder cannot be used; the message is one sentence that says why."""


@dataclass(frozen=True)
class TensorSpec:
    """One input of a tower. `shape` uses None for a dimension that varies; the first one is the batch."""

    name: str
    dtype: Literal["u8", "i64", "f32"]
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class OutputSpec:
    """One output of a tower: `dense` is one vector per row, `sparse` one weight per vocabulary entry, `tokens` one
    vector per token."""

    name: str
    dimensions: int
    kind: Literal["dense", "sparse", "tokens"] = "dense"


@dataclass(frozen=True)
class TowerSpec:
    """One OpenVINO graph. `file` is its .xml; the .bin lies beside it."""

    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[OutputSpec, ...]


@dataclass(frozen=True)
class ImageSpec:
    """How a picture becomes the uint8 (height, width, 3) array that the tower takes.

    Scaling to floats, mean and standard deviation are inside the tower.
    """

    tower: str
    height: int
    width: int
    # shortest: the shorter edge becomes `edge`, then a centre crop; squash: both edges at once, no crop.
    resize: Literal["shortest", "squash"]
    # The shorter edge after a `shortest` resize, in pixels; None: equal to the crop.
    edge: int | None = None
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    # Where an odd margin is cut: transformers floors it, torchvision rounds half to even.
    crop_rounding: Literal["floor", "half_even"] = "floor"
    # transformers turns a picture into RGB before it resizes, open_clip after.
    convert_rgb: Literal["before_resize", "after_resize"] = "before_resize"
    # What shows through transparent pixels: a white ground, or the colour stored beneath (alpha dropped).
    transparency: Literal["white", "drop"] = "drop"
    # Whether a camera's EXIF orientation is applied; the original libraries do not.
    exif_orientation: bool = False


@dataclass(frozen=True)
class TextSpec:
    """How a text becomes the tower's inputs.

    `max_length` counts tokens, special ones included. `clean` names the steps that the original library applies before
    its tokenizer, in order. `prompts` are prefixes by name ("query", "document", …).
    """

    tower: str
    max_length: int
    # longest: as long as the longest text in a batch needs; fixed: always to `max_length`.
    padding: Literal["longest", "fixed"] = "longest"
    pad_id: int = 0
    tokenizer: str = "tokenizer.json"
    clean: tuple[Literal["strip", "fix_text", "unescape_html", "collapse_whitespace", "lower"], ...] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None


@dataclass(frozen=True)
class Source:
    """Where the weights came from: a hub repository, an open_clip name or a local folder, with the resolved commit."""

    name: str
    revision: str | None = None


@dataclass(frozen=True)
class Example:
    """An input and the original library's vector for it, so that a server can prove itself on any machine.

    `content` is the text itself, or a picture file in base64.
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
    dimensions: int
    normalise: bool
    # Precision of the stored weights; the precision of the arithmetic is the server's choice.
    precision: Literal["fp32", "fp16"]
    towers: Mapping[str, TowerSpec]
    image: ImageSpec | None = None
    text: TextSpec | None = None
    # Lengths that a vector may be cut to (Matryoshka); empty: only the whole vector has a meaning.
    cut_dimensions: tuple[int, ...] = ()
    description: str = ""
    libraries: Mapping[str, str] = field(default_factory=dict)
    parity: Mapping[str, Any] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    # sha256 (hex) of every other file in the folder.
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The kinds of input that the model takes."""
        present: list[Modality] = []
        if self.text is not None:
            present.append("text")
        if self.image is not None:
            present.append("image")
        return tuple(present)

    def to_json(self) -> str:
        """The manifest as it stands in `manifest.json`."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"


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
    manifest: Manifest = _decode(Manifest, data, FILE_NAME)
    _check(manifest)
    return manifest


def read(folder: Path) -> Manifest:
    """Read the manifest of a model folder. Raises `ManifestError`."""
    try:
        text = (folder / FILE_NAME).read_bytes()
    except OSError as error:
        raise ManifestError(
            f"{folder} is not a model folder ({FILE_NAME}: {error.strerror}); python -m inference.convert makes one"
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


def _check(manifest: Manifest) -> None:
    for spec in (manifest.image, manifest.text):
        if spec is not None and spec.tower not in manifest.towers:
            raise ManifestError(f"{FILE_NAME} names the tower {spec.tower!r}, which it does not describe")
    if not manifest.modalities:
        raise ManifestError(f"{FILE_NAME} describes neither texts nor pictures")
    named = [tower.file for tower in manifest.towers.values()]
    if manifest.text is not None:
        named.append(manifest.text.tokenizer)
    for name in named:
        if name not in manifest.files:
            raise ManifestError(f"{FILE_NAME} names {name} without a checksum")
    for name in manifest.files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ManifestError(f"{FILE_NAME} names {name}, which lies outside the model folder")


def _decode(kind: Any, value: Any, where: str) -> Any:
    """`value` (from JSON) as `kind`: a dataclass, a generic of the manifest's kinds, or a scalar."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, value, where)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _decode(arguments[0], value, where)
    if origin is Literal:
        if value not in arguments:
            allowed = ", ".join(map(repr, arguments))
            raise ManifestError(f"{where} is {value!r}, which this version does not know (it knows {allowed})")
        return value
    if origin is tuple:
        _expect(isinstance(value, list), where, "a list")
        return tuple(_decode(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is Mapping:
        _expect(isinstance(value, dict), where, "an object")
        return {key: _decode(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is Any:
        return value
    if kind is float and type(value) is int:
        return float(value)
    _expect(type(value) is kind, where, f"of type {kind.__name__}")
    return value


def _decode_dataclass(kind: Any, value: Any, where: str) -> Any:
    _expect(isinstance(value, dict), where, "an object")
    hints = typing.get_type_hints(kind)
    arguments: dict[str, Any] = {}
    for each in dataclasses.fields(kind):
        if each.name in value:
            arguments[each.name] = _decode(hints[each.name], value[each.name], f"{where}: {each.name}")
        elif each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
            raise ManifestError(f"{where} has no {each.name!r}")
    return kind(**arguments)


def _expect(condition: bool, where: str, what: str) -> None:
    if not condition:
        raise ManifestError(f"{where} is not {what}")
