"""The contract of reranker-transformers, against the real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests import toy
from tests.serve.dialects.wire import assert_error, assert_near, raw
from tests.serve.several import cosine
from tests.server import Server, serving

DOCUMENTS = ["the dog", "a red cat", "sun", "the dog"]
# What Weaviate sends; the property is always empty.
BODY = {"query": "a cat", "documents": DOCUMENTS, "property": ""}
LONG = " ".join(["cat"] * 10 + ["dog"] * 10)


@pytest.fixture(scope="module")
def prompted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A model with prompts for queries and passages, that refuses too long texts."""
    folder = toy.write_texts(tmp_path_factory.mktemp("texts"), text=replace(toy.TEXT, prompts=toy.PROMPTS))
    with serving(folder, PRECISION="f32", AUTO_TRUNCATE="false") as running:
        yield running


def ask(server: Server, **body: Any) -> httpx.Response:
    return httpx.post(server.url + "/rerank", json=body, timeout=30, trust_env=False)


def scores(server: Server, **body: Any) -> list[float]:
    answer = ask(server, **body)
    assert answer.status_code == 200, answer.text
    return [each["score"] for each in answer.json()["scores"]]


class TestAnswer:
    def test_scores_in_the_order_of_the_documents(self, server: Server) -> None:
        status, body = raw(server, "POST", "/rerank", json.dumps(BODY).encode())
        assert status == 200
        answer = json.loads(body)
        assert set(answer) == {"query", "scores"}
        assert answer["query"] == "a cat"
        assert [set(each) for each in answer["scores"]] == [{"document", "score"}] * 4
        assert [each["document"] for each in answer["scores"]] == DOCUMENTS
        assert_near([each["score"] for each in answer["scores"]], [cosine("a cat", text) for text in DOCUMENTS])

    @pytest.mark.parametrize("property", ["", "title"])
    def test_as_many_as_it_sends(self, server: Server, property: str) -> None:
        documents = [f"{'red ' * (index % 5)}cat" for index in range(32)]
        found = scores(server, query="a cat", documents=documents, property=property, unknown=1)
        assert_near(found, [cosine("a cat", text) for text in documents])

    @pytest.mark.parametrize("documents", [[], None])
    def test_none_at_all(self, server: Server, documents: list[str] | None) -> None:
        answer = ask(server, query="a cat", documents=documents, property="")
        assert (answer.status_code, answer.json()) == (200, {"query": "a cat", "scores": []})

    def test_texts_without_words(self, server: Server) -> None:
        assert_near(scores(server, query="", documents=["", "sun"], property=""), [1, cosine("", "sun")])

    def test_long_texts_are_cut(self, server: Server) -> None:
        expected = [cosine("sun", " ".join(["cat"] * 10))]
        assert_near(scores(server, query="sun", documents=[LONG], property=""), expected)

    def test_the_model_s_prompts(self, prompted: Server) -> None:
        assert_near(scores(prompted, query="a cat", documents=["sun"], property=""), [cosine("one a cat", "two sun")])


class TestErrors:
    def test_bodies(self, server: Server) -> None:
        assert_error(ask(server, query="a", documents=["a", 1], property=""), 400, "$.documents[1]")

    def test_too_long(self, prompted: Server) -> None:
        assert_error(ask(prompted, query="a", documents=["sun", LONG], property=""), 422, "text 2 of 2", "23 tokens")
