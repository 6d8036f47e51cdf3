"""Prompts with special tokens, and what callers write in them."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Encoding, Tokenizer

from multi2vec.engine.preparers.templates import Place, Span, Special, Writer, length, parse, shortened
from tests.checkpoints.text_tokenizers import vl_tokenizer

SPECIAL = {"<|im_start|>": 7, "<|im_end|>": 8, "<|im|>": 9}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    backend: Tokenizer = vl_tokenizer().backend_tokenizer
    backend.encode_special_tokens = True
    return backend


def encode(tokenizer: Tokenizer, text: str) -> Encoding:
    return tokenizer.encode(text, add_special_tokens=False)


def test_a_template_is_cut_at_special_tokens_and_places() -> None:
    template = "<|im_start|>system\n{task}<|im_end|>{pictures}a {text}{other}"
    found = ("system\n", Place("task"), Special(8), Place("pictures"), "a ", Place("text"), "{other}")
    assert parse(template, SPECIAL) == (Special(7), *found)
    assert parse("", SPECIAL) == ()


def test_words_between_two_special_tokens_are_tokenised_as_one(tokenizer: Tokenizer) -> None:
    writer = Writer(lambda text: encode(tokenizer, text))
    writer.special(7)
    writer.say("user\n")
    writer.quote("\nhow")
    writer.special(8)
    whole = encode(tokenizer, "user\n\nhow")
    assert [span.ids.tolist() for span in writer.spans] == [[7], whole.ids, [8]]
    # A token that holds characters of both is the template's.
    ours = [end > 5 and start >= 5 for start, end in whole.offsets]
    assert writer.spans[1].may_go.tolist() == ours


def test_where_tokens_stand_among_all_characters(tokenizer: Tokenizer) -> None:
    writer = Writer(lambda text: encode(tokenizer, text))
    writer.say("ab ")
    writer.special(7)
    writer.quote("cd")
    writer.end_text()
    assert writer.spans[0].places[0][0] == 0
    assert writer.spans[2].places[-1][1] == len("ab cd")


def test_shortening_takes_only_what_may_go() -> None:
    spans = [
        Span(np.arange(3), np.array([False, True, True])),
        Span(np.full(2, 9), np.zeros(2, dtype=bool), (1, 2), is_picture=True),
        Span(np.arange(10, 13), np.array([True, True, False])),
    ]
    kept = shortened(spans, 3, from_start=False)
    assert [span.ids.tolist() for span in kept] == [[0, 1], [9, 9], [12]]
    assert (kept[1].grid, kept[1].is_picture) == ((1, 2), True)
    kept = shortened(spans, 3, from_start=True)
    assert [span.ids.tolist() for span in kept] == [[0], [9, 9], [11, 12]]
    assert length(kept) == 5
