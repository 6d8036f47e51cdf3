"""The contract of text2vec-transformers, text2vec-model2vec and img2vec-neural, against the real server."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import toy
from tests.serve.dialects.wire import assert_error, raw
from tests.server import Server, serving

# What Weaviate 1.35 sends for one text; older versions send no task, newer ones lists.
SINGLE = {
    "text": "a red cat",
    "dims": 0,
    "vector": None,
    "error": "",
    "config": {"pooling_strategy": "masked_mean", "task_type": "passage"},
}
PICTURE = toy.b64(toy.png(toy.picture(1)))


@pytest.fixture(scope="module")
def texts_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A model without pictures, with prompts for queries and passages, the first of them for those who say nothing."""
    text = replace(toy.TEXT, prompts=toy.PROMPTS, default_prompt="query")
    with serving(toy.write_texts(tmp_path_factory.mktemp("texts"), text=text), PRECISION="f32") as running:
        yield running


def ask(server: Server, **body: Any) -> httpx.Response:
    return httpx.post(server.url + "/vectors", json=body, timeout=30, trust_env=False)


def assert_near(vector: Any, text: str) -> None:
    np.testing.assert_allclose(vector, toy.text_vector(text), atol=1e-5)


def cut(text: str, dimensions: int) -> Any:
    row = toy.text_row(text)[:dimensions]
    return row / np.linalg.norm(row)


class TestOneText:
    def test_the_answer(self, server: Server) -> None:
        answer = ask(server, **SINGLE)
        assert answer.status_code == 200
        assert set(answer.json()) == {"text", "vector", "dim", "dims"}
        assert answer.json()["text"] == "a red cat"
        assert answer.json()["dim"] == answer.json()["dims"] == toy.DIMENSIONS
        assert_near(answer.json()["vector"], "a red cat")

    @pytest.mark.parametrize("config", [None, {}, {"pooling_strategy": "masked_mean"}, {"pooling_strategy": "cls"}])
    def test_pooling_stays_the_model_s_own(self, server: Server, config: object) -> None:
        assert_near(ask(server, text="the dog", config=config).json()["vector"], "the dog")
        assert_near(ask(server, text="the dog").json()["vector"], "the dog")

    @pytest.mark.parametrize("content_type", [None, "application/json", "text/plain"])
    @pytest.mark.parametrize("path", ["/vectors", "/vectors/", "//vectors"])
    def test_any_or_no_content_type_and_slashes(self, server: Server, path: str, content_type: str | None) -> None:
        headers = {"Content_Type": content_type} if content_type else {}
        status, body = raw(server, "POST", path, json.dumps(SINGLE).encode(), **headers)
        assert status == 200
        assert len(json.loads(body)["vector"]) == toy.DIMENSIONS

    def test_a_text_without_words(self, server: Server) -> None:
        answer = ask(server, text="", config={"task_type": "query"})
        assert (answer.status_code, answer.json()["text"]) == (200, "")
        assert_near(answer.json()["vector"], "")

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(text=st.text(max_size=60))
    def test_any_text_comes_back_with_a_vector(self, server: Server, text: str) -> None:
        answer = ask(server, text=text).json()
        assert answer["text"] == text
        assert math.isclose(math.hypot(*answer["vector"]), 1, rel_tol=1e-5)


class TestSeveralTexts:
    def test_the_answer(self, server: Server) -> None:
        texts = ["a red cat", "", "the dog", "a red cat"]
        answer = ask(server, texts=texts, config={"pooling_strategy": "masked_mean", "task_type": "passage"})
        assert answer.status_code == 200
        assert set(answer.json()) == {"vectors", "dims"}
        assert answer.json()["dims"] == toy.DIMENSIONS
        assert len(answer.json()["vectors"]) == len(texts)
        for vector, text in zip(answer.json()["vectors"], texts, strict=True):
            assert_near(vector, text)
        assert answer.json()["vectors"][0] == answer.json()["vectors"][3]

    def test_none_at_all(self, server: Server) -> None:
        assert ask(server, texts=[]).json() == {"vectors": [], "dims": toy.DIMENSIONS}


class TestTasks:
    @pytest.mark.parametrize(
        ("config", "embedded"),
        [
            ({"task_type": "query"}, "one a cat"),
            ({"task_type": "passage"}, "two a cat"),
            # The model's default is its prompt for queries.
            ({"task_type": ""}, "one a cat"),
            ({"task_type": None}, "one a cat"),
            ({}, "one a cat"),
        ],
    )
    def test_the_model_s_prompt_for_it(self, texts_only: Server, config: dict[str, Any], embedded: str) -> None:
        assert_near(ask(texts_only, text="a cat", config=config).json()["vector"], embedded)
        assert_near(ask(texts_only, texts=["sun", "a cat"], config=config).json()["vectors"][1], embedded)

    @pytest.mark.parametrize("task", ["query", "passage", ""])
    def test_a_model_without_prompts_takes_texts_as_they_are(self, server: Server, task: str) -> None:
        assert_near(ask(server, text="a cat", config={"task_type": task}).json()["vector"], "a cat")

    @pytest.mark.parametrize("task", ["Query", "ask", "document"])
    def test_an_unknown_one_is_refused(self, server: Server, texts_only: Server, task: str) -> None:
        for each in (server, texts_only):
            assert_error(ask(each, text="a cat", config={"task_type": task}), 400, f'"{task}"', '"query" or "passage"')

    def test_documents_of_a_model_with_a_prompt_for_queries_only(self, tmp_path_factory: Any) -> None:
        prompts = {"query": toy.PROMPTS["query"]}
        text = replace(toy.TEXT, prompts=prompts, default_prompt="query")
        with serving(toy.write_texts(tmp_path_factory.mktemp("queries"), text=text), PRECISION="f32") as running:
            assert_near(ask(running, text="a cat", config={"task_type": "query"}).json()["vector"], "one a cat")
            assert_near(ask(running, text="a cat", config={"task_type": "passage"}).json()["vector"], "a cat")


class TestDimensions:
    @pytest.mark.parametrize("dimensions", [4, 8, toy.DIMENSIONS])
    def test_shorter_vectors(self, texts_only: Server, dimensions: int) -> None:
        config = {"task_type": "passage", "dimensions": dimensions}
        one = ask(texts_only, text="a cat", config=config).json()
        assert one["dims"] == one["dim"] == dimensions
        np.testing.assert_allclose(one["vector"], cut("two a cat", dimensions), atol=1e-5)
        several = ask(texts_only, texts=["a cat", "dog"], config=config).json()
        assert several["dims"] == dimensions
        np.testing.assert_allclose(several["vectors"][1], cut("two dog", dimensions), atol=1e-5)
        assert ask(texts_only, texts=[], config=config).json()["dims"] == dimensions

    @pytest.mark.parametrize("dimensions", [0, -1, 5, 17])
    def test_lengths_that_the_model_does_not_have(self, texts_only: Server, dimensions: int) -> None:
        answer = ask(texts_only, text="a cat", config={"dimensions": dimensions})
        assert_error(answer, 422, f"no vectors of {dimensions} dimensions", "4, 8, 16")


class TestPictures:
    def test_the_answer(self, server: Server) -> None:
        answer = ask(server, id="search_1", image=PICTURE)
        assert answer.status_code == 200
        assert set(answer.json()) == {"id", "vector", "dim"}
        assert (answer.json()["id"], answer.json()["dim"]) == ("search_1", toy.DIMENSIONS)
        np.testing.assert_allclose(answer.json()["vector"], toy.picture_vector(toy.picture(1)), atol=1e-5)

    def test_it_is_the_vector_of_the_other_api(self, server: Server) -> None:
        assert ask(server, image=PICTURE).json()["vector"] == server.post(images=[PICTURE]).json()["imageVectors"][0]
        assert ask(server, image=PICTURE).json()["id"] == ""


class TestTextsOnly:
    def test_pictures_are_refused_on_every_path(self, texts_only: Server) -> None:
        for answer in (ask(texts_only, id="1", image=PICTURE), texts_only.post(images=[PICTURE])):
            assert_error(answer, 422)
            assert answer.json() == {"error": "toy-texts has no picture tower"}

    def test_texts_with_pictures_are_refused_and_texts_alone_are_not(self, texts_only: Server) -> None:
        assert_error(texts_only.post(texts=["a cat"], images=[PICTURE]), 422, "no picture tower")
        answer = texts_only.post(texts=["a cat"], images=[])
        assert answer.status_code == 200
        assert answer.json()["imageVectors"] == []
        # The other API tells nothing of queries and passages.
        assert_near(answer.json()["textVectors"][0], "one a cat")

    def test_what_weaviate_asks_before_it_sends_texts(self, texts_only: Server) -> None:
        assert raw(texts_only, "GET", "/.well-known/ready") == (204, b"")
        meta = texts_only.get("/meta").json()
        assert (meta["tag"], meta["modalities"]) == ("toy-texts", ["text"])
        assert meta["inputs"]["text"]["prompts"]["passage"]["template"] == "two {text}"
        assert list(meta["execution"]["towers"]) == ["text"]


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "word"),
        [
            ('{"text": null, "texts": null}', "the body has none"),
            ('{"text": "a", "texts": ["b"]}', "text and texts"),
            ('{"text": "a", "image": "AAAA"}', "text and image"),
            ('{"texts": ["cat", null]}', "$.texts[1]"),
            ('{"text": "a", "config": {"dimensions": "8"}}', "$.config.dimensions"),
            ('{"text": "a", "config": {"task_type": 1}}', "$.config.task_type"),
        ],
    )
    def test_bodies_that_are_wrong(self, server: Server, body: str, word: str) -> None:
        status, answer = raw(server, "POST", "/vectors", body.encode())
        assert status == 400
        assert word in json.loads(answer)["error"]

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(body=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
    def test_no_body_is_a_server_error(self, server: Server, body: bytes) -> None:
        status, answer = raw(server, "POST", "/vectors", body)
        assert status == 400
        assert isinstance(json.loads(answer)["error"], str)

    def test_metrics_count_the_route(self, server: Server) -> None:
        ask(server, text="cat")
        assert (
            'multi2vec_http_requests_total{method="POST",route="/vectors",status="200"}' in server.get("/metrics").text
        )


def test_under_a_prefix(toy_folder: Any) -> None:
    with serving(toy_folder, URL_PREFIX="/some/prefix") as running:
        for path in ("/some/prefix/vectors", "/some/prefix//vectors/"):
            assert raw(running, "POST", path, b'{"text": "cat"}')[0] == 200
