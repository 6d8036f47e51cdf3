"""Cohere's own Python client, against the real server; and the requests of LangChain's classes for Cohere."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import cohere
import httpx
import numpy as np
import pytest

from tests import toy
from tests.serve.dialects.wire import assert_near
from tests.serve.several import cosine
from tests.server import Server

TYPES = ["float", "int8", "uint8", "binary", "ubinary", "base64"]
URI = f"data:image/png;base64,{toy.b64(toy.png(toy.picture(1)))}"
TEXTS = ["the dog", "a red cat", "sun", "the dog"]
# More than the client sends at a time.
MANY = [f"{'cat' if index % 2 else 'dog'} {'red ' * (index % 5)}" for index in range(100)]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


class TestVersion2:
    @pytest.fixture
    def client(self, server: Server) -> Iterator[Any]:
        with cohere.ClientV2("any key", base_url=server.url) as client:
            yield client

    def test_texts_in_all_types(self, client: Any) -> None:
        asked = {"model": "toy", "input_type": "search_document", "embedding_types": TYPES}
        answer = client.embed(texts=["a red cat", "sun"], **asked)
        found = answer.embeddings
        assert_near(found.float_, [toy.text_vector("a red cat"), toy.text_vector("sun")])
        rows = np.float32(found.float_)
        np.testing.assert_array_equal(found.int8, np.clip(np.rint(rows * 127), -127, 127))
        np.testing.assert_array_equal(found.uint8, np.int32(found.int8) + 128)
        np.testing.assert_array_equal(found.ubinary, np.packbits(rows >= 0, axis=1))
        np.testing.assert_array_equal(found.binary, np.int32(found.ubinary) - 128)
        np.testing.assert_array_equal([np.frombuffer(base64.b64decode(each), "<f4") for each in found.base64], rows)
        assert (answer.response_type, answer.texts) == ("embeddings_by_type", ["a red cat", "sun"])
        assert (answer.meta.api_version.version, answer.meta.billed_units.input_tokens) == ("2", 8)

    def test_pictures_and_inputs(self, client: Any) -> None:
        picture = toy.picture_vector(toy.picture(1))
        answer = client.embed(model="toy", input_type="image", embedding_types=["float"], images=[URI])
        assert_near(answer.embeddings.float_, [picture])
        assert [(each.width, each.format) for each in answer.images] == [(toy.SIDE, "png")]
        assert answer.meta.billed_units.images == 1
        inputs = [
            {"content": [{"type": "text", "text": "sun"}]},
            {"content": [{"type": "image_url", "image_url": {"url": URI}}]},
        ]
        asked = {"model": "toy", "input_type": "search_document", "embedding_types": ["float"]}
        answer = client.embed(**asked, inputs=inputs, max_tokens=10, output_dimension=toy.DIMENSIONS, truncate="END")
        assert_near(answer.embeddings.float_, [toy.text_vector("sun"), picture])

    def test_an_error_has_our_sentence(self, client: Any) -> None:
        with pytest.raises(cohere.BadRequestError) as caught:
            client.embed(model="toy", input_type="search_query", texts=["sun " * 20], truncate="NONE")
        assert caught.value.status_code == 400
        assert caught.value.body == {"message": "a text has 22 tokens, more than 12; shorten it"}

    def test_rerank(self, client: Any) -> None:
        answer = client.rerank(model="toy", query="a cat", documents=TEXTS, top_n=2, max_tokens_per_doc=4096)
        values = [cosine("a cat", text) for text in TEXTS]
        order = sorted(range(4), key=lambda place: (-round(values[place], 5), place))[:2]
        assert [each.index for each in answer.results] == order
        assert_near([each.relevance_score for each in answer.results], [values[place] for place in order])
        assert answer.id.startswith("rerank-")
        assert (answer.meta.api_version.version, answer.meta.billed_units.search_units) == ("2", 1)
        # Its classes take any answer; these hold it against their own types.
        type(answer).model_validate(answer.model_dump(), strict=True)

    def test_rerank_nothing(self, client: Any) -> None:
        with pytest.raises(cohere.BadRequestError) as caught:
            client.rerank(model="toy", query="a cat", documents=[])
        assert caught.value.body["message"].startswith("documents is an empty list")


class TestVersion1:
    @pytest.fixture
    def client(self, server: Server) -> Iterator[Any]:
        with cohere.Client("any key", base_url=server.url) as client:
            yield client

    def test_floats_in_several_requests(self, client: Any) -> None:
        answer = client.embed(texts=MANY, model="toy", input_type="search_document")
        assert answer.response_type == "embeddings_floats"
        assert answer.texts == MANY
        assert_near(answer.embeddings, [toy.text_vector(text) for text in MANY])
        assert answer.meta.api_version.version == "1"
        assert answer.meta.billed_units.input_tokens == sum(len(text.split()) + 2 for text in MANY)

    # The client uses pydantic in ways that are going out of use.
    @pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
    def test_types_in_several_requests(self, client: Any) -> None:
        answer = client.embed(texts=MANY, embedding_types=["float", "int8", "base64"])
        assert answer.response_type == "embeddings_by_type"
        assert_near(answer.embeddings.float_, [toy.text_vector(text) for text in MANY])
        assert len(answer.embeddings.int8) == len(answer.embeddings.base64) == len(MANY)
        assert answer.embeddings.ubinary is None

    def test_a_picture(self, client: Any) -> None:
        answer = client.embed(images=[URI], input_type="image")
        assert_near(answer.embeddings, [toy.picture_vector(toy.picture(1))])

    def test_an_error_has_our_sentence(self, client: Any) -> None:
        with pytest.raises(cohere.BadRequestError) as caught:
            client.embed(texts=["sun"], embedding_types=["int4"])
        assert "embedding_types has 'int4'; it can have float, int8" in caught.value.body["message"]


class TestLangChain:
    """What `CohereEmbeddings` and `CohereRerank` of langchain-cohere 0.6.0 send. All its versions want a client older
    than 6.0, so that it cannot be installed beside ours."""

    def ask(self, server: Server, path: str, **body: Any) -> Any:
        answer = httpx.post(server.url + path, json=body, timeout=30, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    @pytest.mark.parametrize("input_type", ["search_query", "search_document"])
    def test_embeddings(self, server: Server, input_type: str) -> None:
        asked = {"model": "toy", "input_type": input_type, "embedding_types": ["float"], "truncate": None}
        texts = ["a red cat", "sun"]
        found = self.ask(server, "/v1/embed", texts=texts, **asked)
        assert found["response_type"] == "embeddings_by_type"
        assert_near(found["embeddings"]["float"], [toy.text_vector(text) for text in texts])

    @pytest.mark.parametrize("most", [None, 100])
    def test_rerank(self, server: Server, most: int | None) -> None:
        documents = ["the dog", "a cat", "sun"]
        asked = {"model": "toy", "query": "a cat", "documents": documents, "top_n": 2, "max_tokens_per_doc": most}
        first, second = self.ask(server, "/v2/rerank", **asked)["results"]
        assert first["index"] == 1
        for each in (first, second):
            assert each["relevance_score"] == pytest.approx(cosine("a cat", documents[each["index"]]), abs=1e-5)
