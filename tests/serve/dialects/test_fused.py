"""Texts and pictures in one item, through every API that can say so, and by its official client."""

from __future__ import annotations

import re
import threading
from typing import Any

import cohere
import httpx
import numpy as np
import openai
import pytest

from tests import toy, toy_fused
from tests.serve.dialects.wire import answered, ask, assert_error, assert_near
from tests.server import Server
from tests.toy_fused import vector

PICTURE, OTHER = toy.picture(1, (16, 8)), toy.picture(2, (8, 24))
B64 = toy.b64(toy.png(PICTURE))
URI, OTHER_URI = (f"data:image/png;base64,{toy.b64(toy.png(each))}" for each in (PICTURE, OTHER))
BROKEN = toy.b64(b"\x89PNG but no picture")


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def picture(uri: str = URI) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": uri}}


def vectors(answer: Any) -> list[list[float]]:
    return [each["embedding"] for each in answer["data"]]


class TestOpenAI:
    PATH = "/v1/embeddings"

    def test_strings_objects_and_parts_agree(self, fused: Server) -> None:
        found = answered(
            fused,
            self.PATH,
            input=[
                "a red cat",
                {"text": "a red cat"},
                {"content": [text("a red cat")]},
                URI,
                {"image": B64},
                {"content": [picture()]},
                {"image": B64, "text": "a cat"},
                {"text": "a cat", "image": B64},
                {"content": [picture(), text("a cat")]},
            ],
        )
        both = vector(PICTURE, "a cat")
        expected = [*[vector("a red cat")] * 3, *[vector(PICTURE)] * 3, *[both] * 3]
        assert_near(vectors(found), expected)
        assert found["usage"]["prompt_tokens"] == sum(
            3 * toy_fused.tokens(*parts) for parts in (("a red cat",), (PICTURE,), (PICTURE, "a cat"))
        )

    def test_parts_stand_in_their_order(self, fused: Server) -> None:
        orders = [
            [picture(), text("a cat")],
            [text("a cat"), picture()],
            [text("the sun"), picture(), text("a cat"), picture(OTHER_URI)],
            [picture(), picture(OTHER_URI)],
        ]
        found = answered(fused, self.PATH, messages=[[{"role": "user", "content": each}] for each in orders])
        expected = [
            vector(PICTURE, "a cat"),
            vector("a cat", PICTURE),
            vector("the sun", PICTURE, "a cat", OTHER),
            vector(PICTURE, OTHER),
        ]
        assert_near(vectors(found), expected)

    def test_several_messages_are_one_item(self, fused: Server) -> None:
        messages = [{"role": "user", "content": [picture()]}, {"role": "user", "content": "a cat"}]
        assert_near(vectors(answered(fused, self.PATH, messages=messages)), [vector(PICTURE, "a cat")])

    def test_instructions(self, fused: Server) -> None:
        both = {"image": B64, "text": "a cat"}
        found = answered(fused, self.PATH, input=[both, "sun"], task="find it")
        assert_near(vectors(found), [vector(PICTURE, "a cat", task="find it"), vector("sun", task="find it")])
        found = answered(fused, self.PATH, input=[both, "sun"], input_type="document")
        assert_near(vectors(found), [vector(PICTURE, "a cat", task=None), vector("sun", task=None)])
        refused = ask(fused, self.PATH, input=[both], input_type="document", task="find it")
        assert refused.status_code == 400
        assert "'document' has no place for a task" in refused.json()["error"]["message"]

    def test_words_that_look_like_special_tokens(self, fused: Server) -> None:
        """They become unknown words in the toy."""
        found = answered(fused, self.PATH, input=["<end>", "<row>"])
        assert not np.allclose(vectors(found)[0], vector("<end>"))
        assert not np.allclose(vectors(found)[1], vector("<row>"))

    def test_a_broken_picture_is_named_and_harms_nobody_else(self, fused: Server) -> None:
        answers: list[httpx.Response] = []
        together = [
            threading.Thread(target=lambda: answers.append(ask(fused, self.PATH, input=[{"image": B64, "text": "a"}])))
            for _ in range(4)
        ]
        for thread in together:
            thread.start()
        refused = ask(fused, self.PATH, input=[{"image": B64, "text": "a"}, {"image": BROKEN, "text": "a"}])
        for thread in together:
            thread.join()
        assert refused.status_code == 400
        assert "fused item 2 of 2: a picture" in refused.json()["error"]["message"]
        for answer in answers:
            assert_near(vectors(answer.json()), [vector(PICTURE, "a")])

    def test_pictures_that_leave_no_room(self, fused: Server) -> None:
        refused = ask(fused, self.PATH, messages=[{"role": "user", "content": [picture(OTHER_URI)] * 12}])
        assert refused.status_code == 400
        assert "more than 48; send fewer or smaller pictures" in refused.json()["error"]["message"]

    def test_by_its_client(self, fused: Server) -> None:
        with openai.OpenAI(base_url=f"{fused.url}/v1", api_key="none", max_retries=0) as client:
            answer = client.embeddings.create(
                model="toy-fused",
                input="",
                extra_body={"input": [{"image": B64, "text": "a cat"}], "dimensions": 8},
            )
            row = toy_fused.row(PICTURE, "a cat")[:8]
            assert_near(answer.data[0].embedding, row / np.linalg.norm(row))
            messages = [{"role": "user", "content": [picture(), text("a cat")]}]
            found = client.post("/embeddings", body={"model": "m", "messages": messages}, cast_to=httpx.Response)
            assert_near(vectors(found.json()), [vector(PICTURE, "a cat")])
            with pytest.raises(openai.BadRequestError, match="none of the formats that can be read"):
                client.embeddings.create(model="m", input="", extra_body={"input": [{"image": BROKEN, "text": "a"}]})


class TestCohere:
    def test_inputs(self, fused: Server) -> None:
        found = answered(
            fused,
            "/v2/embed",
            model="any",
            input_type="search_document",
            inputs=[
                {"content": [picture(), text("a cat")]},
                {"content": [text("a cat")]},
                {"content": [picture()]},
            ],
        )
        expected = [vector(PICTURE, "a cat", task=None), vector("a cat", task=None), vector(PICTURE, task=None)]
        assert_near(found["embeddings"]["float"], expected)

    def test_by_its_client(self, fused: Server) -> None:
        inputs: Any = [{"content": [text("a cat"), picture()]}]
        with cohere.ClientV2("any key", base_url=fused.url) as client:
            answer = client.embed(model="any", input_type="search_query", inputs=inputs, embedding_types=["float"])
        assert_near(answer.embeddings.float_, [vector("a cat", PICTURE)])


class TestScores:
    def test_fused_items_on_both_sides(self, fused: Server) -> None:
        both = {"content": [picture(), text("a cat")]}
        found = answered(fused, "/score", queries=both, documents=[both, "a cat", {"content": [picture(OTHER_URI)]}])
        query = vector(PICTURE, "a cat")
        others = [vector(PICTURE, "a cat", task=None), vector("a cat", task=None), vector(OTHER, task=None)]
        assert_near([each["score"] for each in found["data"]], [float(query @ other) for other in others])


class TestWeaviate:
    def test_vectorize_takes_texts_and_pictures_apart(self, fused: Server) -> None:
        found = answered(fused, "/vectorize", texts=["a red cat"], images=[B64])
        assert_near(found["textVectors"], [vector("a red cat")])
        assert_near(found["imageVectors"], [vector(PICTURE)])

    def test_jinaai(self, fused: Server) -> None:
        found = answered(
            fused,
            "/v1/embeddings",
            embedding_type="float",
            input=[{"text": "a cat", "image": B64}, {"text": "a cat"}, {"image": B64}],
        )
        assert_near(vectors(found), [vector(PICTURE, "a cat"), vector("a cat"), vector(PICTURE)])

    def test_one_bad_picture_spoils_its_own_request_alone(self, fused: Server) -> None:
        assert_error(ask(fused, "/vectorize", images=[B64, BROKEN]), 422, "picture 2 of 2", "none of the formats")
        assert_near(answered(fused, "/vectorize", images=[B64])["imageVectors"], [vector(PICTURE)])

    def test_too_long_a_text_is_cut_and_counted(self, fused: Server) -> None:
        before = httpx.get(f"{fused.url}/meta", trust_env=False).json()["truncated"]["text"]
        found = answered(fused, "/vectorize", texts=["cat " * 100])
        most = toy_fused.SPEC.max_length - toy_fused.tokens("")
        assert_near(found["textVectors"], [vector("cat " * most)])
        assert httpx.get(f"{fused.url}/meta", trust_env=False).json()["truncated"]["text"] == before + 1


class TestTEI:
    def test_texts_and_their_tokens(self, fused: Server) -> None:
        found = httpx.post(f"{fused.url}/embed", json={"inputs": ["a cat"]}, trust_env=False).json()
        assert_near(found, [vector("a cat")])
        answer = httpx.post(f"{fused.url}/tokenize", json={"inputs": "a cat"}, trust_env=False)
        (tokens,) = answer.json()
        assert [token["text"] for token in tokens] == ["<start>", "help", ":", "<end>", "a", "cat", "<end>"]
        assert [token["special"] for token in tokens] == [True, False, False, True, False, False, True]


class TestMeta:
    def test_what_it_says(self, fused: Server) -> None:
        meta = httpx.get(f"{fused.url}/meta", trust_env=False).json()
        assert meta["modalities"] == ["text", "image", "fused", "video"]
        assert set(meta["execution"]["towers"]) == {"fused", "vision"}
        assert meta["inputs"]["text"]["prompts"]["query"]["task"] == "help"

    def test_metrics(self, fused: Server) -> None:
        answered(fused, "/v1/embeddings", input=[{"image": B64, "text": "a"}])
        metrics = httpx.get(f"{fused.url}/metrics", trust_env=False).text
        for label in ('queue_items{modality="fused"}', 'items_total{modality="fused",purpose="search"}'):
            assert f"multi2vec_{label}" in metrics
        # The vision tower's batches are pictures.
        for pictures in re.findall(r'multi2vec_inference_duration_seconds_count\{modality="image"\} (\S+)', metrics):
            assert float(pictures) > 0
        assert 'modality="vision"' not in metrics
