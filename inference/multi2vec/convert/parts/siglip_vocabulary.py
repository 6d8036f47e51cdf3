"""The tokenizer of SigLIP (arXiv 2303.15343), written in Python around the package sentencepiece, as a tokenizer.json.

It leads each text with a word's mark, takes it in lower case without ASCII's punctuation and with single spaces, and
then has sentencepiece make tokens of it. In lower case it is put before it comes here, by Python's own rules, which
know the last sigma of a word.

What sentencepiece makes of characters before all else is a compiled table in the file. The step that a tokenizer.json
has for it goes wrong where letters have accents of their own, so that the table is a file beside it, which comes first.
ASCII's punctuation and spaces that the table gives must survive until those of the text are gone: in between they are
characters of a private plane.
"""

from __future__ import annotations

import json
import re
import string
import struct
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, processors

from multi2vec.convert.parts.sentencepiece_files import Vocabulary

MARK = "▁"
# Before the tokenizer, as the engine calls it.
CLEAN = ("lead_with_mark", "lower")
# Python's white space has four characters more than others'.
SPACES = r"[\s\x1c-\x1f]+"
LATE = string.punctuation + " "
PRIVATE = 0xF0000


def tokenizer_json(vocabulary: Vocabulary, end: str) -> str:
    """The text of a tokenizer.json that gives the same tokens; `end` stands behind each text."""
    made = Tokenizer(models.Unigram([(each.text, each.score) for each in vocabulary.pieces], vocabulary.unknown))
    steps: list[Any] = [
        normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""),
        normalizers.Replace(Regex(SPACES), " "),
        normalizers.Strip(),
        *(normalizers.Replace(chr(ord(each) + PRIVATE), each) for each in LATE),
        # What sentencepiece does itself with the spaces that its table has made.
        normalizers.Replace(Regex(" {2,}"), " "),
        normalizers.Replace(" ", MARK),
        normalizers.Replace(Regex(f"{MARK}+$"), ""),
    ]
    made.normalizer = normalizers.Sequence(steps)
    names = (end, vocabulary.pieces[vocabulary.unknown].text)
    made.add_special_tokens([AddedToken(name, lstrip=True, rstrip=True, normalized=False) for name in names])
    number = made.token_to_id(end)
    made.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", pair=f"$A {end} $B {end}", special_tokens=[(end, number)]
    )
    return made.to_str()


def characters_json(compiled: bytes) -> str:
    """The compiled table as an object of JSON. What has punctuation or spaces in it cannot be met: they are gone, or
    single, when the original looks."""
    private = str.maketrans({each: chr(ord(each) + PRIVATE) for each in LATE})
    found = {
        key: value.translate(private)
        for key, value in entries(compiled)
        if not any(each.isspace() or each in LATE for each in key)
    }
    return json.dumps(found, ensure_ascii=False, sort_keys=True)


def entries(compiled: bytes) -> Iterator[tuple[str, str]]:
    """What becomes what. The table is a size, so many bytes of a double-array trie (https://github.com/s-yata/darts-clone)
    over UTF-8, and the values, each ended by a zero. A unit of the trie has its label, whether a value is below it, and
    how far its children are: each stands at their common place, xor its label. The value's place is the unit of the
    child that has no label."""
    (size,) = struct.unpack_from("<I", compiled)
    units = struct.unpack_from(f"<{size // 4}I", compiled, 4)
    values = compiled[4 + size :]

    def children(unit: int) -> int:
        return (unit >> 10) << ((unit & 512) >> 6)

    standing: defaultdict[int, list[int]] = defaultdict(list)
    for place, unit in enumerate(units):
        if 0 < (label := unit & 0x800000FF) < 256:
            standing[place ^ label].append(place)
    waiting = [(children(units[0]), b"")]
    while waiting:
        base, parent = waiting.pop()
        for place in standing[base]:
            key = parent + bytes([units[place] & 0xFF])
            below = place ^ children(units[place])
            if units[place] >> 8 & 1:
                start = units[below] & 0x7FFFFFFF
                yield key.decode(), values[start : values.index(0, start)].decode()
            waiting.append((below, key))
