"""Prompts with special tokens, and texts within them whose own words are never special.

What a template says is cut at its special tokens and places once; then an item's contents are put into the places. Text
between two special tokens is tokenised as one, as the original does it: a newline at the beginning of what somebody
wrote may become one token with the template's before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding

Ids = npt.NDArray[np.int64]

PLACES = ("task", "text", "pictures")


@dataclass(frozen=True)
class Special:
    """A special token of a template."""

    id: int


@dataclass(frozen=True)
class Place:
    """Where something of an item comes: one of `PLACES`."""

    name: str


Element = Special | Place | str


def parse(template: str, special: Mapping[str, int]) -> tuple[Element, ...]:
    """The template's special tokens (of which the ids are given), its places, and the text between them."""
    names = [*map(re.escape, sorted(special, key=len, reverse=True)), *(rf"\{{{name}\}}" for name in PLACES)]
    return tuple(_element(piece, special) for piece in re.split(f"({'|'.join(names)})", template) if piece)


def _element(piece: str, special: Mapping[str, int]) -> Element:
    if piece in special:
        return Special(special[piece])
    name = piece.removeprefix("{").removesuffix("}")
    return Place(name) if piece == f"{{{name}}}" and name in PLACES else piece


@dataclass(frozen=True)
class Span:
    """Tokens in a row: of text, of which those `may_go` that somebody wrote, or the places of one picture's rows.

    `places`: where a text's tokens begin and end among all characters of the row, special tokens left out.
    """

    ids: Ids
    may_go: npt.NDArray[np.bool_]
    grid: tuple[int, int] | None = None
    is_picture: bool = False
    places: Sequence[tuple[int, int]] = ()


@dataclass
class Writer:
    """Puts a row of tokens together, from left to right. `encode` tokenises a text in which nothing is special."""

    encode: Callable[[str], Encoding]
    spans: list[Span] = field(default_factory=list)
    _text: str = ""
    _written: list[tuple[int, int]] = field(default_factory=list)
    _characters: int = 0

    def say(self, text: str) -> None:
        """Words of the template, or of an instruction: they are never cut."""
        self._text += text

    def quote(self, text: str) -> None:
        """Words that somebody wrote."""
        self._written.append((len(self._text), len(self._text) + len(text)))
        self._text += text

    def quote_ids(self, ids: Sequence[int]) -> None:
        """The same as token ids."""
        self.end_text()
        self.spans.append(Span(np.array(ids, dtype=np.int64), np.ones(len(ids), dtype=bool)))

    def special(self, token: int) -> None:
        """A special token."""
        self.end_text()
        self.spans.append(Span(np.array([token], dtype=np.int64), np.zeros(1, dtype=bool)))

    def picture(self, place: int, rows: int, grid: tuple[int, int] | None) -> None:
        """The places of a picture's rows."""
        self.end_text()
        ids = np.full(rows, place, dtype=np.int64)
        self.spans.append(Span(ids, np.zeros(rows, dtype=bool), grid, is_picture=True))

    def end_text(self) -> None:
        """Tokenise the words since the last token."""
        if self._text:
            self.spans.append(self._tokenised())
            self._characters += len(self._text)
        self._text, self._written = "", []

    def _tokenised(self) -> Span:
        encoding = self.encode(self._text)
        may_go = [
            any(start <= begin and end <= last for start, last in self._written) for begin, end in encoding.offsets
        ]
        return Span(
            np.array(encoding.ids, dtype=np.int64),
            np.array(may_go, dtype=bool),
            places=[(begin + self._characters, end + self._characters) for begin, end in encoding.offsets],
        )


def length(spans: Sequence[Span]) -> int:
    """How many tokens they are."""
    return sum(len(span.ids) for span in spans)


def shortened(spans: Sequence[Span], excess: int, *, from_start: bool) -> list[Span]:
    """The spans without so many of the tokens that may go, the last of them or the first."""
    places = np.flatnonzero(np.concatenate([span.may_go for span in spans]))
    stays = np.ones(length(spans), dtype=bool)
    stays[places[:excess] if from_start else places[len(places) - excess :]] = False
    ends = np.cumsum([len(span.ids) for span in spans])[:-1]
    return [
        Span(span.ids[kept], span.may_go[kept], span.grid, span.is_picture)
        for span, kept in zip(spans, np.split(stays, ends), strict=True)
    ]
