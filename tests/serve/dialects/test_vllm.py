"""vLLM's vectors of tokens and its tokenizer against the real server, and through mteb's clients."""

from __future__ import annotations

import base64
import time
from typing import Any

import numpy as np
import pytest
from mteb.models import OpenAIAPIRerankWrapper, OpenAIAPITokenEmbedWrapper

from tests import toy
from tests.serve import several
from tests.serve.dialects.samples import LONG, PICTURE, PICTURE_PART, TEXTS, URI, to_picture
from tests.serve.dialects.wire import answered, ask, assert_near, assert_openai_error, ids_of
from tests.serve.several import cosine
from tests.server import Server


def pooled(server: Server, **body: Any) -> list[Any]:
    return [each["data"] for each in answered(server, "/pooling", **body)["data"]]


class TestPooling:
    def test_a_vector_per_token(self, tokens: Server) -> None:
        body = answered(tokens, "/pooling", input=TEXTS, model="any", unknown=1, use_activation=True)
        assert set(body) == {"id", "object", "created", "model", "data", "usage"}
        assert (body["object"], body["model"]) == ("list", "toy-tokens")
        assert body["id"].startswith("pooling-")
        assert abs(body["created"] - time.time()) < 60
        assert [(each["index"], each["object"]) for each in body["data"]] == [(i, "pooling") for i in range(4)]
        for each, text in zip(body["data"], TEXTS, strict=True):
            assert_near(each["data"], several.token_vectors(text))
        assert body["usage"] == {"prompt_tokens": 16, "total_tokens": 16}

    @pytest.mark.parametrize(
        "body",
        [
            {"input": "a red cat"},
            {"input": ["a red cat"]},
            {"input": ids_of("a red cat")},
            {"input": [ids_of("a red cat")]},
            {"input": "a red cat", "task": "token_embed"},
            {"messages": [{"role": "user", "content": "a red cat"}]},
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a red cat"}]}]},
        ],
    )
    def test_forms_of_input(self, tokens: Server, body: dict[str, Any]) -> None:
        (found,) = pooled(tokens, **body, use_activation=True)
        assert_near(found, several.token_vectors("a red cat"))

    def test_base64(self, tokens: Server) -> None:
        (text,) = pooled(tokens, input="a red cat", encoding_format="base64")
        (floats,) = pooled(tokens, input="a red cat", encoding_format="float")
        assert_near(np.frombuffer(base64.b64decode(text), "<f4").reshape(-1, toy.DIMENSIONS), floats)
        # That server's model has its vectors as they are.
        assert_near(floats, toy.TEXT_WEIGHTS[ids_of("a red cat")][1:])

    def test_special_tokens_and_truncation(self, tokens: Server) -> None:
        asked = {"use_activation": True}
        (found,) = pooled(tokens, input="a red cat", add_special_tokens=False, **asked)
        # The first token has no vector.
        assert_near(found, several.token_vectors("red cat")[:-1])
        (found,) = pooled(tokens, input=LONG, truncate_prompt_tokens=5, truncation_side="left", **asked)
        assert_near(found, several.token_vectors("dog dog dog"))
        assert_openai_error(ask(tokens, "/pooling", input=LONG), 400, "22 tokens, more than 12")

    def test_dense_vectors(self, tokens: Server, server: Server) -> None:
        assert_near(pooled(server, input=TEXTS, task="embed"), [toy.text_vector(text) for text in TEXTS])
        assert_near(pooled(server, input=["sun", URI], task="embed")[1], toy.picture_vector(PICTURE))
        assert_near(pooled(tokens, input="sun", task="embed"), [toy.text_row("sun")])
        (found,) = pooled(tokens, input="sun", task="embed", dimensions=4, use_activation=True)
        assert_near(found, toy.text_row("sun")[:4] / np.linalg.norm(toy.text_row("sun")[:4]))

    def test_pictures(self, queries: Server) -> None:
        messages = [{"role": "user", "content": [PICTURE_PART]}]
        assert_near(pooled(queries, messages=messages)[0], several.query_vectors(PICTURE))
        assert_near(pooled(queries, input=[URI])[0], several.query_vectors(PICTURE))
        words = ("no vectors of single tokens of", '"embed"')
        assert_openai_error(ask(queries, "/pooling", input="sun"), 400, *words, "of texts")
        assert_openai_error(ask(queries, "/pooling", input=["sun", URI]), 400, *words)

    @pytest.mark.parametrize(
        ("body", "param", "words"),
        [
            ({}, "input", ("either input or messages", "looks like")),
            ({"input": "a", "messages": []}, "input", ("either input or messages",)),
            ({"input": []}, "input", ("input is an empty list",)),
            ({"input": ["a", 1]}, "input", ("input[1] is neither a text",)),
            ({"input": [[]]}, "input", ("input[0] is neither a text",)),
            ({"input": {"text": "a"}}, "input", ("input[0] is neither a text",)),
            ({"messages": []}, "messages", ("messages is no conversation",)),
            ({"messages": [{"role": "user"}]}, "messages", ("messages[0] is no message",)),
            ({"input": "a", "task": "classify"}, "task", ("'classify'",)),
            ({"input": "a", "encoding_format": "bytes"}, "encoding_format", ("'bytes'",)),
            ({"input": "a", "dimensions": 4}, None, ("dimensions are for dense vectors",)),
            ({"input": [1, 99]}, None, ("vocabulary of 19",)),
        ],
    )
    def test_errors(self, tokens: Server, body: dict[str, Any], param: str | None, words: tuple[str, ...]) -> None:
        assert_openai_error(ask(tokens, "/pooling", **body), 400, *words, param=param)

    def test_a_model_without_vectors_of_tokens(self, server: Server) -> None:
        assert_openai_error(ask(server, "/pooling", input="sun"), 400, "toy gives no vectors of single tokens of texts")


class TestTokens:
    def test_tokenize(self, server: Server) -> None:
        body = answered(server, "/tokenize", prompt="a red cat", model="any")
        assert body == {"count": 5, "max_model_len": 12, "tokens": ids_of("a red cat"), "token_strs": None}
        body = answered(server, "/tokenize", prompt="a red cat", add_special_tokens=False, return_token_strs=True)
        assert (body["tokens"], body["token_strs"]) == (ids_of("a red cat")[1:-1], ["a", "red", "cat"])
        assert answered(server, "/tokenize", prompt="")["tokens"] == ids_of("")
        # They are counted, not cut.
        assert answered(server, "/tokenize", prompt=LONG)["count"] == 22

    def test_conversations(self, server: Server) -> None:
        messages = [
            {"role": "system", "content": "a red"},
            {"role": "user", "content": [{"type": "text", "text": "cat"}]},
        ]
        assert answered(server, "/tokenize", messages=messages)["tokens"] == ids_of("a red cat")

    def test_detokenize(self, server: Server) -> None:
        assert answered(server, "/detokenize", tokens=ids_of("a red cat"), model="any") == {
            "prompt": "<s> a red cat </s>"
        }
        assert answered(server, "/detokenize", tokens=[]) == {"prompt": ""}

    def test_tokenize_of_others(self, server: Server) -> None:
        """Other bodies at the path are text-embeddings-inference's."""
        (found,) = answered(server, "/tokenize", inputs="cat")
        assert [each["id"] for each in found] == ids_of("cat")
        assert set(ask(server, "/tokenize").json()) == {"error", "error_type"}

    def test_errors(self, server: Server, pictures_only: Server) -> None:
        assert_openai_error(
            ask(server, "/tokenize", prompt="a", messages=[]), 400, "either prompt or messages", param="prompt"
        )
        assert_openai_error(ask(server, "/tokenize", prompt=["a"]), 400, "$.prompt", param="prompt")
        picture = [{"role": "user", "content": [PICTURE_PART]}]
        assert_openai_error(ask(server, "/tokenize", messages=picture), 400, "only texts have tokens")
        assert_openai_error(ask(server, "/detokenize"), 400, "`tokens`")
        assert_openai_error(ask(server, "/detokenize", tokens=[5, 99]), 400, "99", "vocabulary of 19")
        for path, body in (("/tokenize", {"prompt": "a"}), ("/detokenize", {"tokens": [1]})):
            assert_openai_error(ask(pictures_only, path, **body), 400, "takes no texts")


class TestMteb:
    """Its wrappers of OpenAI-compatible servers, unmodified."""

    def test_rerank(self, server: Server) -> None:
        wrapper = OpenAIAPIRerankWrapper(server.url, "toy")
        found = self.predicted(wrapper, {"text": ["a cat", "sun"]}, {"text": ["the dog", "a red sun"]})
        assert_near(found, [cosine("a cat", "the dog"), cosine("sun", "a red sun")])

    def test_rerank_pictures(self, server: Server) -> None:
        wrapper = OpenAIAPIRerankWrapper(server.url, "toy")
        found = self.predicted(wrapper, {"text": ["sun", ""]}, {"image": [PICTURE, PICTURE]})
        assert_near(found, [to_picture("sun"), to_picture("")])

    @pytest.mark.parametrize("use_chat_template", [True, False])
    def test_vectors_of_tokens(self, tokens: Server, use_chat_template: bool) -> None:
        wrapper = OpenAIAPITokenEmbedWrapper(tokens.url, "toy-tokens", use_chat_template=use_chat_template)
        found = self.encoded(wrapper, text=["a red cat", "sun"])
        for row, text in zip(found, ("a red cat", "sun"), strict=True):
            assert_near(row, toy.TEXT_WEIGHTS[ids_of(text)][1:])

    def test_vectors_of_pictures(self, queries: Server) -> None:
        (found,) = self.encoded(OpenAIAPITokenEmbedWrapper(queries.url, "toy-queries"), image=[PICTURE])
        assert_near(found, several.query_vectors(PICTURE))

    def predicted(self, wrapper: Any, first: Any, second: Any) -> Any:
        return wrapper.predict(
            [first], [second], task_metadata=None, hf_split="", hf_subset="", show_progress_bar=False
        )

    def encoded(self, wrapper: Any, **columns: list[Any]) -> Any:
        metadata: Any = type("Metadata", (), {"name": "toy", "type": "Retrieval", "modalities": ["text"]})()
        return wrapper._encode([columns], task_metadata=metadata, hf_split="", hf_subset="", show_progress_bar=False)
