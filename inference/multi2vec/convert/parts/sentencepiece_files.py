"""Reads the file that a vocabulary of sentencepiece is in (`spiece.model`, `tokenizer.model`), without that package.

It is one message of Protocol Buffers: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
and https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multi2vec.convert.errors import SourceError

# Numbers of fields, by message.
PIECES, TRAINER, NORMALISER = 1, 2, 3
PIECE, SCORE, KIND = 1, 2, 3
UNKNOWN_NUMBER = 40
CHARACTERS = 2
# Kinds of pieces. The first is what a piece is that states none.
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4

# How a field's value is written: a number of variable length, eight bytes, so many bytes, four bytes.
VARINT, EIGHT, COUNTED, FOUR = 0, 1, 2, 5


@dataclass(frozen=True)
class Piece:
    """One entry; its number is its place. `score` is the logarithm of a probability, or falls with a merge's rank."""

    text: str
    score: float
    kind: int = NORMAL


@dataclass(frozen=True)
class Vocabulary:
    """The pieces, the number of the unknown one, and what characters become before all else (a compiled table, or
    empty)."""

    pieces: tuple[Piece, ...]
    unknown: int
    characters: bytes


def read(path: Path) -> Vocabulary:
    """The file's vocabulary. Raises `SourceError`."""
    if not path.is_file():
        raise SourceError(f"{path} is not there")
    try:
        fields = list(_fields(path.read_bytes()))
        pieces = tuple(_piece(value) for number, value in fields if number == PIECES)
        trainer, normaliser = (_last(fields, number) for number in (TRAINER, NORMALISER))
    except (AttributeError, LookupError, TypeError, UnicodeDecodeError, struct.error) as error:
        raise SourceError(f"{path} is no vocabulary of sentencepiece: {error}") from None
    if not pieces:
        raise SourceError(f"{path} is no vocabulary of sentencepiece: it has no pieces")
    return Vocabulary(pieces, int(trainer.get(UNKNOWN_NUMBER, 0)), bytes(normaliser.get(CHARACTERS, b"")))


def _piece(message: Any) -> Piece:
    found = dict(_fields(message))
    (score,) = struct.unpack("<f", found.get(SCORE, b"\0\0\0\0"))
    return Piece(found[PIECE].decode(), score, int(found.get(KIND, NORMAL)))


def _last(fields: list[tuple[int, Any]], wanted: int) -> dict[int, Any]:
    """The fields of the message that is the last of that number, or none."""
    found = [value for number, value in fields if number == wanted]
    return dict(_fields(found[-1])) if found else {}


def _fields(message: Any) -> Iterator[tuple[int, Any]]:
    """Number and value of each field: an int, or its bytes."""
    if not isinstance(message, bytes):
        raise TypeError("a number stands where a message should")
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == COUNTED:
            size, place = _varint(message, place)
        elif kind in (EIGHT, FOUR):
            size = 8 if kind == EIGHT else 4
        else:
            raise TypeError(f"a field is of the unknown kind {kind}")
        if place + size > len(message):
            raise IndexError("it ends too early")
        yield number, message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """The number there, of seven bits a byte, the lowest first; and where it ends."""
    number = shift = 0
    while True:
        byte = message[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number, place
