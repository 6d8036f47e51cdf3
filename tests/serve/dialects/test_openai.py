"""OpenAI's embeddings API and what others added to it, against the real server."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from tests import toy
from tests.serve.dialects.wire import assert_near, assert_openai_error, raw
from tests.server import Server, serving

PICTURE = toy.b64(toy.png(toy.picture(1)))
URI = f"data:image/png;base64,{PICTURE}"
LONG = " ".join(["cat"] * 20)


@pytest.fixture(scope="module")
def texts_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A model without pictures, with prompts, whose vectors can be cut."""
    text = replace(toy.TEXT, prompts=toy.PROMPTS)
    with serving(toy.write_texts(tmp_path_factory.mktemp("texts"), text=text), PRECISION="f32") as running:
        yield running


def ask(server: Server, path: str = "/v1/embeddings", **body: Any) -> httpx.Response:
    return httpx.post(server.url + path, json=body, timeout=30, trust_env=False)


def vectors(server: Server, **body: Any) -> np.ndarray:
    answer = ask(server, **body)
    assert answer.status_code == 200, answer.text
    return np.array([each["embedding"] for each in answer.json()["data"]], dtype=np.float32)


class TestAnswer:
    @pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings", "/v1/embeddings/", "//v1/embeddings"])
    def test_one_text(self, server: Server, path: str) -> None:
        answer = ask(server, path, input="a red cat", model="text-embedding-3-small", user="me", unknown=1)
        assert answer.status_code == 200
        body = answer.json()
        assert set(body) == {"object", "data", "model", "usage"}
        assert (body["object"], body["model"]) == ("list", "toy")
        assert [(each["object"], each["index"]) for each in body["data"]] == [("embedding", 0)]
        assert_near(body["data"][0]["embedding"], toy.text_vector("a red cat"))
        # With the tokens for its beginning and its end.
        assert body["usage"] == {"prompt_tokens": 5, "total_tokens": 5}

    def test_several_texts_in_their_order(self, server: Server) -> None:
        texts = ["a red cat", "the dog", "a red cat", "sun"]
        assert_near(vectors(server, input=texts), [toy.text_vector(text) for text in texts])

    def test_a_body_without_content_type(self, server: Server) -> None:
        status, body = raw(server, "POST", "/v1/embeddings", b'{"input": "sun", "dimensions": null}')
        assert status == 200
        assert_near(json.loads(body)["data"][0]["embedding"], toy.text_vector("sun"))

    def test_weaviate_is_told_that_it_may_batch(self, server: Server) -> None:
        headers = ask(server, input="sun").headers
        for unit in ("requests", "tokens"):
            assert int(headers[f"x-ratelimit-limit-{unit}"]) >= 1_000_000
            assert int(headers[f"x-ratelimit-remaining-{unit}"]) >= 1_000_000
            assert headers[f"x-ratelimit-reset-{unit}"] == "1ms"

    def test_base64_is_little_endian_float32(self, server: Server) -> None:
        data = ask(server, input=["sun", "cat"], encoding_format="base64").json()["data"]
        found = [np.frombuffer(base64.b64decode(each["embedding"]), "<f4") for each in data]
        np.testing.assert_array_equal(found, vectors(server, input=["sun", "cat"]))

    @pytest.mark.parametrize(
        ("asked", "dtype"),
        [
            ({}, "<f4"),
            ({"endianness": "big"}, ">f4"),
            ({"embed_dtype": "float16"}, "<f2"),
            ({"embed_dtype": "float16", "endianness": "big"}, ">f2"),
            ({"endianness": "native"}, "<f4"),
        ],
    )
    def test_bytes(self, server: Server, asked: dict[str, str], dtype: str) -> None:
        expected = vectors(server, input=["sun", "cat"]).astype(dtype)
        answer = ask(server, input=["sun", "cat"], encoding_format="bytes", **asked)
        assert answer.headers["content-type"] == "application/octet-stream"
        metadata = json.loads(answer.headers["metadata"])
        assert metadata["usage"]["total_tokens"] == 6
        for row, place in zip(expected, metadata["data"], strict=True):
            found = np.frombuffer(answer.content[place["start"] : place["end"]], dtype)
            np.testing.assert_array_equal(found, row)
            assert (place["shape"], place["embed_dtype"]) == ([toy.DIMENSIONS], np.dtype(dtype).name)
            assert place["endianness"] == ("big" if dtype.startswith(">") else "little")
        only = ask(server, input=["sun", "cat"], encoding_format="bytes_only", **asked)
        assert only.content == answer.content
        assert "metadata" not in only.headers
        text = ask(server, input="sun", encoding_format="base64", **asked).json()["data"][0]["embedding"]
        assert base64.b64decode(text) == expected[0].tobytes()


class TestForms:
    def test_token_ids(self, server: Server) -> None:
        ids = toy.tokenizer().encode("a red cat").ids
        assert_near(vectors(server, input=ids), [toy.text_vector("a red cat")])
        assert_near(vectors(server, input=[ids, [1, 2]]), [toy.text_vector("a red cat"), toy.text_vector("")])
        assert ask(server, input=ids).json()["usage"]["prompt_tokens"] == len(ids)

    @pytest.mark.parametrize("ids", [[1, 5, 100_000], [[1], [2, 99]], [-1]])
    def test_token_ids_of_another_vocabulary(self, server: Server, ids: Any) -> None:
        words = ("not in this model's vocabulary of 19", "check_embedding_ctx_length=False")
        assert_openai_error(ask(server, input=ids), 400, *words)

    def test_pictures_among_texts(self, server: Server) -> None:
        found = vectors(server, input=["sun", URI, {"text": "cat"}, {"image": PICTURE}, {"image": URI}])
        expected = toy.picture_vector(toy.picture(1))
        assert_near(found, [toy.text_vector("sun"), expected, toy.text_vector("cat"), expected, expected])
        answer = ask(server, input=["sun", URI]).json()
        assert answer["usage"]["prompt_tokens"] == 3

    def test_a_data_uri_is_a_text_where_it_is_said_or_there_are_no_pictures(
        self, server: Server, texts_only: Server
    ) -> None:
        for running, asked in ((server, {"modality": "text"}), (texts_only, {})):
            found = vectors(running, input="data:image/png;base64,abc", **asked)
            assert found.shape == (1, toy.DIMENSIONS)
            assert not np.allclose(found[0], toy.picture_vector(toy.picture(1)))

    def test_modality(self, server: Server) -> None:
        expected = toy.picture_vector(toy.picture(1))
        assert_near(vectors(server, input=[PICTURE, URI], modality="image"), [expected, expected])
        assert_openai_error(ask(server, input="abc", modality="audio"), 400, "toy has no audio tower")

    @pytest.mark.parametrize("key", ["messages", "input"])
    def test_a_conversation_has_one_vector(self, server: Server, key: str) -> None:
        messages = [
            {"role": "user", "content": "a red"},
            {"role": "user", "content": [{"type": "text", "text": "cat"}]},
        ]
        assert_near(vectors(server, **{key: messages}), [toy.text_vector("a red cat")])

    @pytest.mark.parametrize("key", ["messages", "input"])
    def test_a_list_of_conversations_has_one_each(self, server: Server, key: str) -> None:
        contents: list[Any] = [
            "sun",
            [{"type": "text", "text": "cat"}],
            [{"type": "image_url", "image_url": {"url": URI}}],
            [{"type": "image_url", "image_url": URI}],
            [],
        ]
        conversations = [[{"role": "user", "content": content}] for content in contents]
        picture = toy.picture_vector(toy.picture(1))
        expected = [toy.text_vector("sun"), toy.text_vector("cat"), picture, picture, toy.text_vector("")]
        assert_near(vectors(server, **{key: conversations}), expected)

    def test_a_text_and_a_picture_together_need_another_model(self, server: Server) -> None:
        both = [{"type": "text", "text": "cat"}, {"type": "image_url", "image_url": {"url": URI}}]
        for body in (
            {"messages": [{"role": "user", "content": both}]},
            {"input": [{"text": "cat", "image": PICTURE}]},
            {"input": [{"content": both}]},
        ):
            assert_openai_error(ask(server, **body), 400, "toy makes one vector of one text or of one picture")

    def test_parts_that_the_model_does_not_have(self, server: Server, texts_only: Server) -> None:
        for asked, part, words in (
            (server, {"type": "input_audio", "input_audio": {"data": "abc", "format": "wav"}}, "toy has no audio"),
            (
                texts_only,
                {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,abc"}},
                "texts has no video",
            ),
        ):
            answer = ask(asked, messages=[{"role": "user", "content": [part]}])
            assert_openai_error(answer, 400, f"{words} tower")


class TestWishes:
    @pytest.mark.parametrize("dimensions", [4, 8, toy.DIMENSIONS])
    def test_dimensions_are_cut_and_normalised_again(self, texts_only: Server, dimensions: int) -> None:
        row = toy.text_row("a cat")[:dimensions]
        found = vectors(texts_only, input="a cat", dimensions=dimensions)
        assert_near(found, [row / np.linalg.norm(row)])

    def test_dimensions_of_a_model_that_is_not_made_for_it(self, server: Server) -> None:
        assert_openai_error(
            ask(server, input="sun", dimensions=4), 400, "does not support Matryoshka representation", "16"
        )
        assert vectors(server, input="sun", dimensions=toy.DIMENSIONS).shape == (1, toy.DIMENSIONS)
        assert vectors(server, input="sun", dimensions=None).shape == (1, toy.DIMENSIONS)

    def test_too_long_a_text_is_refused_unless_it_may_be_cut(self, server: Server) -> None:
        assert_openai_error(ask(server, input=["sun", LONG]), 400, "text 2 of 2", "22 tokens", "more than 12")
        cut = toy.text_vector(" ".join(["cat"] * 10))
        for asked in ({"truncate_prompt_tokens": -1}, {"truncate_prompt_tokens": 12}, {"truncation_side": "right"}):
            assert_near(vectors(server, input=LONG, **asked), [cut])
        text = "sun " + LONG
        assert_near(vectors(server, input=text, truncate_prompt_tokens=4), [toy.text_vector("sun cat")])
        asked = {"truncate_prompt_tokens": 4, "truncation_side": "left"}
        assert_near(vectors(server, input=text, **asked), [toy.text_vector("cat cat")])
        ids = [4, 5, 6, 7, 8, 9, 10, 11] * 2
        assert_near(vectors(server, input=ids, truncate_prompt_tokens=12), vectors(server, input=ids[:12]))
        found = vectors(server, input=ids, truncate_prompt_tokens=-1, truncation_side="left")
        assert_near(found, vectors(server, input=ids[-12:]))
        assert_openai_error(ask(server, input=ids), 400, "16 tokens", "more than 12")

    def test_the_operator_can_say_what_happens_to_long_texts(self, toy_folder: Any) -> None:
        with serving(toy_folder, AUTO_TRUNCATE="true") as running:
            assert vectors(running, input=LONG).shape == (1, toy.DIMENSIONS)

    @pytest.mark.parametrize("tokens", [13, 8192, -2, 0])
    def test_lengths_that_cannot_be(self, server: Server, tokens: int) -> None:
        assert_openai_error(ask(server, input="sun", truncate_prompt_tokens=tokens), 400, str(tokens), "12")

    def test_without_special_tokens(self, server: Server) -> None:
        ids = toy.tokenizer().encode("a red cat", add_special_tokens=False).ids
        assert_near(vectors(server, input="a red cat", add_special_tokens=False), vectors(server, input=ids))

    @pytest.mark.parametrize("key", ["use_activation", "normalize"])
    def test_vectors_of_any_length(self, server: Server, key: str) -> None:
        assert_near(vectors(server, input="sun", **{key: False}), [toy.text_row("sun")])
        assert_near(vectors(server, input="sun", **{key: True}), [toy.text_vector("sun")])
        contradiction = ask(server, input="sun", use_activation=True, normalize=False)
        assert_openai_error(contradiction, 400, "contradict", param="normalize")

    @pytest.mark.parametrize(
        ("asked", "embedded"),
        [
            ({}, "cat"),
            ({"input_type": "query"}, "one cat"),
            ({"input_type": "search_query"}, "one cat"),
            ({"input_type": "passage"}, "two cat"),
            ({"input_type": "document"}, "two cat"),
            ({"prompt_name": "query"}, "one cat"),
            ({"prompt_name": "ask"}, "the sun cat"),
            ({"prompt_name": "ask", "task": "a dog"}, "a dog cat"),
            ({"prompt_name": "ask", "input_type": "query"}, "the sun cat"),
        ],
    )
    def test_prompts(self, texts_only: Server, asked: dict[str, str], embedded: str) -> None:
        assert_near(vectors(texts_only, input="cat", **asked), [toy.text_vector(embedded)])

    def test_prompts_that_are_not_there(self, server: Server, texts_only: Server) -> None:
        assert_openai_error(
            ask(texts_only, input="cat", prompt_name="other"), 400, "'other'", "ask", "query", "search_query"
        )
        # Without prompts any will do.
        assert_near(vectors(server, input="cat", input_type="other"), [toy.text_vector("cat")])


class TestModels:
    @pytest.mark.parametrize("path", ["/v1/models", "/models"])
    def test_the_list(self, server: Server, path: str) -> None:
        body = server.get(path).json()
        assert body["object"] == "list"
        (model,) = body["data"]
        assert {"id": "toy", "object": "model", "max_model_len": 12, "dimensions": 16}.items() <= model.items()
        assert model["fingerprint"] == server.meta()["fingerprint"]
        assert isinstance(model["created"], int)

    def test_one(self, server: Server) -> None:
        assert server.get("/v1/models/toy").json() == server.get("/v1/models").json()["data"][0]
        assert_openai_error(server.get("/v1/models/gpt"), 404, "/v1/models/gpt")


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "param", "word"),
        [
            ({"input": "a", "messages": []}, "input", "either input or messages"),
            ({"input": ["a", ""]}, "input", "input[1] is an empty string"),
            ({"input": ["a", 1]}, "input", "input[1]"),
            ({"input": [1, "a"]}, "input", "input[0]"),
            ({"input": [[1], []]}, "input", "input[1]"),
            ({"input": [True]}, "input", "input[0]"),
            ({"input": 7}, "input", "input[0]"),
            ({"input": 1.5}, "input", "input[0]"),
            ({"input": [{}]}, "input", "input[0]"),
            ({"input": [{"text": 5}]}, "input", "input[0]"),
            ({"input": [{"colour": "red"}]}, "input", "colour"),
            ({"input": [[{"role": "user"}]]}, "input", "input[0][0] is no message"),
            ({"messages": "a"}, "messages", "messages is no conversation"),
            ({"messages": [[]]}, "messages", "messages[0]"),
            ({"messages": [{"role": "user", "content": 5}]}, "messages", "messages[0].content"),
            ({"messages": [{"role": "user", "content": [{"type": "smell"}]}]}, "messages", "[0] is no content part"),
            ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages", "text is no string"),
            ({"input": ["a"] * 2049}, "input", "2048"),
            ({"input": "a", "dimensions": 0}, "dimensions", "at least 1"),
            ({"input": "a", "encoding_format": "hex"}, "encoding_format", "hex"),
            ({"input": "a", "embed_dtype": "fp8"}, "embed_dtype", "fp8"),
            ({"input": "a", "truncation_side": "middle"}, "truncation_side", "middle"),
            ({"input": "a", "truncate_prompt_tokens": 99}, "truncate_prompt_tokens", "99"),
            ({"input": "a", "modality": "smell"}, "modality", "smell"),
            ({"input": [{"image": "file:///etc/passwd"}]}, "input", "not a path"),
        ],
    )
    def test_what_is_wrong_with_a_body(self, server: Server, body: dict[str, Any], param: str, word: str) -> None:
        assert_openai_error(ask(server, **body), 400, word, param=param)

    def test_a_picture_that_is_none(self, server: Server) -> None:
        assert_openai_error(ask(server, input=["data:image/png,abc"]), 400, "data URI")

    def test_a_picture_s_url_where_none_are_fetched(self, server: Server) -> None:
        for body in (
            {"input": "https://example.org/cat.png", "modality": "image"},
            {"input": [{"image": "http://a/b"}]},
        ):
            assert_openai_error(ask(server, **body), 400, "not fetched from URLs here", "FETCH_HOSTS")


def test_weaviate_s_jinaai_keeps_its_own_shape(server: Server) -> None:
    answer = ask(server, input=[], embedding_type="float")
    assert answer.status_code == 400
    assert set(answer.json()) == {"detail"}
