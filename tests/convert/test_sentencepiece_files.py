"""The reader of sentencepiece's files against the schema of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sentencepiece import sentencepiece_model_pb2 as schema

from multi2vec.convert.errors import SourceError
from multi2vec.convert.parts import sentencepiece_files
from multi2vec.convert.parts.sentencepiece_files import Item
from tests.checkpoints.sentencepiece_models import BPE, BYTE, CONTROL, NORMAL, UNKNOWN, write

PIECES = [
    ("<pad>", 0.0, CONTROL),
    ("<unk>", 0.0, UNKNOWN),
    ("<0x41>", 0.0, BYTE),
    ("▁猫", -1.25, NORMAL),
    ("", -2, NORMAL),
]


def test_pieces_with_their_scores_and_kinds(tmp_path: Path) -> None:
    found = sentencepiece_files.read(write(tmp_path / "model", BPE, PIECES, b"\x01\x02"))
    assert found.pieces == tuple(Item(*piece) for piece in PIECES)
    assert (found.unknown, found.characters) == (1, b"\x01\x02")


def test_what_a_file_leaves_out_is_what_the_schema_says(tmp_path: Path) -> None:
    """A piece's kind and score, the number of the unknown piece; and fields of all kinds beside them are skipped."""
    model: Any = schema.ModelProto()
    model.pieces.add(piece="a")
    model.trainer_spec.character_coverage = 0.9
    model.trainer_spec.input_sentence_size = 1 << 40
    (tmp_path / "model").write_bytes(model.SerializeToString())
    found = sentencepiece_files.read(tmp_path / "model")
    assert found.pieces == (Item("a", 0.0, NORMAL),)
    assert (found.unknown, found.characters) == (0, b"")


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x0a\x7f", b"\x0a\x02\x08\x01", b"{}", b"\x0b"])
def test_another_file_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model").write_bytes(data)
    with pytest.raises(SourceError, match="model is no vocabulary of sentencepiece"):
        sentencepiece_files.read(tmp_path / "model")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="model is not there"):
        sentencepiece_files.read(tmp_path / "model")
