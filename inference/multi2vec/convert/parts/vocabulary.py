"""CLIP's byte-pair encoding once more, slow and short, straight from a checkpoint's vocabulary files.

The tokenizer that is served and the one of the reference are the same code. This one is not, so that a vocabulary that
was read wrongly shows. It takes plain texts only: characters whose class and lower case no library disagrees about.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import regex  # type: ignore[import-untyped]

from multi2vec.convert.errors import SourceError

Pair = tuple[str, str]

WORDS = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")
END_OF_WORD = "</w>"


@dataclass(frozen=True)
class Vocabulary:
    """Numbers of tokens, and ranks of merges (the lower ones first)."""

    numbers: Mapping[str, int]
    ranks: Mapping[Pair, int]

    def encode(self, text: str, start: str, end: str, length: int) -> list[int] | None:
        """Token ids, at most `length`, between `start` and `end`; None for a text that is not plain."""
        if not is_plain(text):
            return None
        text = " ".join(unicodedata.normalize("NFC", text).lower().split())
        pieces = [piece for word in WORDS.findall(text) for piece in self._pieces(word)]
        # What the vocabulary lacks becomes the end-of-text token, as CLIP's tokenizers have it.
        unknown = self.numbers[end]
        ids = [self.numbers.get(piece, unknown) for piece in pieces][: length - 2]
        return [self.numbers[start], *ids, self.numbers[end]]

    def _pieces(self, word: str) -> list[str]:
        """What the merges make of a word's bytes."""
        pieces = [_PRINTABLE[byte] for byte in word.encode()]
        pieces[-1] += END_OF_WORD
        while len(pieces) > 1:
            best = min(pairwise(pieces), key=lambda pair: self.ranks.get(pair, len(self.ranks)))
            if best not in self.ranks:
                break
            pieces = _merged(pieces, best)
        return pieces


def _merged(pieces: Sequence[str], pair: Pair) -> list[str]:
    """The pieces with every occurrence of the pair, from the left, as one."""
    made: list[str] = []
    index = 0
    while index < len(pieces):
        if tuple(pieces[index : index + 2]) == pair:
            made.append(pair[0] + pair[1])
            index += 2
        else:
            made.append(pieces[index])
            index += 1
    return made


def read(folder: Path) -> Vocabulary:
    """From `vocab.json` and `merges.txt`, or from `tokenizer.json` where only that is there.

    Raises `SourceError` when the files contradict each other: which of them is right cannot be known.
    """
    plain, whole = _from_plain_files(folder), _from_tokenizer(folder)
    if plain and whole:
        if plain.numbers != whole.numbers:
            raise SourceError(f"{folder}: vocab.json and tokenizer.json have different vocabularies")
        if plain.ranks != whole.ranks:
            raise SourceError(f"{folder}: merges.txt and tokenizer.json have different merges")
    found = plain or whole
    if found is None:
        raise SourceError(f"{folder} has neither vocab.json with merges.txt nor tokenizer.json")
    return found


def is_plain(text: str) -> bool:
    """Whether it has no special token and no character that tokenizers may disagree about: beyond ASCII only letters
    and digits that Unicode 3.2 (2002) knew, and that have no upper case or are in lower case."""
    known = unicodedata.ucd_3_2_0.category
    return "<|" not in text and all(
        (each.isprintable() or each in " \t\n\r") if each.isascii() else known(each)[0] in "LN" and each == each.lower()
        for each in text
    )


def _from_plain_files(folder: Path) -> Vocabulary | None:
    numbers, merges = folder / "vocab.json", folder / "merges.txt"
    if not numbers.is_file() or not merges.is_file():
        return None
    known: dict[str, int] = json.loads(numbers.read_text(encoding="utf-8"))
    lines = merges.read_text(encoding="utf-8").splitlines()
    pairs = [tuple(line.split(" ")) for line in lines if line.strip() and not line.startswith("#version")]
    # OpenAI's first file has merges beyond the vocabulary, which every reader leaves out.
    return Vocabulary(known, _ranks([pair for pair in pairs if "".join(pair) in known]))


def _from_tokenizer(folder: Path) -> Vocabulary | None:
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    data = json.loads(path.read_text(encoding="utf-8"))
    added = {each["content"]: each["id"] for each in data.get("added_tokens", ())}
    pairs = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in data["model"]["merges"]]
    return Vocabulary({**data["model"]["vocab"], **added}, _ranks(pairs))


def _ranks(pairs: Sequence[Any]) -> dict[Pair, int]:
    return {pair: rank for rank, pair in enumerate(pairs)}


def _printable_bytes() -> list[str]:
    """A character for each byte: itself where it can be printed, else one from 256 on."""
    kept = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return [chr(byte if byte in kept else next(others)) for byte in range(256)]


_PRINTABLE = _printable_bytes()
