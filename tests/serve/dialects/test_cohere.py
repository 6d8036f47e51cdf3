"""Cohere's embeddings API, against the real server."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from tests import toy
from tests.serve.dialects.wire import assert_near, raw
from tests.server import Server, serving

PATHS = ("/v2/embed", "/v1/embed")
TYPES = ["float", "int8", "uint8", "binary", "ubinary", "base64"]
INPUT_TYPES = ["search_document", "search_query", "classification", "clustering", "image"]
PICTURE = toy.b64(toy.png(toy.picture(1)))
URI = f"data:image/png;base64,{PICTURE}"
IMAGE_URL = {"type": "image_url", "image_url": {"url": URI}}
LONG = "sun " + " ".join(["cat"] * 20)


@pytest.fixture(scope="module")
def texts_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A model without pictures, with prompts, whose vectors can be cut."""
    prompts = {**toy.PROMPTS, "clustering": replace(toy.PROMPTS["query"], template="three {text}")}
    text = replace(toy.TEXT, prompts=prompts)
    with serving(toy.write_texts(tmp_path_factory.mktemp("texts"), text=text), PRECISION="f32") as running:
        yield running


def ask(server: Server, path: str = "/v2/embed", **body: Any) -> httpx.Response:
    return httpx.post(server.url + path, json=body, timeout=30, trust_env=False)


def answer(server: Server, path: str = "/v2/embed", **body: Any) -> dict[str, Any]:
    response = ask(server, path, **body)
    assert response.status_code == 200, response.text
    return dict(response.json())


def vectors(server: Server, **body: Any) -> np.ndarray:
    return np.array(answer(server, **body)["embeddings"]["float"], dtype=np.float32)


def assert_error(response: httpx.Response, status: int, *words: str) -> None:
    assert response.status_code == status, response.text
    assert set(response.json()) == {"message"}
    for word in words:
        assert word in response.json()["message"]


class TestAnswer:
    @pytest.mark.parametrize("path", ["/v2/embed", "/v2/embed/", "//v2/embed"])
    def test_version_2(self, server: Server, path: str) -> None:
        texts = ["a red cat", "the dog", "a red cat"]
        body = answer(server, path, model="embed-v4.0", input_type="search_document", texts=texts, unknown=1)
        assert set(body) == {"id", "response_type", "embeddings", "texts", "meta"}
        assert str(uuid.UUID(body["id"])) == body["id"]
        assert (body["response_type"], body["texts"]) == ("embeddings_by_type", texts)
        assert list(body["embeddings"]) == ["float"]
        assert_near(body["embeddings"]["float"], [toy.text_vector(text) for text in texts])
        # Each with the tokens for its beginning and its end.
        assert body["meta"] == {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 14, "images": 0}}

    def test_version_1(self, server: Server) -> None:
        body = answer(server, "/v1/embed", texts=["a red cat", "sun"])
        assert set(body) == {"id", "response_type", "embeddings", "texts", "meta"}
        assert (body["response_type"], body["texts"]) == ("embeddings_floats", ["a red cat", "sun"])
        assert_near(body["embeddings"], [toy.text_vector("a red cat"), toy.text_vector("sun")])
        assert body["meta"] == {"api_version": {"version": "1"}, "billed_units": {"input_tokens": 8, "images": 0}}

    def test_version_1_by_type(self, server: Server) -> None:
        body = answer(server, "/v1/embed", texts=["sun"], embedding_types=["ubinary", "float"])
        assert (body["response_type"], set(body["embeddings"])) == ("embeddings_by_type", {"ubinary", "float"})
        assert_near(body["embeddings"]["float"], [toy.text_vector("sun")])
        assert body["meta"]["api_version"] == {"version": "1"}

    def test_each_answer_has_an_id_of_its_own(self, server: Server) -> None:
        assert answer(server, texts=["sun"])["id"] != answer(server, texts=["sun"])["id"]

    def test_null_is_as_good_as_absent(self, server: Server) -> None:
        names = ("model", "input_type", "images", "inputs", "max_tokens", "output_dimension", "truncate")
        nothing: dict[str, Any] = dict.fromkeys((*names, "embedding_types"))
        assert_near(vectors(server, texts=["sun"], **nothing), [toy.text_vector("sun")])

    def test_a_body_without_content_type(self, server: Server) -> None:
        status, body = raw(server, "POST", "/v2/embed", b'{"texts": ["sun"]}')
        assert status == 200
        assert_near(json.loads(body)["embeddings"]["float"], [toy.text_vector("sun")])

    def test_what_weaviate_sends(self, server: Server) -> None:
        asked = {"texts": ["sun"], "model": "embed-multilingual-v3.0", "input_type": "search_query", "truncate": "END"}
        for path in PATHS:
            body = answer(server, path, **asked, embedding_types=["float"])
            assert_near(body["embeddings"]["float"], [toy.text_vector("sun")])
            # It decodes them as integers.
            assert all(type(each) is int for each in body["meta"]["billed_units"].values())


class TestTypes:
    def test_all_at_once(self, server: Server) -> None:
        texts = ["a red cat", "the dog", ""]
        found = answer(server, texts=texts, embedding_types=[*TYPES, "float"])["embeddings"]
        assert list(found) == TYPES
        rows = np.array(found["float"], dtype=np.float32)
        assert_near(rows, [toy.text_vector(text) for text in texts])

        # With so few dimensions 1 becomes 127.
        expected = np.rint(rows * 127)
        np.testing.assert_array_equal(found["int8"], expected)
        np.testing.assert_array_equal(found["uint8"], expected + 128)
        assert min(map(min, found["int8"])) < 0 < max(map(max, found["int8"]))

        bits = [["01"[number >= 0] for number in row] for row in rows.tolist()]
        unsigned = [[int("".join(row[:8]), 2), int("".join(row[8:]), 2)] for row in bits]
        assert found["ubinary"] == unsigned
        assert found["binary"] == [[byte - 128 for byte in row] for row in unsigned]

        decoded = [np.frombuffer(base64.b64decode(each), "<f4") for each in found["base64"]]
        np.testing.assert_array_equal(decoded, rows)

    @pytest.mark.parametrize("kind", TYPES)
    @pytest.mark.parametrize("path", PATHS)
    def test_each_alone(self, server: Server, path: str, kind: str) -> None:
        found = answer(server, path, texts=["sun"], embedding_types=[kind])["embeddings"]
        assert found == {kind: answer(server, texts=["sun"], embedding_types=TYPES)["embeddings"][kind]}

    def test_of_shorter_vectors(self, texts_only: Server) -> None:
        asked = {"texts": ["a cat"], "output_dimension": 4}
        found = answer(texts_only, **asked, embedding_types=["float", "int8", "ubinary"])["embeddings"]
        row = np.array(found["float"], dtype=np.float32)
        np.testing.assert_array_equal(found["int8"], np.clip(np.rint(row * 127), -127, 127))
        # Four bits and four zeros.
        assert found["ubinary"] == [[int("".join("01"[number >= 0] for number in found["float"][0]) + "0000", 2)]]

    def test_of_vectors_that_are_not_normalised(self, tmp_path_factory: Any) -> None:
        folder = toy.write_texts(tmp_path_factory.mktemp("long"))
        with serving(folder, PRECISION="f32", NORMALISE="false") as running:
            found = answer(running, texts=["sun", "a cat"], output_dimension=4, embedding_types=TYPES)["embeddings"]
            rows = np.array([toy.text_row("sun")[:4], toy.text_row("a cat")[:4]])
            assert_near(found["float"], rows)
            unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
            np.testing.assert_array_equal(found["int8"], np.clip(np.rint(unit * 127), -127, 127))


class TestForms:
    def test_pictures(self, server: Server) -> None:
        expected = toy.picture_vector(toy.picture(1))
        body = answer(server, images=[URI, PICTURE], input_type="image", model="any")
        assert_near(body["embeddings"]["float"], [expected, expected])
        assert body["texts"] == []
        assert body["meta"]["billed_units"] == {"input_tokens": 0, "images": 2}
        assert body["images"] == [{"width": toy.SIDE, "height": toy.SIDE, "format": "png", "bit_depth": 24}] * 2
        assert_near(answer(server, "/v1/embed", images=[URI])["embeddings"], [expected])

    def test_inputs(self, server: Server) -> None:
        contents: list[Any] = [
            [{"type": "text", "text": "sun"}],
            [IMAGE_URL],
            [{"type": "image_url", "image_url": URI}],
            [{"type": "text", "text": "a red"}, {"type": "text", "text": "cat"}],
            "the dog",
        ]
        body = answer(server, inputs=[{"content": content} for content in contents], input_type="search_document")
        picture = toy.picture_vector(toy.picture(1))
        texts = [toy.text_vector(text) for text in ("sun", "a red cat", "the dog")]
        assert_near(body["embeddings"]["float"], [texts[0], picture, picture, *texts[1:]])
        assert body["texts"] == []
        assert body["meta"]["billed_units"] == {"input_tokens": 3 + 5 + 4, "images": 2}
        assert len(body["images"]) == 2

    def test_a_text_and_a_picture_together_need_another_model(self, server: Server) -> None:
        both = [{"type": "text", "text": "cat"}, IMAGE_URL]
        assert_error(ask(server, inputs=[{"content": both}]), 400, "toy makes one vector of one text or of one picture")

    def test_pictures_of_a_model_that_has_none(self, texts_only: Server) -> None:
        for asked in ({"images": [URI]}, {"inputs": [{"content": [IMAGE_URL]}]}):
            assert_error(ask(texts_only, **asked), 400, "toy-texts has no picture tower")
        assert vectors(texts_only, texts=[URI]).shape == (1, toy.DIMENSIONS)


class TestInputTypes:
    @pytest.mark.parametrize(
        ("input_type", "embedded"),
        [
            (None, "cat"),
            ("", "cat"),
            ("search_query", "one cat"),
            ("search_document", "two cat"),
            ("query", "one cat"),
            ("passage", "two cat"),
            ("ask", "the sun cat"),
            # The model has a prompt of one of these names.
            ("clustering", "three cat"),
            ("classification", "cat"),
            ("image", "cat"),
        ],
    )
    @pytest.mark.parametrize("form", [{"texts": ["cat"]}, {"inputs": [{"content": [{"type": "text", "text": "cat"}]}]}])
    def test_the_model_s_prompt_for_it(
        self, texts_only: Server, form: dict[str, Any], input_type: str | None, embedded: str
    ) -> None:
        assert_near(vectors(texts_only, **form, input_type=input_type), [toy.text_vector(embedded)])

    @pytest.mark.parametrize("input_type", [*INPUT_TYPES, "other"])
    def test_a_model_without_prompts_takes_texts_as_they_are(self, server: Server, input_type: str) -> None:
        assert_near(vectors(server, texts=["cat"], input_type=input_type), [toy.text_vector("cat")])

    def test_one_that_is_not_there(self, texts_only: Server) -> None:
        words = ("'other'", "ask", "clustering", "search_query", "search_document")
        assert_error(ask(texts_only, texts=["cat"], input_type="other"), 400, *words)


class TestWishes:
    @pytest.mark.parametrize("dimensions", [4, 8, toy.DIMENSIONS])
    def test_dimensions_are_cut_and_normalised_again(self, texts_only: Server, dimensions: int) -> None:
        row = toy.text_row("a cat")[:dimensions]
        found = vectors(texts_only, texts=["a cat"], output_dimension=dimensions)
        assert_near(found, [row / np.linalg.norm(row)])

    @pytest.mark.parametrize("dimensions", [0, -1, 5, 17])
    def test_dimensions_that_are_not_there(self, texts_only: Server, server: Server, dimensions: int) -> None:
        asked = {"texts": ["a cat"], "output_dimension": dimensions}
        assert_error(ask(texts_only, **asked), 400, f"no vectors of {dimensions} dimensions", "4, 8, 16")
        assert_error(ask(server, **asked), 400, "does not support Matryoshka representation", "16")

    @pytest.mark.parametrize("path", PATHS)
    def test_long_texts(self, server: Server, path: str) -> None:
        def found(**asked: Any) -> Any:
            return answer(server, path, texts=[LONG], embedding_types=["float"], **asked)["embeddings"]["float"]

        start, end = toy.text_vector(" ".join(["cat"] * 10)), toy.text_vector("sun" + " cat" * 9)
        for asked in ({}, {"truncate": None}, {"truncate": "END"}, {"truncate": "RIGHT"}):
            assert_near(found(**asked), [end])
        for side in ("START", "LEFT"):
            assert_near(found(truncate=side), [start])
        refused = ask(server, path, texts=["sun", LONG], truncate="NONE")
        assert_error(refused, 400, "text 2 of 2", "23 tokens", "more than 12")
        assert_near(vectors(server, texts=["sun"], truncate="NONE"), [toy.text_vector("sun")])

    def test_max_tokens(self, server: Server) -> None:
        assert_near(vectors(server, texts=[LONG], max_tokens=4), [toy.text_vector("sun cat")])
        assert_near(vectors(server, texts=[LONG], max_tokens=4, truncate="START"), [toy.text_vector("cat cat")])
        assert_error(ask(server, texts=[LONG], max_tokens=4, truncate="NONE"), 400, "23 tokens", "more than 4")
        assert answer(server, texts=[LONG], max_tokens=4)["meta"]["billed_units"]["input_tokens"] == 4
        # More than the model takes is what it takes.
        assert_near(vectors(server, texts=[LONG], max_tokens=128_000), vectors(server, texts=[LONG]))
        assert_near(vectors(server, images=[URI], max_tokens=5), [toy.picture_vector(toy.picture(1))])
        assert_error(ask(server, texts=["sun"], max_tokens=2), 400, "max_tokens is 2", "from 3 to 12")
        assert_error(ask(server, texts=["sun"], max_tokens=0), 400, "max_tokens is 0", "at least 1")

    def test_the_operator_can_say_what_happens_to_long_texts(self, toy_folder: Any) -> None:
        with serving(toy_folder, AUTO_TRUNCATE="false") as running:
            assert_error(ask(running, texts=[LONG]), 400, "23 tokens")
            assert ask(running, texts=[LONG], truncate="END").status_code == 200


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ({"texts": ["a"], "images": [URI]}, ["texts and images"]),
            ({"texts": ["a"], "inputs": []}, ["texts and inputs"]),
            ({"texts": ["a"], "images": [URI], "inputs": [{"content": "a"}]}, ["texts and images and inputs"]),
            ({"inputs": [{"content": "a"}, {"content": []}]}, ["inputs[1].content is an empty list"]),
            ({"texts": ["a", 1]}, ["$.texts[1]"]),
            ({"texts": [None]}, ["$.texts[0]"]),
            ({"images": URI}, ["$.images"]),
            ({"images": [5]}, ["$.images[0]"]),
            ({"inputs": "a"}, ["$.inputs"]),
            ({"inputs": ["a"]}, ["$.inputs[0]"]),
            ({"inputs": [{}]}, ["content", "$.inputs[0]"]),
            ({"inputs": [{"content": 5}]}, ["inputs[0].content is neither"]),
            ({"inputs": [{"content": [{"type": "smell"}]}]}, ["inputs[0].content[0] is no content part"]),
            ({"inputs": [{"content": [{"type": "text"}]}]}, ["inputs[0].content[0].text is no string"]),
            ({"inputs": [{"content": [{"type": "image_url", "image_url": {}}]}]}, ["image_url is no string"]),
            ({"texts": ["a"], "embedding_types": [1]}, ["$.embedding_types[0]"]),
            ({"texts": ["a"], "embedding_types": []}, ["embedding_types is an empty list", "float, int8"]),
            ({"texts": ["a"], "embedding_types": ["float", "int4"]}, ["'int4'", "float, int8, uint8, binary"]),
            ({"texts": ["a"], "truncate": "MIDDLE"}, ["'MIDDLE'", "NONE, START, END"]),
            ({"images": ["https://example.org/cat.png"]}, ["not fetched", "data URI"]),
            ({"images": ["file:///etc/passwd"]}, ["not a path"]),
            ({"images": ["data:image/png,abc"]}, ["data URI"]),
            ({"images": [URI, "data:image/png;base64,bm90IGE="]}, ["picture 2 of 2"]),
        ],
    )
    @pytest.mark.parametrize("path", PATHS)
    def test_what_is_wrong_with_a_body(self, server: Server, path: str, body: dict[str, Any], words: list[str]) -> None:
        assert_error(ask(server, path, **body), 400, *words)
