"""Computes the scores that a model's authors publish, with a converted model and their pictures, and compares."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from multi2vec import library, manifest
from multi2vec.convert.published import Item, Piece, Published, PublishedError, Score, ScoreSet
from multi2vec.engine.encoder import Precision
from multi2vec.engine.errors import EmbedError
from multi2vec.engine.floors import COMPRESSED
from multi2vec.engine.rows import Vectors
from multi2vec.engine.similarity import cosines
from multi2vec.engine.wanted import Wanted

# What `Model.embed` calls items of one piece.
ALONE = {"text": "texts", "picture": "pictures"}


@dataclass(frozen=True)
class Compared:
    """A published score beside ours."""

    score: Score
    ours: float
    tolerance: float

    @property
    def difference(self) -> float:
        """Ours minus theirs."""
        return self.ours - self.score.cosine

    @property
    def is_within(self) -> bool:
        """Whether the tolerance allows the difference; it does not allow a NaN."""
        return abs(self.difference) <= self.tolerance


def verify(published: Published, folder: Path, pictures: Path, precision: Precision, console: Console) -> bool:
    """Compute all scores with the model folder and show them. Returns whether all are within their tolerances.

    `pictures` is the folder of the authors' pictures. Raises `PublishedError`, and what `open_model` raises.
    """
    described = manifest.read(folder)
    if described.tag != published.tag:
        raise PublishedError(f"{folder} holds {described.tag}, and the scores are those of {published.tag}")
    if faults := list(_faults(published, pictures)):
        raise PublishedError("\n".join(faults))
    compared = compare(published, folder, pictures, precision)
    for each, found in zip(published.sets, compared, strict=True):
        console.print(table(each, found), "")
    if described.precision in COMPRESSED:
        note = f"the weights are {described.precision}, and the tolerances are for weights of 16 or 32 bits"
        console.print(f"note: {note} (multi2vec convert {published.tag} --weights fp16)", markup=False)
    return all(each.is_within for found in compared for each in found)


def compare(published: Published, folder: Path, pictures: Path, precision: Precision) -> list[list[Compared]]:
    """All scores, by set. Raises `PublishedError`, and what `open_model` raises."""
    with library.open_model(folder, precision=precision) as model:
        vectors = {name: _vector(model, name, item, pictures) for name, item in published.items.items()}
    return [[_compared(score, each, vectors) for score in each.scores] for each in published.sets]


def table(of: ScoreSet, compared: Sequence[Compared]) -> Table:
    """One set for people; 80 columns are enough."""
    title = Text(f"{of.name} ({f'computed in {of.computed_in}' if of.computed_in else 'precision not stated'})")
    shown = Table(title=title, caption=Text(of.source, overflow="fold"), title_justify="left", caption_justify="left")
    for column in ("scores", "published", "ours", "difference", "tolerance", ""):
        shown.add_column(column, justify="left" if column == "scores" else "right", overflow="fold")
    for each in compared:
        shown.add_row(*_cells(each))
    return shown


def _cells(one: Compared) -> Iterator[str | Text]:
    yield Text(f"{one.score.first} · {one.score.second}")
    yield f"{one.score.cosine:.4f}"
    yield f"{one.ours:.4f}"
    yield f"{one.difference:+.4f}"
    yield f"{one.tolerance:g}"
    yield Text("ok", style="green") if one.is_within else Text("off", style="red")


def _faults(published: Published, folder: Path) -> Iterator[str]:
    """A sentence for each picture that is not in the folder, or is another one."""
    for name, picture in published.pictures.items():
        path = folder / name
        checksum = f" (md5 {picture.md5})" if picture.md5 else ""
        if not path.is_file():
            yield f"{folder} has no {name}; it can be had from {picture.url}{checksum}"
        elif picture.md5 and (found := _md5(path)) != picture.md5:
            yield f"{path} is another picture, its md5 is {found}; theirs can be had from {picture.url}{checksum}"


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _vector(model: library.Model, name: str, item: Item, pictures: Path) -> Vectors:
    """float32 (1, dimensions). Raises `PublishedError`."""
    pieces = [_piece(each, pictures) for each in item.pieces]
    given: dict[str, Any] = {"fused": [pieces]}
    if len(pieces) == 1:
        ((kind, content),) = pieces[0].items()
        given = {ALONE[kind]: [content]}
    try:
        rows = model.embed(**given, wanted=Wanted(prompt=item.prompt, task=item.task)).rows
    except EmbedError as error:
        raise PublishedError(f"there is no vector of {name!r}: {error.__cause__ or error}") from error
    return np.asarray(rows, dtype=np.float32)


def _piece(piece: Piece, pictures: Path) -> dict[str, Any]:
    return {"text": piece.text} if piece.picture is None else {"picture": pictures / piece.picture}


def _compared(score: Score, of: ScoreSet, vectors: Mapping[str, Vectors]) -> Compared:
    return Compared(score, float(cosines(vectors[score.first], vectors[score.second])[0]), of.tolerance)
