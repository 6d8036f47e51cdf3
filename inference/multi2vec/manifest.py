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
from typing import Any, Literal, Protocol

from multi2vec.decoding import DecodeError, decode
from multi2vec.fingerprint import fingerprint

SCHEMA = 2
FILE_NAME = "manifest.json"
DENSE = "dense"

# A kind of input; `SPECS` lists those that there are.
Modality = str
Kind = Literal["dense", "sparse", "tokens"]
# How a tower's weights are stored. int8, int4: compressed, with scales; arithmetic is in floats all the same.
Stored = Literal["fp32", "fp16", "int8", "int4"]


class ManifestError(ValueError):
    """A model folder cannot be used; the message is one sentence that says why."""


@dataclass(frozen=True)
class TensorSpec:
    """One input of a tower. `shape` uses None for a dimension that varies; the first one is the batch, or all tiles of
    all pictures in it."""

    name: str
    dtype: Literal["u8", "i64", "f32"]
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class OutputSpec:
    """One output of a tower, float32.

    dense: one vector per row, (rows, dimensions). tokens: one vector per token, (rows, length, dimensions). sparse: one
    weight per token, (rows, length), of which each token id keeps the largest; `dimensions` is the vocabulary's size,
    and `token_ids` the input whose ids they are. `vectors` is how many token vectors each row has, where that does not
    follow from its tokens. `skipped` is how many tokens at the beginning of a text have no vector, though the tower
    gives one.
    """

    name: str
    dimensions: int
    kind: Kind = "dense"
    token_ids: str = "input_ids"  # noqa: S105
    vectors: int | None = None
    skipped: int = 0


@dataclass(frozen=True)
class TowerSpec:
    """One OpenVINO graph. `file` is its .xml; the .bin lies beside it."""

    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[OutputSpec, ...]


class Spec(Protocol):
    """How inputs of one modality are prepared, and which tower takes them."""

    @property
    def tower(self) -> str:
        """The tower's name."""

    @property
    def files(self) -> tuple[str, ...]:
        """What the folder holds for it beside the tower."""


@dataclass(frozen=True)
class TileSpec:
    """How a picture becomes several tiles, and token ids with places for them.

    The picture's longer edge becomes `longest`, then both edges become whole tiles, and it is cut, row by row; the
    whole of it at a tile's size comes last. A picture that is one tile anyhow is not cut.

    `prompts` are the token ids around the tiles, by "rows×columns" ("0×0": not cut). In them each `place` stands for a
    tile, and becomes `places` tokens of that id.
    """

    longest: int
    place: int
    places: int
    prompts: Mapping[str, tuple[int, ...]]
    pad_id: int = 0


@dataclass(frozen=True)
class PictureSpec:
    """How a picture becomes the uint8 (height, width, 3) array that the tower takes, or with `tiles` several of them.

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
    # Height and width are those of a tile then.
    tiles: TileSpec | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """Nothing beside the tower."""
        return ()


@dataclass(frozen=True)
class Prompt:
    """What stands around a text: `{text}` and `{task}` in the template are replaced.

    `task` is taken where the caller gives none. `adapter` is for a tower with an input of that name: the number of the
    adapter that computes these texts; None, as for a text without a prompt: none of them.
    """

    template: str
    task: str | None = None
    adapter: int | None = None

    @property
    def takes_task(self) -> bool:
        """Whether a caller's task has a place."""
        return "{task}" in self.template


@dataclass(frozen=True)
class TextSpec:
    """How a text becomes the tower's inputs.

    `max_length` counts tokens, special ones included. `clean` names the steps that the original library applies before
    its tokenizer, in order. `characters` is a file that comes after them: an object of JSON, what each string in a text
    becomes, the leftmost and longest first. `prompts` are by name ("query", "document", …).
    """

    tower: str
    max_length: int
    # longest: as long as the longest text in a batch needs; fixed: always to `max_length`.
    padding: Literal["longest", "fixed"] = "longest"
    pad_id: int = 0
    tokenizer: str = "tokenizer.json"
    clean: tuple[
        Literal[
            "strip",
            "fix_text",
            "unescape_html",
            "collapse_whitespace",
            "lower",
            "spaces_for_underscores",
            "remove_punctuation",
            "lead_with_mark",
        ],
        ...,
    ] = ()
    characters: str | None = None
    prompts: Mapping[str, Prompt] = field(default_factory=dict)
    default_prompt: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """The tokenizer, and what it does not do itself."""
        return (self.tokenizer,) if self.characters is None else (self.tokenizer, self.characters)


# The modalities, and what describes each. `image` is what pictures are called here and on the wire.
SPECS: dict[Modality, type[Spec]] = {"text": TextSpec, "image": PictureSpec}

# What modalities are called in sentences, where that is not their own name.
WORDS: dict[Modality, str] = {"image": "picture"}


def word(modality: Modality) -> str:
    """What the modality is called in sentences."""
    return WORDS.get(modality, modality)


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
    # By modality, as `SPECS` has them.
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

    def examples_of(self, modality: Modality) -> list[Example]:
        """The examples of one modality."""
        return [example for example in self.examples if example.modality == modality]

    def to_json(self) -> str:
        """The manifest as it stands in `manifest.json`."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"


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
        raise ManifestError(f"{FILE_NAME} has inputs of the modality {unknown[0]!r}; known are {', '.join(SPECS)}")
    return {modality: decode(SPECS[modality], spec, f"{FILE_NAME}: {modality}") for modality, spec in data.items()}


def _check(manifest: Manifest) -> None:
    for spec in manifest.inputs.values():
        if spec.tower not in manifest.towers:
            raise ManifestError(f"{FILE_NAME} names the tower {spec.tower!r}, which it does not describe")
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
