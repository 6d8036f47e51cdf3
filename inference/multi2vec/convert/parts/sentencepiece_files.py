"""Reads the file that a vocabulary of sentencepiece is in (`spiece.model`, `tokenizer.model`), by its own schema.

https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2 as schema

from multi2vec.convert.errors import SourceError, one_line

Kinds = schema.ModelProto.SentencePiece
NORMAL, CONTROL, USER_DEFINED = Kinds.NORMAL, Kinds.CONTROL, Kinds.USER_DEFINED


@dataclass(frozen=True)
class Item:
    """One entry; its number is its place. `score` is the logarithm of a probability, or falls with a merge's rank."""

    text: str
    score: float
    kind: int = NORMAL


@dataclass(frozen=True)
class Vocabulary:
    """The pieces, the number of the unknown one, and what characters become before all else (a compiled table, or
    empty)."""

    pieces: tuple[Item, ...]
    unknown: int
    characters: bytes


def read(path: Path) -> Vocabulary:
    """The file's vocabulary. Raises `SourceError`."""
    if not path.is_file():
        raise SourceError(f"{path} is not there")
    try:
        found: Any = schema.ModelProto.FromString(path.read_bytes())
    except DecodeError as error:
        raise SourceError(f"{path} is no vocabulary of sentencepiece: {one_line(error)}") from None
    if not found.pieces or not all(each.HasField("piece") for each in found.pieces):
        raise SourceError(f"{path} is no vocabulary of sentencepiece: it has no pieces, or some without a text")
    pieces = tuple(Item(each.piece, each.score, each.type) for each in found.pieces)
    return Vocabulary(pieces, found.trainer_spec.unk_id, found.normalizer_spec.precompiled_charsmap)
