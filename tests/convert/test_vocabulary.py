"""CLIP's vocabulary, read and applied a second time."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from multi2vec.convert import pipeline, recipe
from multi2vec.convert.errors import ParityError, SourceError
from multi2vec.convert.families import clip
from multi2vec.convert.model import Model
from multi2vec.convert.parts import vocabulary
from tests import checkpoints
from tests.convert.layout import small

Checkpoint = Callable[[str], Path]

START, END = "<|startoftext|>", "<|endoftext|>"
TAG = "openai-clip-vit-base-patch32"
TOKENIZER = checkpoints.clip_tokenizer()


@pytest.fixture(scope="module")
def words(checkpoint: Checkpoint) -> vocabulary.Vocabulary:
    return vocabulary.read(checkpoint("clip"))


def test_the_published_ids_of_a_photo_of_a_cat(words: vocabulary.Vocabulary, loaded: Callable[[str], Model]) -> None:
    published = [49406, 320, 1125, 539, 320, 2368, 49407]
    assert words.encode("a photo of a cat", START, END, 77) == published
    reference = loaded("clip").parts["text"].reference
    assert reference.prepare("a photo of a cat")["input_ids"].tolist() == published


@given(st.text(st.characters(codec="ascii"), max_size=60) | st.text(st.sampled_from("aé猫ж9 'st"), max_size=20))
def test_any_plain_text(words: vocabulary.Vocabulary, text: str) -> None:
    ids = words.encode(text, START, END, 77)
    assert (ids is None) == (not vocabulary.is_plain(text))
    if ids is not None:
        assert ids == TOKENIZER(text, truncation=True)["input_ids"]


@pytest.mark.parametrize("text", ["İ", "a <|endoftext|> b", "zero\u200bwidth", "\x1c", "Ä", "\U00010570"])
def test_what_tokenizers_may_disagree_about_is_left_out(words: vocabulary.Vocabulary, text: str) -> None:
    assert words.encode(text, START, END, 77) is None


def test_long_texts_are_cut(words: vocabulary.Vocabulary) -> None:
    ids = words.encode("cat " * 100, START, END, 10)
    assert ids == [49406, *[2368] * 8, 49407]


def test_both_kinds_of_files_say_the_same(tmp_path: Path, checkpoint: Checkpoint) -> None:
    older = checkpoints.as_older_versions(checkpoint("clip"), tmp_path / "older")
    assert vocabulary.read(older) == vocabulary.read(checkpoint("clip"))


def swap(path: Path) -> None:
    """Two words of the vocabulary change places."""
    numbers = json.loads(path.read_text(encoding="utf-8"))
    numbers["cat</w>"], numbers["dog</w>"] = numbers["dog</w>"], numbers["cat</w>"]
    path.write_text(json.dumps(numbers), encoding="utf-8")


def cut(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(lines[:1] + lines[1000:]), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [("vocab.json", swap, "different vocabularies"), ("merges.txt", cut, "different merges")],
)
def test_files_that_contradict_each_other_are_refused(
    tmp_path: Path, checkpoint: Checkpoint, name: str, spoil: Callable[[Path], None], message: str
) -> None:
    folder = checkpoints.as_older_versions(checkpoint("clip"), tmp_path / "older")
    shutil.copy(checkpoint("clip") / "tokenizer.json", folder)
    clip.load(recipe.read(TAG), folder)
    spoil(folder / name)
    with pytest.raises(SourceError, match=message):
        clip.load(recipe.read(TAG), folder)


@pytest.mark.usefixtures("few_samples")
@pytest.mark.parametrize(("name", "spoil"), [("vocab.json", swap), ("merges.txt", cut)])
def test_a_tokenizer_that_reads_the_vocabulary_wrongly_is_caught(
    tmp_path: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, name: str, spoil: Callable[[Path], None]
) -> None:
    """The reference reads it in the same way, so that only the second reading can tell."""
    right = checkpoints.as_older_versions(checkpoint("clip"), tmp_path / "right")
    wrong = tmp_path / "wrong"
    shutil.copytree(right, wrong)
    spoil(wrong / name)
    read = clip.CLIPTokenizer.from_pretrained
    monkeypatch.setattr(clip.CLIPTokenizer, "from_pretrained", lambda folder, **options: read(wrong, **options))
    with pytest.raises(ParityError, match="text vocabulary") as error:
        pipeline.convert(small(recipe.read(TAG)), right, tmp_path / "out", "fp16", Console(file=io.StringIO()))
    assert "text input_ids" not in str(error.value)
