"""vLLM's scores and reranking against the real server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import toy
from tests.serve import several
from tests.serve.dialects.samples import CATS, DOGS, LONG, PICTURE, PICTURE_PART, TEXTS, URI, to_picture
from tests.serve.dialects.wire import answered, ask, assert_near, assert_openai_error
from tests.serve.several import cosine, max_sim
from tests.server import Server, serving

PAIRS = [("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2")]
RERANK_PATHS = ["/rerank", "/v1/rerank", "/v2/rerank"]


def scores(server: Server, **body: Any) -> list[float]:
    return [each["score"] for each in answered(server, "/score", **body)["data"]]


def relevance(server: Server, path: str = "/rerank", **body: Any) -> list[float]:
    """In the order of the documents."""
    results = answered(server, path, **body)["results"]
    return [each["relevance_score"] for each in sorted(results, key=lambda each: each["index"])]


def assert_error(
    answer: httpx.Response, status: int, *words: str, param: str | None = None, is_v2: bool = False
) -> None:
    """At version 2's path Cohere's sentence stands beside vLLM's object."""
    assert_openai_error(answer, status, *words, param=param, beside=["message"] if is_v2 else [])
    if is_v2:
        assert answer.json()["message"] == answer.json()["error"]["message"]


def content(*parts: Any) -> dict[str, Any]:
    return {"content": list(parts)}


class TestScore:
    @pytest.mark.parametrize("path", ["/score", "/v1/score", "/v1/score/"])
    @pytest.mark.parametrize(("first", "second"), PAIRS)
    def test_the_answer(self, server: Server, path: str, first: str, second: str) -> None:
        body = answered(server, path, **{first: "a cat", second: TEXTS}, model="any", unknown=1)
        assert set(body) == {"id", "object", "created", "model", "data", "usage"}
        assert (body["object"], body["model"]) == ("list", "toy")
        assert body["id"].startswith("score-")
        assert abs(body["created"] - time.time()) < 60
        assert [(each["index"], each["object"]) for each in body["data"]] == [(i, "score") for i in range(4)]
        assert_near([each["score"] for each in body["data"]], [cosine("a cat", text) for text in TEXTS])
        assert body["usage"] == {"prompt_tokens": 20, "total_tokens": 20}

    def test_one_with_one_and_several_with_several(self, server: Server) -> None:
        assert_near(scores(server, text_1="sun", text_2="sun"), [1])
        assert_near(scores(server, text_1=["sun"], text_2=["cat"]), [cosine("sun", "cat")])
        expected = [cosine(*pair) for pair in zip(TEXTS, TEXTS[::-1], strict=True)]
        assert_near(scores(server, text_1=TEXTS, text_2=TEXTS[::-1]), expected)

    def test_forms_of_items(self, server: Server) -> None:
        text = {"type": "text", "text": "sun"}
        forms = ["sun", {"text": "sun"}, {"content": "sun"}, content(text), text]
        assert_near(scores(server, queries="a cat", documents=forms), [cosine("a cat", "sun")] * 5)
        for form in forms:
            assert_near(scores(server, queries=form, documents=form), [1])
        lines = content(text, {"type": "text", "text": "cat"})
        assert_near(scores(server, queries=lines, documents="sun cat"), [1])

    def test_pictures(self, server: Server) -> None:
        forms = [content(PICTURE_PART), URI, PICTURE_PART]
        assert_near(scores(server, queries="sun", items=forms), [to_picture("sun")] * 3)
        assert_near(scores(server, queries=content(PICTURE_PART), items=["sun", URI]), [to_picture("sun"), 1])

    def test_several_vectors_of_a_picture(self, queries: Server) -> None:
        expected = float((several.query_vectors(PICTURE) @ toy.text_vector("sun")).max())
        assert_near(scores(queries, text_1="sun", text_2=URI), [expected])
        assert_near(scores(queries, text_1=URI, text_2=["sun", URI]), [expected, 1])

    def test_the_model_s_prompts(self, prompted: Server) -> None:
        assert_near(scores(prompted, queries="a cat", documents="sun"), [cosine("one a cat", "two sun")])

    def test_vectors_of_tokens(self, tokens: Server) -> None:
        assert_near(scores(tokens, queries="a cat", documents=TEXTS), [cosine("a cat", text) for text in TEXTS])
        found = scores(tokens, queries="a cat", documents=TEXTS, output=several.LATE)
        assert_near(found, [max_sim("a cat", text) for text in TEXTS])
        assert_error(ask(tokens, "/score", queries="a", documents="b", output="sparse"), 400, "'sparse'", "dense, late")

    @pytest.mark.parametrize(
        ("more", "kept"),
        [
            ({"truncate_prompt_tokens": -1}, CATS),
            ({"truncate_prompt_tokens": toy.MAX_LENGTH}, CATS),
            ({"truncate_prompt_tokens": 5}, "cat cat cat"),
            ({"truncate_prompt_tokens": 5, "truncation_side": "left"}, "dog dog dog"),
            ({"truncation_side": "right"}, CATS),
            ({"truncation_side": "left"}, DOGS),
        ],
    )
    def test_truncation(self, server: Server, more: dict[str, Any], kept: str) -> None:
        assert_near(scores(server, queries="sun", documents=LONG, **more), [cosine("sun", kept)])
        assert_near(relevance(server, query=LONG, documents=["sun"], **more), [cosine("sun", kept)])

    def test_too_long_texts_are_refused_unless_a_setting_says_otherwise(self, server: Server, toy_folder: Path) -> None:
        for truncate in ({}, {"truncate_prompt_tokens": None, "truncation_side": None}):
            assert_error(ask(server, "/score", queries="a", documents=["b", LONG], **truncate), 400, "22 tokens", "12")
        with serving(toy_folder, PRECISION="f32", AUTO_TRUNCATE="true") as running:
            assert_near(scores(running, queries="sun", documents=LONG), [cosine("sun", CATS)])

    @pytest.mark.parametrize("path", ["/score", *RERANK_PATHS, "/pooling"])
    @pytest.mark.parametrize("most", [13, -2, 0])
    def test_lengths_that_the_model_does_not_have(self, server: Server, path: str, most: int) -> None:
        body = {"queries": "a", "documents": "b"} if path == "/score" else {"query": "a", "documents": "b"}
        body = {"input": "a", "task": "embed"} if path == "/pooling" else body
        answer = ask(server, path, **body, truncate_prompt_tokens=most)
        param = "truncate_prompt_tokens" if most else None
        assert_error(answer, 400, f"is {most}", "12", param=param, is_v2=path == "/v2/rerank")


class TestScoreErrors:
    @pytest.mark.parametrize(
        "sides",
        [
            {},
            {"queries": "a"},
            {"text_1": "a", "documents": "b"},
            {"queries": "a", "documents": "b", "items": "c"},
            {"data_1": "a", "data_2": None},
        ],
    )
    def test_sides(self, server: Server, sides: dict[str, Any]) -> None:
        has = " and ".join(sorted(key for key, value in sides.items() if value)) or "none"
        assert_error(ask(server, "/score", **sides), 400, "text_1 with text_2", f"this one has {has}", "looks like")

    @pytest.mark.parametrize("first", [["a", "b"], ["a"] * 4])
    def test_numbers(self, server: Server, first: list[str]) -> None:
        answer = ask(server, "/score", text_1=first, text_2=["b"] * 3)
        assert_error(answer, 400, f"{len(first)} queries and 3 documents", "one query for all")

    def test_items(self, server: Server) -> None:
        for key in ("queries", "documents"):
            body = {"queries": "a", "documents": "b"}
            answer = ask(server, "/score", **{**body, key: []})
            assert_error(answer, 400, f"{key} is an empty list", param=key)
            answer = ask(server, "/score", **{**body, key: ["a", 1]})
            assert_error(answer, 400, f"{key}[1] is neither a text nor an object", param=key)
            answer = ask(server, "/score", **{**body, key: content({"type": "smell"})})
            assert_error(answer, 400, f"{key}.content[0] is no content part", param=key)
        mixed = content({"type": "text", "text": "sun"}, PICTURE_PART)
        assert_error(ask(server, "/score", queries="a", documents=mixed), 400, "one text or of one picture")

    def test_a_side_that_is_not_there(self, server: Server) -> None:
        answer = ask(server, "/score", queries="a", documents="b", truncation_side="up")
        assert_error(answer, 400, "'up'", param="truncation_side")


class TestRerank:
    @pytest.mark.parametrize("path", RERANK_PATHS)
    def test_the_answer(self, server: Server, path: str) -> None:
        body = answered(server, path, query="a cat", documents=TEXTS, model="any", unknown=1)
        keys = {"id", "model", "usage", "results"}
        assert set(body) == (keys | {"meta"} if path == "/v2/rerank" else keys)
        assert body["id"].startswith("rerank-")
        assert body["model"] == "toy"
        assert body["usage"] == {"prompt_tokens": 20, "total_tokens": 20}
        values = [cosine("a cat", text) for text in TEXTS]
        # Of equal ones the first.
        order = sorted(range(4), key=lambda place: (-round(values[place], 5), place))
        assert [each["index"] for each in body["results"]] == order
        assert_near([each["relevance_score"] for each in body["results"]], [values[place] for place in order])
        documents = [{"text": TEXTS[place], "multi_modal": None} for place in order]
        assert [each["document"] for each in body["results"]] == documents

    @pytest.mark.parametrize(("top_n", "count"), [(None, 4), (0, 4), (-1, 4), (1, 1), (3, 3), (9, 4)])
    def test_the_best_of_them(self, server: Server, top_n: int | None, count: int) -> None:
        whole = answered(server, "/rerank", query="a cat", documents=TEXTS)["results"]
        assert answered(server, "/rerank", query="a cat", documents=TEXTS, top_n=top_n)["results"] == whole[:count]

    def test_forms_of_items(self, server: Server) -> None:
        text = {"type": "text", "text": "sun"}
        forms = ["sun", {"text": "sun"}, {"content": "sun"}, content(text), text]
        results = answered(server, "/rerank", query={"text": "a cat"}, documents=forms)["results"]
        assert_near([each["relevance_score"] for each in results], [cosine("a cat", "sun")] * 5)
        as_text, as_parts = {"text": "sun", "multi_modal": None}, {"text": None, "multi_modal": [text]}
        shown = {each["index"]: each["document"] for each in results}
        assert [shown[index] for index in range(4)] == [as_text, as_text, as_text, as_parts]
        assert_near(relevance(server, query="sun", documents="sun"), [1])

    def test_pictures(self, server: Server, queries: Server) -> None:
        documents = [content(PICTURE_PART), "cat"]
        assert_near(relevance(server, query="sun", documents=documents), [to_picture("sun"), cosine("sun", "cat")])
        assert_near(relevance(server, query=content(PICTURE_PART), documents=["sun"]), [to_picture("sun")])
        (result,) = answered(server, "/rerank", query="sun", documents=documents[:1])["results"]
        assert result["document"] == {"text": None, "multi_modal": [PICTURE_PART]}
        expected = float((several.query_vectors(PICTURE) @ toy.text_vector("sun")).max())
        assert_near(relevance(queries, query="sun", documents=documents), [expected, cosine("sun", "cat")])

    def test_prompts_and_vectors_of_tokens(self, prompted: Server, tokens: Server) -> None:
        assert_near(relevance(prompted, query="a cat", documents=["sun"]), [cosine("one a cat", "two sun")])
        found = relevance(tokens, query="a cat", documents=TEXTS, output=several.LATE)
        assert_near(found, [max_sim("a cat", text) for text in TEXTS])

    @pytest.mark.parametrize("path", RERANK_PATHS)
    @pytest.mark.parametrize(("most", "kept"), [(5, "cat cat cat"), (toy.MAX_LENGTH, CATS), (4096, CATS)])
    def test_tokens_of_a_document(self, server: Server, path: str, most: int, kept: str) -> None:
        found = relevance(server, path, query="sun", documents=[LONG], max_tokens_per_doc=most)
        assert_near(found, [cosine("sun", kept)])
        found = relevance(server, path, query=LONG, documents=["sun"], max_tokens_per_query=most)
        assert_near(found, [cosine("sun", kept)])

    def test_tokens_of_a_document_with_other_wishes(self, server: Server) -> None:
        asked = {"query": "sun", "documents": [LONG], "truncation_side": "left"}
        assert_near(relevance(server, **asked, max_tokens_per_doc=5), [cosine("sun", "dog dog dog")])
        found = relevance(server, **asked, max_tokens_per_doc=5, truncate_prompt_tokens=4)
        assert_near(found, [cosine("sun", "dog dog")])

    def test_too_long_texts(self, server: Server) -> None:
        """Cohere's clients expect that they are cut, vLLM's that they are refused."""
        for path in ("/rerank", "/v1/rerank"):
            assert_error(ask(server, path, query="sun", documents=[LONG]), 400, "22 tokens, more than 12")
            assert_error(ask(server, path, query=LONG, documents=["a"], max_tokens_per_doc=5), 400, "22 tokens")
        assert_near(relevance(server, "/v2/rerank", query="sun", documents=[LONG]), [cosine("sun", CATS)])

    @pytest.mark.parametrize("path", RERANK_PATHS)
    @pytest.mark.parametrize(
        ("body", "param", "words"),
        [
            ({}, "query", ("query is missing", "looks like")),
            ({"query": "a"}, "documents", ("documents is missing",)),
            ({"query": 1, "documents": ["b"]}, "query", ("query is neither a text",)),
            ({"query": ["a"], "documents": ["b"]}, "query", ("query is neither a text",)),
            ({"query": "a", "documents": []}, "documents", ("documents is an empty list",)),
            ({"query": "a", "documents": ["b", {}]}, "documents", ("documents[1] is neither",)),
            ({"query": "a", "documents": ["b"], "top_n": "1"}, "top_n", ("$.top_n",)),
            ({"query": "a", "documents": ["b"], "max_tokens_per_doc": -1}, "max_tokens_per_doc", ("at least 0",)),
            ({"query": "a", "documents": ["b"], "max_tokens_per_query": 1}, None, ("it can be from 3 to 12",)),
        ],
    )
    def test_errors(
        self, server: Server, path: str, body: dict[str, Any], param: str | None, words: tuple[str, ...]
    ) -> None:
        assert_error(ask(server, path, **body), 400, *words, param=param, is_v2=path == "/v2/rerank")

    def test_whose_a_body_is(self, server: Server) -> None:
        """The three APIs at the path answer, and tell errors, each in its own shape."""
        asked = {"query": "sun", "documents": ["sun"]}
        assert set(answered(server, "/rerank", **asked)) == {"id", "model", "usage", "results"}
        assert set(answered(server, "/rerank", **asked, property="")) == {"query", "scores"}
        assert [set(each) for each in answered(server, "/rerank", query="sun", texts=["sun"])] == [{"index", "score"}]
        assert set(ask(server, "/rerank", property="").json()) == {"error"}
        assert isinstance(ask(server, "/rerank", property="").json()["error"], str)
        assert set(ask(server, "/rerank", texts=["sun"]).json()) == {"error", "error_type"}
        assert_error(ask(server, "/rerank", property=None, texts=None), 400, "query is missing")
