import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip import SimpleTokenizer
from tokenizers import Tokenizer

from multi2vec.convert.parts.simple_tokenizer import tokenizer_json
from multi2vec.convert.samples import TEXTS

ORIGINAL = SimpleTokenizer()
SPECIAL = ("<start_of_text>", "<end_of_text>", "<ſtart_of_text>", "<END_OF_TEXT>", "<", "start", "_of_", "text>", "!!")
TRICKY = ("'s", "'LL", "'ſ", "’s", "İ", "ſ", "K", "\u0345", "ⓐ", "\U00010570", "Ⅷ", "½", "\x1c", "\u200b", " ", "&lt;")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    made = Tokenizer.from_str(tokenizer_json(ORIGINAL))
    made.enable_truncation(77)
    return made


def original(text: str) -> list[int]:
    ids: list[int] = ORIGINAL([text])[0].tolist()
    length = min(len(ORIGINAL.encode(text)) + 2, 77)
    return ids[:length]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:20]))
def test_hard_strings(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.encode(ORIGINAL.clean_fn(text)).ids == original(text)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_any_text(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.encode(ORIGINAL.clean_fn(text)).ids == original(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*SPECIAL, *TRICKY]) | st.text(max_size=3), max_size=12).map("".join))
def test_texts_made_of_tricky_pieces(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.encode(ORIGINAL.clean_fn(text)).ids == original(text)


def test_special_tokens_in_a_text_are_taken_as_the_original_takes_them(tokenizer: Tokenizer) -> None:
    end = ORIGINAL.eot_token_id
    assert tokenizer.encode("a <end_of_text> b").ids.count(end) == 2
    # The punctuation takes the "<" away, for the original too.
    assert tokenizer.encode("a !!<end_of_text> b").ids.count(end) == 1


def test_the_end_token_survives_truncation(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("cat " * 200).ids
    assert len(ids) == 77
    assert ids[-1] == ORIGINAL.eot_token_id


@pytest.mark.parametrize("text", ["a photo of two cats", "naïve café, 3 €", "日本語 🐈"])
def test_tokens_become_the_text_again(tokenizer: Tokenizer, text: str) -> None:
    ids = ORIGINAL.encode(text)
    assert tokenizer.decode(ids).replace("</w>", " ") == ORIGINAL.decode(ids)
