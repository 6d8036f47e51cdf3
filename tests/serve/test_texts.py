from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.manifest import TensorSpec, TextSpec, TowerSpec
from inference.serve.errors import BadInput
from inference.serve.texts import CLEANING, TextPreparer
from tests import toy


def preparer(folder: Path, inputs: tuple[str, ...] = ("input_ids", "attention_mask"), **spec: object) -> TextPreparer:
    toy.tokenizer().save(str(folder / "tokenizer.json"))
    tower = TowerSpec("text.xml", tuple(TensorSpec(name, "i64", (None, None)) for name in inputs), ())
    return TextPreparer(folder, TextSpec("text", **{"max_length": toy.MAX_LENGTH, **spec}), tower)  # type: ignore[arg-type]


def words(ids: np.ndarray) -> list[str]:
    return [toy.WORDS[i] for i in ids]


def test_tokens_with_their_special_ones(tmp_path: Path) -> None:
    tokens = preparer(tmp_path, clean=("lower",)).tokenise("A red CAT")
    assert words(tokens.ids) == ["<s>", "a", "red", "cat", "</s>"]
    assert tokens.ids.dtype == np.int64
    assert not tokens.truncated


def test_a_long_text_is_cut_and_keeps_its_end_token(tmp_path: Path) -> None:
    tokens = preparer(tmp_path).tokenise("red " * 5000)
    assert words(tokens.ids) == ["<s>", *["red"] * (toy.MAX_LENGTH - 2), "</s>"]
    assert tokens.truncated


def test_a_text_that_just_fits_is_not_cut(tmp_path: Path) -> None:
    assert not preparer(tmp_path).tokenise("red " * (toy.MAX_LENGTH - 2)).truncated


def test_padding_to_the_longest_in_the_batch(tmp_path: Path) -> None:
    ready = preparer(tmp_path, pad_id=7)
    arrays = ready.collate([ready.tokenise("a red cat"), ready.tokenise("dog")])
    assert arrays["input_ids"].tolist() == [[1, 4, 6, 11, 2, 7, 7, 7], [1, 12, 2, 7, 7, 7, 7, 7]]
    assert arrays["attention_mask"].tolist() == [[1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0, 0]]
    assert ready.collate([ready.tokenise("red " * 6)])["input_ids"].shape == (1, 8)
    assert ready.collate([ready.tokenise("red " * 7)])["input_ids"].shape == (1, toy.MAX_LENGTH)
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.int64)}


def test_padding_to_a_fixed_length(tmp_path: Path) -> None:
    ready = preparer(tmp_path, padding="fixed")
    assert ready.collate([ready.tokenise("dog")])["input_ids"].shape == (1, toy.MAX_LENGTH)


def test_a_tower_gets_the_inputs_that_it_names(tmp_path: Path) -> None:
    ready = preparer(tmp_path, inputs=("input_ids", "token_type_ids"))
    arrays = ready.collate([ready.tokenise("dog")])
    assert list(arrays) == ["input_ids", "token_type_ids"]
    assert not arrays["token_type_ids"].any()


def test_prompts_by_name(tmp_path: Path) -> None:
    ready = preparer(tmp_path, prompts={"query": "one ", "document": "two "}, default_prompt="document")
    assert words(ready.tokenise("cat", "query").ids) == ["<s>", "one", "cat", "</s>"]
    assert words(ready.tokenise("cat").ids) == ["<s>", "two", "cat", "</s>"]
    with pytest.raises(BadInput, match="no prompt named 'task'; it has: document, query"):
        ready.tokenise("cat", "task")


@pytest.mark.parametrize(
    ("step", "text", "expected"),
    [
        ("strip", " a \n", "a"),
        ("fix_text", "schÃ¶n", "schön"),
        ("unescape_html", "&amp;lt;b&gt;", "<b>"),
        ("collapse_whitespace", "a \n\t b ", "a b"),
        ("lower", "ÄB", "äb"),
    ],
)
def test_cleaning_steps(step: str, text: str, expected: str) -> None:
    assert CLEANING[step](text) == expected


@given(st.text(max_size=300))
def test_any_text_has_tokens(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    tokens = preparer(folder, clean=tuple(CLEANING)).tokenise(text)
    assert 2 <= len(tokens) <= toy.MAX_LENGTH
