"""The contract of multi2vec-jinaai and text2vec-jinaai, against the real server."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from tests import toy
from tests.server import Server, serving

PICTURE = toy.b64(toy.png(toy.picture(1)))


@pytest.fixture(scope="module")
def texts_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    text = replace(toy.TEXT, prompts=toy.PROMPTS)
    with serving(toy.write_texts(tmp_path_factory.mktemp("texts"), text=text), PRECISION="f32") as running:
        yield running


def ask(server: Server, **body: Any) -> httpx.Response:
    return httpx.post(server.url + "/v1/embeddings", json={"model": "jina", **body}, timeout=30, trust_env=False)


def vectors(server: Server, **body: Any) -> np.ndarray:
    answer = ask(server, embedding_type="float", **body)
    assert answer.status_code == 200, answer.text
    return np.array([each["embedding"] for each in answer.json()["data"]])


def assert_error(answer: httpx.Response, status: int, *words: str) -> None:
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"detail"}
    for word in words:
        assert word in answer.json()["detail"]


def test_texts_and_pictures(server: Server) -> None:
    """An empty text is left away by Weaviate, and is one all the same."""
    answer = ask(server, input=[{"text": "sun"}, {}, {"image": PICTURE}], embedding_type="float").json()
    assert set(answer) == {"object", "data", "model", "usage"}
    assert [each["index"] for each in answer["data"]] == [0, 1, 2]
    expected = [toy.text_vector("sun"), toy.text_vector(""), toy.picture_vector(toy.picture(1))]
    np.testing.assert_allclose([each["embedding"] for each in answer["data"]], expected, atol=1e-5)
    assert answer["usage"] == {"total_tokens": 5, "prompt_tokens": 5}


def test_a_query(server: Server, texts_only: Server) -> None:
    body = {"input": ["cat"], "normalized": True, "task": "retrieval.query"}
    np.testing.assert_allclose(vectors(server, **body), [toy.text_vector("cat")], atol=1e-5)
    np.testing.assert_allclose(vectors(texts_only, **body), [toy.text_vector("one cat")], atol=1e-5)
    body["task"] = "retrieval.passage"
    np.testing.assert_allclose(vectors(texts_only, **body), [toy.text_vector("two cat")], atol=1e-5)
    # What multi2vec-jinaai sends for its queries has none.
    np.testing.assert_allclose(vectors(texts_only, input="cat", task=""), [toy.text_vector("cat")], atol=1e-5)


def test_wishes(server: Server, texts_only: Server) -> None:
    np.testing.assert_allclose(vectors(server, input=["sun"], normalized=False), [toy.text_row("sun")], atol=1e-4)
    assert vectors(texts_only, input=["sun"], dimensions=8).shape == (1, 8)
    coded = ask(server, input=["sun"], embedding_type="base64").json()["data"][0]["embedding"]
    np.testing.assert_allclose(np.frombuffer(base64.b64decode(coded), "<f4"), toy.text_vector("sun"), atol=1e-5)
    long = "cat " * 20
    assert vectors(server, input=[long]).shape == (1, toy.DIMENSIONS)
    assert_error(ask(server, input=[long], embedding_type="float", truncate=False), 422, "22 tokens")


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"input": [1]}, "input"),
        ({"input": ["sun"], "embedding_type": "binary"}, "binary"),
        ({"input": [{"image": "https://example.org/cat.png"}]}, "not fetched"),
    ],
)
def test_what_is_wrong_with_a_body(server: Server, body: dict[str, Any], word: str) -> None:
    assert_error(ask(server, **{"embedding_type": "float", **body}), 400, word)


def test_a_text_and_a_picture_together_need_another_model(server: Server) -> None:
    assert_error(ask(server, input=[{"text": "a", "image": PICTURE}], embedding_type="float"), 422, "together")
