"""What a model's towers take and give, and how inputs of each modality are prepared: the parts of a manifest.

What differs between models is data here. A model that does not fit widens a spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from multi2vec.layouts import Layout

DENSE = "dense"

# A kind of input: text, image, video, or fused, which is several of these in one item.
Modality = str
VIDEO: Modality = "video"
Kind = Literal["dense", "sparse", "tokens"]


@dataclass(frozen=True)
class TensorSpec:
    """One input of a tower. `shape` uses None for a dimension that varies; the first one is the batch, or all tiles of
    all pictures in it, or the patches of one."""

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
    """How inputs are prepared, and which tower takes them."""

    @property
    def tower(self) -> str:
        """The name of the tower that gives the vectors."""

    @property
    def vision(self) -> str | None:
        """The name of the tower that pictures go through first, one at a time, if there is one."""

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The kinds of input that it is about."""

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
    def vision(self) -> None:
        """One tower does it all."""

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Pictures."""
        return ("image",)

    @property
    def files(self) -> tuple[str, ...]:
        """Nothing beside the tower."""
        return ()


@dataclass(frozen=True)
class Prompt:
    """What stands around a text: `{text}` and `{task}` in the template are replaced.

    `task` is taken where the caller gives none. `adapter` is for a tower with an input of that name: the number of the
    adapter that computes these texts; None, as for a text without a prompt: none of them. `ends_sentence`: a task loses
    white space around it, and gets a full stop unless it ends in punctuation.
    """

    template: str
    task: str | None = None
    adapter: int | None = None
    ends_sentence: bool = False

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
    def vision(self) -> None:
        """One tower does it all."""

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Texts."""
        return ("text",)

    @property
    def files(self) -> tuple[str, ...]:
        """The tokenizer, and what it does not do itself."""
        return (self.tokenizer,) if self.characters is None else (self.tokenizer, self.characters)


@dataclass(frozen=True)
class VideoSpec:
    """How a video becomes frames among the tokens, for models that were made for videos.

    It has `count` frames, or `fps` per second: at least `least` and at most `most`, an even number if `even`. `at` is
    where they lie, as `engine/video/sampling.py` has it. `together` of them are shown as one picture, laid out as
    `layout` says. All frames together have at most so many `pixels`, so that of many each is smaller.

    Each is shown as a picture is, but as the tokens `place`, and behind the words `says`, in which `{seconds}` is the
    middle of its frames' times, with one decimal.
    """

    layout: Layout
    place: str
    at: Literal["starts", "centres", "ends", "ticks"] = "ends"
    fps: float | None = None
    count: int | None = None
    least: int = 1
    most: int | None = None
    even: bool = False
    together: int = 1
    pixels: int | None = None
    says: str = ""


@dataclass(frozen=True)
class FusedSpec:
    """How texts, pictures and videos in one item, or one of them alone, become token ids with places for the rows of
    the pictures.

    The tower `vision` makes the rows of one picture at a time, laid out as `layout` says; `tower` reads them where
    `index` has their number. `max_length` counts all tokens. A prompt's template has a place for all that is in the
    item, `{text}`, in the item's order; or for its videos and then its pictures, `{pictures}`, and its texts, `{text}`.
    Special tokens in a template are such; in what callers write they are not.

    A picture stands as the tokens `before`, so many `place` as it has rows, and `after`. `positions`: how tokens are
    counted for the tower: not at all (it does so itself), along a line, or with the pictures' rows and columns (M-RoPE,
    arXiv 2409.12191).

    `without_prompt` is what stands around an item for which no prompt is wanted; None: the default prompt does.
    `without_text` and `without_picture` are for items that lack the one or the other: what is said then, and the side
    in pixels of a black square that is shown. `with_picture` is said in place of each other prompt where an item has
    both. `between_texts` stands between two texts beside each other; `nothing` is the text of an empty item. `video` is
    for models that were made for videos; a prompt counts them as pictures.
    """

    tower: str
    vision: str
    max_length: int
    prompts: Mapping[str, Prompt]
    default_prompt: str | None
    layout: Layout
    place: str
    before: str = ""
    after: str = ""
    positions: Literal["own", "line", "grid"] = "own"
    without_prompt: Prompt | None = None
    without_text: Prompt | None = None
    with_picture: Prompt | None = None
    without_picture: int | None = None
    between_texts: str = "\n"
    nothing: str = ""
    video: VideoSpec | None = None
    pad_id: int = 0
    takes: tuple[Modality, ...] = ("text", "image", "fused")
    tokenizer: str = "tokenizer.json"
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    transparency: Literal["white", "drop"] = "drop"
    exif_orientation: bool = False

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What is made one vector of: each alone, or several together."""
        return self.takes if self.video is None else (*self.takes, VIDEO)

    @property
    def files(self) -> tuple[str, ...]:
        """The tokenizer."""
        return (self.tokenizer,)


# The kinds of specs, by their names in a manifest. `image` is what pictures are called here and on the wire.
SPECS: dict[str, type[Spec]] = {"text": TextSpec, "image": PictureSpec, "fused": FusedSpec}

# What modalities are called in sentences, where that is not their own name.
WORDS: dict[Modality, str] = {"image": "picture", "fused": "fused item"}


def kind_of(spec: Spec) -> str:
    """The spec's name in a manifest."""
    return next(name for name, kind in SPECS.items() if type(spec) is kind)


def word(modality: Modality) -> str:
    """What the modality is called in sentences."""
    return WORDS.get(modality, modality)
