"""Reads `images/published/<tag>.toml`: cosines of single items that a model's authors show, and the items.

Figures of whole benchmarks are in the recipes' table [published].
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from multi2vec import names, places
from multi2vec.decoding import DecodeError, decode

TABLES = places.IMAGES / "published"


class PublishedError(Exception):
    """The scores cannot be computed: something is missing, or is not what it should be. The message says what."""


@dataclass(frozen=True)
class Picture:
    """Where a picture of the authors can be had, and its checksum if they, or somebody before, wrote it down."""

    url: str
    md5: str | None = None


@dataclass(frozen=True)
class Piece:
    """A text, or the file name of a picture."""

    text: str | None = None
    picture: str | None = None


@dataclass(frozen=True)
class Item:
    """What has one vector: a text, a picture, or several of them in their order. `prompt` and `task` are what a caller
    says of it, see `engine.wanted.Wanted`."""

    pieces: tuple[Piece, ...]
    prompt: str | None = None
    task: str | None = None


@dataclass(frozen=True)
class Score:
    """The cosine of two items, by their names."""

    first: str
    second: str
    cosine: float


@dataclass(frozen=True)
class ScoreSet:
    """Scores that stand in one place. `tolerance` is how far a score of ours may be from theirs, `computed_in` the
    precision that they computed in; None: they do not say."""

    name: str
    source: str
    tolerance: float
    scores: tuple[Score, ...]
    computed_in: str | None = None


@dataclass(frozen=True)
class Published:
    """All that is in one file. Pictures are by their file names, items by names that only the file uses."""

    tag: str
    items: Mapping[str, Item]
    sets: tuple[ScoreSet, ...]
    pictures: Mapping[str, Picture] = field(default_factory=dict)


def read(name: str, folder: Path = TABLES) -> Published:
    """The scores of the model with that tag or other name. Raises `PublishedError`, which lists the models that have
    some when it has none."""
    tag = places.known_tag(name) or name
    known = names.tags(folder)
    if tag not in known:
        raise PublishedError(f"no published scores of {name!r} are known here; there are some of {', '.join(known)}")
    path = folder / f"{tag}.toml"
    try:
        found = decode(Published, tomllib.loads(path.read_text(encoding="utf-8")), path.name, strict=True, tag=tag)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PublishedError(f"{path.name} is not TOML: {error}") from None
    except DecodeError as error:
        raise PublishedError(str(error)) from None
    for fault in _faults(found):
        raise PublishedError(f"{path.name}: {fault}")
    return found


def _faults(published: Published) -> Iterator[str]:
    """What is wrong with names and numbers."""
    for name, item in published.items.items():
        if not item.pieces:
            yield f"the item {name!r} has no pieces"
        for piece in item.pieces:
            if (piece.text is None) == (piece.picture is None):
                yield f"the item {name!r} has a piece that is not either a text or a picture"
            elif piece.picture is not None and piece.picture not in published.pictures:
                yield f"the item {name!r} has the picture {piece.picture!r}, which is not in [pictures]"
    for each in published.sets:
        if not 0 < each.tolerance < 1:
            yield f"the set {each.name!r} has the tolerance {each.tolerance}, which is not between 0 and 1"
        for score in each.scores:
            if unknown := [name for name in (score.first, score.second) if name not in published.items]:
                yield f"the set {each.name!r} compares {unknown[0]!r}, which is not in [items]"
            if not -1 <= score.cosine <= 1:
                yield f"the set {each.name!r} has the cosine {score.cosine}, which is not between -1 and 1"
