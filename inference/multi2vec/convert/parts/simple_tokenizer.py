"""open_clip's SimpleTokenizer as a `tokenizer.json`.

The same ids, special tokens written out in a text included. Three things need care:

* Which characters are letters depends on the Unicode version, and the `regex` package knows a newer one than the
  tokenizers library. The classes are therefore written out, as `regex` sees them, ignoring case.
* `<end_of_text>` in a text becomes the special token, but only where the pattern finds it: in `!!<end_of_text>` the
  punctuation takes the `<` away. An added token would be found there too, so it is an ordinary word of the vocabulary
  instead, put together by merges that can begin in no other word.
* Lower case and clean-up are Python's and ftfy's; they stay with the server (`TextSpec.clean`).
"""

from __future__ import annotations

import sys
from itertools import pairwise

import regex  # type: ignore[import-untyped]
from open_clip.tokenizer import SimpleTokenizer
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors

END_OF_WORD = "</w>"
CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"


def tokenizer_json(original: SimpleTokenizer) -> str:
    """The text of the `tokenizer.json`."""
    specials = [original.decoder[number] for number in original.all_special_ids]
    vocabulary = {token: number for token, number in original.encoder.items() if token not in specials}
    merges = list(original.bpe_ranks)
    for special in specials:
        _add_word(special, original, vocabulary, merges)
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, end_of_word_suffix=END_OF_WORD))
    words = pre_tokenizers.Split(Regex(word_pattern(specials)), behavior="removed", invert=True)
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    made.decoder = decoders.ByteLevel()
    start, end = specials[0], specials[1]
    made.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        special_tokens=[(start, original.sot_token_id), (end, original.eot_token_id)],
    )
    return str(made.to_str())


def _add_word(
    special: str, original: SimpleTokenizer, vocabulary: dict[str, int], merges: list[tuple[str, str]]
) -> None:
    """Let the merges join the pieces of `special`, left to right, into the one token that it is."""
    pieces = _pieces(special, original)
    joined = pieces[0]
    for index, piece in enumerate(pieces[1:], start=1):
        merges.append((joined, piece))
        joined += piece
        last = index == len(pieces) - 1
        # What lies between is never the end of merging; its numbers only have to be free.
        number = original.encoder[special] if last else len(original.encoder) + len(merges)
        vocabulary[joined] = number


def _pieces(special: str, original: SimpleTokenizer) -> list[str]:
    """What the original's merges make of the word, were it not special."""
    known = original.cache.pop(special)
    try:
        return str(original.bpe(special)).split(" ")
    finally:
        original.cache[special] = known


def word_pattern(specials: list[str]) -> str:
    """The original's pattern with its character classes written out."""
    every = "".join(chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point < 0xE000)
    letter, digit, other = (_ranges(name, every) for name in (r"\p{L}", r"\p{N}", r"^\s\p{L}\p{N}"))
    words = "|".join(f"(?i:{regex.escape(special)})" for special in specials)
    # The long s is s without regard to case, for the original and here alike.
    return f"{words}|{CONTRACTIONS}|[{letter}]+|[{digit}]|[{other}]+"


def _ranges(name: str, every: str) -> str:
    """The characters of a class, as the original's flags see them, as ranges for between brackets."""
    points = [ord(character) for character in regex.findall(f"[{name}]", every, regex.IGNORECASE)]
    breaks = [index for index, (left, right) in enumerate(pairwise(points), start=1) if right != left + 1]
    starts, ends = [0, *breaks], [*breaks, len(points)]
    return "".join(f"\\x{{{points[a]:x}}}-\\x{{{points[b - 1]:x}}}" for a, b in zip(starts, ends, strict=True))
