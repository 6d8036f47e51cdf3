import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi2vec.engine.errors import BadInput, Unsupported
from multi2vec.engine.preparers import Prepared
from multi2vec.engine.preparers.texts import CLEANING, TextPreparer, replacing
from multi2vec.engine.wanted import Wanted
from multi2vec.specs import Prompt, TensorSpec, TextSpec, TowerSpec
from tests import toy

LONG = "one two three " * 100


def preparer(folder: Path, inputs: tuple[str, ...] = ("input_ids", "attention_mask"), **spec: object) -> TextPreparer:
    toy.tokenizer().save(str(folder / "tokenizer.json"))
    spec = {"max_length": toy.MAX_LENGTH, **spec}
    return TextPreparer(folder, TextSpec("text", **spec), tower_of(*inputs))  # type: ignore[arg-type]


def tower_of(*inputs: str) -> TowerSpec:
    return TowerSpec("text.xml", tuple(TensorSpec(name, "i64", (None, None)) for name in inputs), ())


def words(item: Prepared) -> list[str]:
    return [toy.WORDS[i] for i in item.arrays["input_ids"]]


def test_tokens_with_their_special_ones(tmp_path: Path) -> None:
    item = preparer(tmp_path, clean=("lower",)).prepare("A red CAT")
    assert words(item) == ["<s>", "a", "red", "cat", "</s>"]
    assert item.arrays["input_ids"].dtype == np.int64
    assert (item.size, item.tokens, item.truncated) == (5, 5, False)


def test_short_texts_are_quick(tmp_path: Path) -> None:
    ready = preparer(tmp_path)
    assert ready.is_quick("cat " * 100)
    assert not ready.is_quick("cat " * 1000)


class TestTruncation:
    def test_a_long_text_loses_its_end_and_keeps_its_special_tokens(self, tmp_path: Path) -> None:
        item = preparer(tmp_path).prepare("red " * 5000)
        assert words(item) == ["<s>", *["red"] * (toy.MAX_LENGTH - 2), "</s>"]
        assert item.truncated

    def test_or_its_start(self, tmp_path: Path) -> None:
        item = preparer(tmp_path).prepare(LONG + "cat dog", Wanted(truncate="start", max_tokens=6))
        assert words(item) == ["<s>", "two", "three", "cat", "dog", "</s>"]
        assert item.truncated

    def test_or_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match="a text has 302 tokens, more than 12"):
            preparer(tmp_path).prepare(LONG, Wanted(truncate="refuse"))

    def test_to_a_shorter_length_than_the_model_s(self, tmp_path: Path) -> None:
        item = preparer(tmp_path).prepare("one two three cat", Wanted(max_tokens=4))
        assert words(item) == ["<s>", "one", "two", "</s>"]

    @pytest.mark.parametrize("length", [0, 2, -1, toy.MAX_LENGTH + 1])
    def test_a_length_that_cannot_be(self, tmp_path: Path, length: int) -> None:
        with pytest.raises(Unsupported, match=f"max_tokens is {length}; it can be from 3 to {toy.MAX_LENGTH}"):
            preparer(tmp_path).prepare("cat", Wanted(max_tokens=length))

    @pytest.mark.parametrize("truncate", ["end", "start", "refuse"])
    def test_a_text_that_just_fits_is_not_cut(self, tmp_path: Path, truncate: str) -> None:
        item = preparer(tmp_path).prepare("red " * (toy.MAX_LENGTH - 2), Wanted(truncate=truncate))  # type: ignore[arg-type]
        assert not item.truncated
        assert item.tokens == toy.MAX_LENGTH

    def test_one_text_s_wishes_do_not_change_the_next_one_s(self, tmp_path: Path) -> None:
        ready = preparer(tmp_path)
        before = words(ready.prepare(LONG))
        ready.prepare(LONG, Wanted(truncate="start", max_tokens=5))
        assert words(ready.prepare(LONG)) == before


class TestCollation:
    def test_padding_to_the_longest_in_the_batch(self, tmp_path: Path) -> None:
        ready = preparer(tmp_path, pad_id=7)
        arrays = ready.collate([ready.prepare("a red cat"), ready.prepare("dog")])
        assert arrays["input_ids"].tolist() == [[1, 4, 6, 11, 2, 7, 7, 7], [1, 12, 2, 7, 7, 7, 7, 7]]
        assert arrays["attention_mask"].tolist() == [[1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0, 0]]
        assert ready.collate([ready.prepare("red " * 6)])["input_ids"].shape == (1, 8)
        assert ready.collate([ready.prepare("red " * 7)])["input_ids"].shape == (1, toy.MAX_LENGTH)
        assert {array.dtype for array in arrays.values()} == {np.dtype(np.int64)}

    def test_a_text_without_any_token_is_padding_alone(self, tmp_path: Path) -> None:
        ready = preparer(tmp_path, pad_id=7)
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"post_processor": None}))
        bare = TextPreparer(
            tmp_path, TextSpec("text", toy.MAX_LENGTH, pad_id=7), tower_of("input_ids", "attention_mask")
        )
        assert ready.prepare("").tokens == 2
        empty = bare.prepare("")
        assert (empty.tokens, empty.arrays["input_ids"].tolist()) == (0, [])
        arrays = bare.collate([empty])
        assert arrays["input_ids"].tolist() == [[7] * 8]
        assert not arrays["attention_mask"].any()

    def test_padding_to_a_fixed_length(self, tmp_path: Path) -> None:
        ready = preparer(tmp_path, padding="fixed")
        assert ready.collate([ready.prepare("dog")])["input_ids"].shape == (1, toy.MAX_LENGTH)

    def test_a_tower_gets_the_inputs_that_it_names(self, tmp_path: Path) -> None:
        ready = preparer(tmp_path, inputs=("input_ids", "token_type_ids"))
        arrays = ready.collate([ready.prepare("dog")])
        assert list(arrays) == ["input_ids", "token_type_ids"]
        assert not arrays["token_type_ids"].any()


class TestPrompts:
    PROMPTS = {  # noqa: RUF012
        "query": Prompt("one {task} two {text}", task="sun"),
        "document": Prompt("two "),
        "around": Prompt("sea {text} bird"),
    }

    def test_by_name(self, tmp_path: Path) -> None:
        ready = preparer(tmp_path, prompts=self.PROMPTS, default_prompt="document")
        assert words(ready.prepare("cat", Wanted(prompt="query"))) == ["<s>", "one", "sun", "two", "cat", "</s>"]
        assert words(ready.prepare("cat", Wanted(prompt="around"))) == ["<s>", "sea", "cat", "bird", "</s>"]
        assert words(ready.prepare("cat")) == ["<s>", "two", "cat", "</s>"]
        with pytest.raises(Unsupported, match="no prompt named 'task'; it has: around, document, query"):
            ready.prepare("cat", Wanted(prompt="task"))

    def test_their_adapters_are_a_column_of_the_batch(self, tmp_path: Path) -> None:
        prompts = {"query": Prompt("one ", adapter=0), "document": Prompt("", adapter=3), "plain": Prompt("two ")}
        ready = preparer(tmp_path, ("input_ids", "attention_mask", "adapter"), prompts=prompts)
        items = [ready.prepare("cat", Wanted(prompt=name)) for name in ("document", "plain", None, "query")]
        adapters = ready.collate(items)["adapter"]
        assert (adapters.tolist(), adapters.dtype, adapters.shape) == ([3, -1, -1, 0], np.int64, (4,))
        assert words(items[3]) == ["<s>", "one", "cat", "</s>"]

    def test_a_tower_without_adapters_gets_none(self, tmp_path: Path) -> None:
        ready = preparer(tmp_path, prompts=self.PROMPTS)
        assert set(ready.prepare("cat").arrays) == {"input_ids"}
        assert set(ready.collate([ready.prepare("cat")])) == {"input_ids", "attention_mask"}

    def test_without_a_default_there_is_none(self, tmp_path: Path) -> None:
        assert words(preparer(tmp_path, prompts=self.PROMPTS).prepare("cat")) == ["<s>", "cat", "</s>"]

    def test_no_prompt_in_place_of_the_default(self, tmp_path: Path) -> None:
        ready = preparer(tmp_path, prompts=self.PROMPTS, default_prompt="document")
        assert words(ready.prepare("cat", Wanted(prompt=""))) == ["<s>", "cat", "</s>"]
        with pytest.raises(Unsupported, match="no prompt named ''"):
            ready.prepare("cat", Wanted(prompt="", task="dog"))

    def test_a_task_in_place_of_the_prompt_s_own(self, tmp_path: Path) -> None:
        ready = preparer(tmp_path, prompts=self.PROMPTS, default_prompt="document")
        expected = ["<s>", "one", "dog", "two", "cat", "</s>"]
        assert words(ready.prepare("cat", Wanted(prompt="query", task="dog"))) == expected
        # Only one prompt has a place for it, so its name is not needed.
        assert words(ready.prepare("cat", Wanted(task="dog"))) == expected

    def test_a_task_that_has_no_place(self, tmp_path: Path) -> None:
        ready = preparer(tmp_path, prompts=self.PROMPTS)
        with pytest.raises(Unsupported, match="the prompt 'document' has no place for a task"):
            ready.prepare("cat", Wanted(prompt="document", task="dog"))
        with pytest.raises(Unsupported, match="such prompts are: none"):
            preparer(tmp_path).prepare("cat", Wanted(task="dog"))

    def test_braces_in_texts_and_tasks_are_only_that(self, tmp_path: Path) -> None:
        ready = preparer(tmp_path, prompts=self.PROMPTS)
        plain = words(ready.prepare("{task} {text}", Wanted(prompt="around")))
        assert plain[:2] == ["<s>", "sea"]
        assert plain.count("<unk>") == 6
        assert words(ready.prepare("cat", Wanted(prompt="query", task="{text}"))).count("cat") == 1


@pytest.mark.parametrize(
    ("step", "text", "expected"),
    [
        ("strip", " a \n", "a"),
        ("fix_text", "schÃ¶n", "schön"),
        ("unescape_html", "&amp;lt;b&gt;", "<b>"),
        ("collapse_whitespace", "a \n\t b ", "a b"),
        ("lower", "ÄB", "äb"),
        ("lead_with_mark", " a▁b", "▁ a b"),
    ],
)
def test_cleaning_steps(step: str, text: str, expected: str) -> None:
    assert CLEANING[step](text) == expected


def test_half_of_a_surrogate_pair_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="half of a surrogate pair"):
        preparer(tmp_path).prepare("a \ud800 b")


@given(st.text(max_size=300), st.sampled_from(["end", "start"]), st.integers(3, toy.MAX_LENGTH))
def test_any_text_has_tokens(tmp_path_factory: pytest.TempPathFactory, text: str, truncate: str, length: int) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    wanted = Wanted(truncate=truncate, max_tokens=length)  # type: ignore[arg-type]
    item = preparer(folder, clean=tuple(CLEANING)).prepare(text, wanted)
    assert 2 <= item.tokens <= length


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("e\u0301e", "ée"),
        ("ﬁx e\u0301\u0327", "fix é\u0327"),
        ("a\u0007b", "ab"),
        ("e", "e"),
    ],
)
def test_strings_become_others_the_longest_first(text: str, expected: str) -> None:
    table = {"e\u0301": "é", "\u0301": "´", "ﬁ": "fi", "\u0007": ""}
    assert replacing(table)(text) == expected


def test_characters_come_after_the_cleaning_steps(tmp_path: Path) -> None:
    (tmp_path / "characters.json").write_text(json.dumps({"c\u0301at": "cat"}))
    item = preparer(tmp_path, clean=("lower",), characters="characters.json").prepare("RED C\u0301AT")
    assert words(item) == ["<s>", "red", "cat", "</s>"]
    assert TextSpec("text", 8, characters="characters.json").files == ("tokenizer.json", "characters.json")
