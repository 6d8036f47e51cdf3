"""Files of sentencepiece's kind, by the schema of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sentencepiece import sentencepiece_model_pb2 as schema

# Kinds of pieces, by the schema's names.
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
UNIGRAM, BPE = 1, 2

Item = tuple[str, float, int]


def write(path: Path, kind: int, pieces: Sequence[Item], characters: bytes = b"") -> Path:
    """A vocabulary of pieces, each with its score and kind; `characters` is the compiled table of what characters
    become before all else."""
    model: Any = schema.ModelProto()
    for text, score, own in pieces:
        model.pieces.add(piece=text, score=score, type=own)
    model.trainer_spec.model_type = kind
    model.trainer_spec.unk_id = next(number for number, piece in enumerate(pieces) if piece[2] == UNKNOWN)
    model.trainer_spec.byte_fallback = any(piece[2] == BYTE for piece in pieces)
    model.normalizer_spec.precompiled_charsmap = characters
    path.write_bytes(model.SerializeToString())
    return path
