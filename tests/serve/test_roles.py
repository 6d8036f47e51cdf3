"""Which prompt texts get for a role that an API tells; and that sentence-transformers would choose the same one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sentence_transformers import SentenceTransformer

from multi2vec import manifest as manifests
from multi2vec.serve import roles
from multi2vec.specs import Prompt
from tests import toy


@pytest.mark.parametrize(
    ("prompts", "query", "document"),
    [
        ((), None, None),
        (("classification", "Query"), None, None),
        (("query",), "query", ""),
        (("passage",), "", "passage"),
        (("passage", "query", "ask"), "query", "passage"),
        (("corpus", "passage", "document"), "", "document"),
        (("corpus", "passage"), "", "passage"),
        (("corpus",), "", "corpus"),
        (("text-matching", "retrieval.passage", "retrieval.query"), "retrieval.query", "retrieval.passage"),
    ],
)
def test_the_first_name_that_the_model_knows(
    toy_folder: Path, prompts: tuple[str, ...], query: str | None, document: str | None
) -> None:
    read = manifests.read(toy_folder)
    text = replace(toy.TEXT, prompts={name: Prompt(f"{name}: ") for name in prompts})
    model = replace(read, inputs={**read.inputs, "text": text})
    assert roles.prompt_for(model, "query") == query
    assert roles.prompt_for(model, "document") == document
    assert roles.prompt_for(model, None) is None


def test_a_model_without_texts_has_no_prompts(toy_folder: Path) -> None:
    read = manifests.read(toy_folder)
    assert roles.prompt_for(replace(read, inputs={"image": read.inputs["image"]}), "query") is None


class Asked:
    """Stands in for a sentence-transformers model: says which prompt it is asked for."""

    def __init__(self, *prompts: str) -> None:
        self.prompts = dict.fromkeys(prompts, "")

    def encode(self, prompt_name: str | None = None, **_: object) -> str | None:
        return prompt_name


@pytest.mark.parametrize("role", ["query", "document"])
def test_the_names_and_their_order_are_sentence_transformers_own(role: roles.Role) -> None:
    encode: Any = {"query": SentenceTransformer.encode_query, "document": SentenceTransformer.encode_document}[role]
    names = [name for name in roles.PROMPTS[role] if "." not in name]
    for start, name in enumerate(names):
        assert encode(Asked(*reversed(names[start:])), inputs=["text"]) == name
    assert encode(Asked("retrieval.query", "retrieval.passage"), inputs=["text"]) is None
