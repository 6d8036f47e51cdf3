"""What all preparers of texts do with tokens: encode and decode, check ids, bound and pad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from multi2vec.engine.errors import BadInput, Unsupported
from multi2vec.engine.wanted import Wanted

Ids = npt.NDArray[np.int64]
# The text itself, or the ids of its tokens.
Text = str | Sequence[int]

IDS, MASK = "input_ids", "attention_mask"

# OpenVINO prepares its kernels for each new shape and keeps them: fewer lengths cost less time and memory than the
# padding that they add. So lengths are rounded up to steps, by the number of tokens: longer steps for longer texts.
LENGTH_STEPS = ((128, 8), (512, 32), (2048, 128), (8192, 512))
LONGEST_STEP = 2048


@dataclass(frozen=True)
class Token:
    """One token; `place` is where its characters begin and end in the cleaned text in its prompt, (0, 0) for a special
    token."""

    id: int
    text: str
    is_special: bool
    place: tuple[int, int]


def encode(tokenizer: Tokenizer, text: str) -> Encoding:
    """The text's tokens, without those that the tokenizer puts around it. Raises `BadInput`."""
    try:
        return tokenizer.encode(text, add_special_tokens=False)
    except TypeError:
        raise BadInput("a text is not valid Unicode: it holds half of a surrogate pair") from None


def detokenise(tokenizer: Tokenizer, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
    """The text that the ids are the tokens of, as far as the tokenizer can tell. Raises `BadInput`."""
    check_ids(tokenizer, ids)
    text = str(tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))
    # CLIP's vocabulary marks ends of words, which its tokenizer's decoder knows nothing of.
    end_of_word = getattr(tokenizer.model, "end_of_word_suffix", None)
    return text.replace(end_of_word, " ").strip() if end_of_word else text


def check_ids(tokenizer: Tokenizer, ids: Sequence[int]) -> None:
    """Raise `BadInput` for ids of another vocabulary."""
    vocabulary = tokenizer.get_vocab_size()
    wrong = next((each for each in ids if not 0 <= each < vocabulary), None)
    if wrong is not None:
        raise BadInput(
            f"the token id {wrong} is not in this model's vocabulary of {vocabulary}; token ids must be those of "
            "the model's own tokenizer (langchain sends others unless check_embedding_ctx_length=False), so "
            "better send the text"
        )


def allowed_length(wanted: Wanted, most: int, specials: int) -> int:
    """How many tokens are wanted at most, of which so many are special ones. Raises `Unsupported`."""
    if wanted.max_tokens is None:
        return most
    if not specials < wanted.max_tokens <= most:
        raise Unsupported(f"max_tokens is {wanted.max_tokens}; it can be from {specials + 1} to {most}")
    return wanted.max_tokens


def refuse_if_wanted(tokens: int, length: int, wanted: Wanted) -> None:
    """Raise `BadInput` for too long a text of a caller who does not want it cut."""
    if wanted.truncate == "refuse":
        raise BadInput(f"a text has {tokens} tokens, more than {length}; shorten it")


def rounded(length: int, most: int) -> int:
    """The length that so many tokens are padded to, where a text has `most` at most."""
    # Without special tokens an empty text has none at all, which no tower takes.
    length = max(length, 1)
    step = next((step for longest, step in LENGTH_STEPS if length <= longest), LONGEST_STEP)
    return max(length, min(most, -(-length // step) * step))


def padded(rows: Sequence[Ids], length: int, pad_id: int) -> tuple[Ids, Ids]:
    """Token ids and mask, int64 (len(rows), length) each, padded on the right."""
    ids = np.full((len(rows), length), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), length), dtype=np.int64)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = row
        mask[place, : len(row)] = 1
    return ids, mask
