"""Prompts and tasks of text models as their libraries write them, and vectors that are cut."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from multi2vec import manifest as manifests
from multi2vec.convert import pipeline, recipe
from multi2vec.convert.errors import SourceError
from multi2vec.engine.errors import Unsupported
from tests.checkpoints import text_layouts
from tests.checkpoints.text_layouts import TASK
from tests.convert.conftest import Converted, quiet
from tests.convert.layout import small
from tests.convert.layouts import LAYOUTS
from tests.convert.texts import encoded, ids, largest_cosine, sentence_transformer, smallest_cosine, vectors

Convert = Callable[[str], Converted]
Checkpoint = Callable[[str], Path]

TEXTS = ["a photo of a cat", "how do I water a cactus?"]
OWN_TASK = "Given a song's title, retrieve its lyrics"
EQUAL = 0.99999

# What the models' authors write in front of a query, and of a document.
WRITTEN = {
    "text of BERT": ("Represent this sentence for searching relevant passages: ", ""),
    "text of BERT with XLM-RoBERTa's tokenizer": ("query: ", "passage: "),
    "text of XLM-RoBERTa": ("query: ", "passage: "),
    "text of Qwen3": (f"Instruct: {TASK}\nQuery:", ""),
    "text of Mistral": (f"Instruct: {TASK}\nQuery: ", ""),
    "text of Qwen2": (f"Instruct: {TASK}\nQuery: ", ""),
}
# The end token, where people who use the library have to write it themselves.
END = {"text of Mistral": "</s>", "text of Qwen2": "<|endoftext|>"}

with_prompts = pytest.mark.parametrize("layout", WRITTEN)
with_tasks = pytest.mark.parametrize("layout", ["text of Qwen3", "text of Mistral", "text of Qwen2"])


@with_prompts
def test_queries_and_documents(converted: Convert, checkpoint: Checkpoint, layout: str) -> None:
    """The library gets the text with the prompt written out."""
    folder, original = converted(layout).folder, sentence_transformer(checkpoint(layout))
    query, document = (
        encoded(original, [prompt + text + END.get(layout, "") for text in TEXTS]) for prompt in WRITTEN[layout]
    )
    assert smallest_cosine(vectors(folder, TEXTS, prompt="query"), query) > EQUAL
    assert smallest_cosine(vectors(folder, TEXTS, prompt="document"), document) > EQUAL
    assert largest_cosine(query, document) < 0.99


def test_qwen3_has_no_space_after_query_and_a_newline_before_it(converted: Convert, checkpoint: Checkpoint) -> None:
    folder = converted("text of Qwen3").folder
    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint("text of Qwen3"))
    found = ids(folder, "cat", prompt="query")
    assert found == tokenizer(f"Instruct: {TASK}\nQuery:cat")["input_ids"]
    for wrong in (f"Instruct: {TASK}\nQuery: cat", f"Instruct: {TASK}\\nQuery:cat", f"Instruct: {TASK} Query:cat"):
        assert found != tokenizer(wrong)["input_ids"]


@pytest.mark.parametrize("layout", ["text of Mistral", "text of Qwen2"])
def test_e5_mistral_and_gte_qwen2_have_that_space(converted: Convert, checkpoint: Checkpoint, layout: str) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint(layout))
    found = ids(converted(layout).folder, "cat", prompt="query")
    assert found[:-1] == tokenizer(f"Instruct: {TASK}\nQuery: cat")["input_ids"]
    assert found[:-1] != tokenizer(f"Instruct: {TASK}\nQuery:cat")["input_ids"]


def test_the_prompt_that_qwen3_s_folder_carries_is_the_recipe_s(converted: Convert, checkpoint: Checkpoint) -> None:
    """Asked for by its name in the library, and by role."""
    folder, original = converted("text of Qwen3").folder, sentence_transformer(checkpoint("text of Qwen3"))
    found = vectors(folder, TEXTS, prompt="query")
    assert smallest_cosine(found, encoded(original, TEXTS, prompt_name="query")) > EQUAL
    by_role = original.encode_query(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    assert smallest_cosine(found, np.asarray(by_role)) > EQUAL


@with_tasks
def test_a_task_of_the_caller_s_own(converted: Convert, checkpoint: Checkpoint, layout: str) -> None:
    """With the prompt's name, and alone, since only one prompt has a place for it."""
    folder, original = converted(layout).folder, sentence_transformer(checkpoint(layout))
    written = WRITTEN[layout][0].replace(TASK, OWN_TASK)
    expected = encoded(original, [written + text + END.get(layout, "") for text in TEXTS])
    assert smallest_cosine(vectors(folder, TEXTS, prompt="query", task=OWN_TASK), expected) > EQUAL
    assert smallest_cosine(vectors(folder, TEXTS, task=OWN_TASK), expected) > EQUAL
    assert largest_cosine(vectors(folder, TEXTS, prompt="query"), expected) < 0.99


@with_tasks
def test_a_task_for_documents_is_refused(converted: Convert, layout: str) -> None:
    with pytest.raises(Unsupported, match="'document' has no place for a task"):
        ids(converted(layout).folder, "a cat", prompt="document", task=OWN_TASK)


def test_a_task_for_a_model_without_is_refused(converted: Convert) -> None:
    with pytest.raises(Unsupported, match="such prompts are: none"):
        ids(converted("text of BERT").folder, "a cat", task=OWN_TASK)


@pytest.mark.usefixtures("few_samples")
class TestWhatAFolderSaysItself:
    """A folder of sentence-transformers may carry prompts, and say which one texts get that ask for none."""

    @pytest.fixture
    def arctic(self, tmp_path: Path) -> Path:
        """Arctic Embed with its prompt for queries as the default."""
        folder = text_layouts.arctic(tmp_path / "checkpoint")
        path = folder / "config_sentence_transformers.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"default_prompt_name": "query"}))
        return folder

    def test_a_default_prompt_is_added_once(self, arctic: Path, tmp_path: Path) -> None:
        """The library would add it by itself, to what the reference has put it in front of already."""
        made = small(recipe.read("snowflake-arctic-embed-xs"))
        read = pipeline.convert(made, arctic, tmp_path / "model", "fp16", quiet())
        assert read.inputs["text"].default_prompt == "query"
        expected = encoded(sentence_transformer(arctic), TEXTS)
        assert smallest_cosine(vectors(tmp_path / "model", TEXTS), expected) > EQUAL
        assert smallest_cosine(vectors(tmp_path / "model", TEXTS, prompt="query"), expected) > EQUAL
        assert largest_cosine(vectors(tmp_path / "model", TEXTS, prompt=""), expected) < 0.99
        tokenizer: Any = AutoTokenizer.from_pretrained(arctic)
        written = "Represent this sentence for searching relevant passages: cat"
        assert ids(tmp_path / "model", "cat") == tokenizer(written)["input_ids"]

    def test_places_in_them_are_refused(self, tmp_path: Path) -> None:
        """The library would leave the braces in the text, so nobody knows what its authors meant."""
        folder = text_layouts.arctic(tmp_path / "checkpoint")
        path = folder / "config_sentence_transformers.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"prompts": {"query": "{task}: "}}))
        with pytest.raises(SourceError, match=r"prompt 'query' with {text} or {task} in it"):
            pipeline.convert(small(recipe.read("snowflake-arctic-embed-xs")), folder, tmp_path / "m", "fp16", quiet())


@pytest.fixture(scope="module")
def cuttable(converted: Convert, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Qwen3 with the lengths that its recipe allows, 64 dimensions in all."""
    made = converted("text of Qwen3")
    target = tmp_path_factory.mktemp("cuttable") / "model"
    shutil.copytree(made.folder, target)
    smallest = recipe.read(LAYOUTS["text of Qwen3"].tag).smallest_dimensions
    read = manifests.with_fingerprint(dataclasses.replace(made.manifest, smallest_dimensions=smallest))
    (target / manifests.FILE_NAME).write_text(read.to_json())
    return target


class TestMatryoshka:
    @pytest.mark.parametrize("length", [32, 50, 64])
    def test_cut_and_at_unit_length_again(self, cuttable: Path, checkpoint: Checkpoint, length: int) -> None:
        found = vectors(cuttable, TEXTS, dimensions=length)
        assert found.shape == (len(TEXTS), length)
        assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-6)
        original = sentence_transformer(checkpoint("text of Qwen3"), truncate_dim=length)
        assert smallest_cosine(found, encoded(original, TEXTS)) > EQUAL

    @pytest.mark.parametrize("length", [0, 31, 65, 1024])
    def test_other_lengths_are_refused(self, cuttable: Path, length: int) -> None:
        with pytest.raises(Unsupported, match=f"no vectors of {length} dimensions; it has: any length from 32 to 64"):
            vectors(cuttable, TEXTS, dimensions=length)

    def test_a_model_that_was_not_trained_for_it_is_not_cut(self, converted: Convert) -> None:
        with pytest.raises(Unsupported, match="does not support Matryoshka representation: its vectors have 64 dim"):
            vectors(converted("text of BERT").folder, TEXTS, dimensions=32)
