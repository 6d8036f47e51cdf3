"""OpenAI's own client, LangChain's and mteb's, unmodified, against the real server; and Embedding Atlas' requests."""

from __future__ import annotations

import asyncio
import functools
import json
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
from mteb.models import OpenAIAPIEncodeWrapper

from tests import pictures, toy
from tests.serve.dialects.wire import assert_near
from tests.server import Server

URI = f"data:image/png;base64,{toy.b64(toy.png(toy.picture(1)))}"


@pytest.fixture
def client(server: Server) -> Any:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as running:
        yield running


class TestOpenAI:
    def test_vectors(self, client: openai.OpenAI) -> None:
        """It asks for base64 when nothing else is said."""
        answer = client.embeddings.create(model="text-embedding-3-small", input=["sun", "a red cat"])
        assert_near([each.embedding for each in answer.data], [toy.text_vector("sun"), toy.text_vector("a red cat")])
        assert (answer.model, answer.usage.prompt_tokens, answer.usage.total_tokens) == ("toy", 8, 8)
        floats = client.embeddings.create(model="toy", input="sun", encoding_format="float")
        assert_near(floats.data[0].embedding, answer.data[0].embedding)

    def test_pictures_and_what_the_client_does_not_know(self, client: openai.OpenAI) -> None:
        answer = client.embeddings.create(model="toy", input=["sun", URI], extra_body={"truncate_prompt_tokens": -1})
        assert_near(answer.data[1].embedding, toy.picture_vector(toy.picture(1)))

    def test_models(self, client: openai.OpenAI) -> None:
        assert [model.id for model in client.models.list()] == ["toy"]
        assert client.models.retrieve("toy").owned_by == "multi2vec-openvino"

    def test_errors(self, client: openai.OpenAI) -> None:
        with pytest.raises(openai.BadRequestError, match="does not support Matryoshka") as caught:
            client.embeddings.create(model="toy", input="sun", dimensions=4)
        assert caught.value.type == "invalid_request_error"
        assert caught.value.request_id
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt")

    def test_many_at_once(self, server: Server) -> None:
        texts = [f"{colour} {what}" for colour in ("red", "green", "blue") for what in ("cat", "dog", "sea", "sun")]

        async def main() -> list[Any]:
            async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
                calls = (client.embeddings.create(model="toy", input=text) for text in texts)
                return [answer.data[0].embedding for answer in await asyncio.gather(*calls)]

        assert_near(asyncio.run(main()), [toy.text_vector(text) for text in texts])


class TestLangChain:
    @pytest.fixture
    def langchain(self, server: Server) -> Iterator[Callable[..., Any]]:
        with warnings.catch_warnings():
            # LangChain's own.
            warnings.simplefilter("ignore")
            from langchain_openai import OpenAIEmbeddings
        with httpx.Client(trust_env=False) as http:
            yield functools.partial(
                OpenAIEmbeddings, model="toy", base_url=f"{server.url}/v1", api_key="none", http_client=http
            )

    def test_vectors(self, langchain: Callable[..., Any]) -> None:
        embeddings = langchain(check_embedding_ctx_length=False)
        assert_near(embeddings.embed_query("a red cat"), toy.text_vector("a red cat"))
        assert_near(embeddings.embed_documents(["sun", "cat"]), [toy.text_vector("sun"), toy.text_vector("cat")])


class TestEmbeddingAtlas:
    """What Apple's Embedding Atlas sends with the embedder "litellm" and a model `openai/…`, as its version 0.26.0 does
    through LiteLLM 1.110.2 (`embedding_atlas/embedding.py`): texts in batches, and pictures one by one as data URIs of
    their own type. It names no encoding, and reads plain numbers in the order of the inputs."""

    def embedded(self, server: Server, *inputs: str) -> list[list[float]]:
        body = json.dumps({"model": "toy", "input": inputs}, separators=(",", ":"))
        headers = {"content-type": "application/json", "authorization": "Bearer none", "accept": "application/json"}
        answer = httpx.post(f"{server.url}/v1/embeddings", content=body, headers=headers, trust_env=False)
        assert answer.status_code == 200, answer.text
        return [each["embedding"] for each in answer.json()["data"]]

    def test_a_batch_of_texts(self, server: Server) -> None:
        texts = ["a red cat", "sun", "the dog", "sun"]
        assert_near(self.embedded(server, *texts), [toy.text_vector(text) for text in texts])

    @pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
    def test_a_picture(self, server: Server, form: str) -> None:
        file = toy.b64(pictures.encode(toy.picture(1), form))
        found = self.embedded(server, f"data:image/{form.lower()};base64,{file}")
        assert_near(found, [toy.picture_vector(toy.picture(1))])


class TestMteb:
    def wrapper(self, server: Server, **settings: Any) -> OpenAIAPIEncodeWrapper:
        return OpenAIAPIEncodeWrapper(server.url, "toy", **settings)

    @pytest.mark.parametrize("use_chat_template", [True, False])
    def test_texts(self, server: Server, use_chat_template: bool) -> None:
        """The longest text of the model is asked of `/v1/models`, and longer ones are cut."""
        wrapper = self.wrapper(server, use_chat_template=use_chat_template)
        assert wrapper.max_length == toy.MAX_LENGTH
        long = " ".join(["cat"] * 20)
        found = self.encoded(wrapper, text=["sun", "a red cat", long])
        assert_near(found, [toy.text_vector(text) for text in ("sun", "a red cat", " ".join(["cat"] * 10))])

    def test_pictures(self, server: Server) -> None:
        given = [toy.picture(1), toy.picture(2)]
        found = self.encoded(self.wrapper(server), image=given)
        assert_near(found, [toy.picture_vector(picture) for picture in given])

    def encoded(self, wrapper: OpenAIAPIEncodeWrapper, **columns: list[Any]) -> Any:
        return wrapper.encode(
            [columns],
            task_metadata=None,
            hf_split="",
            hf_subset="",
            show_progress_bar=False,  # type: ignore[arg-type]
        )
