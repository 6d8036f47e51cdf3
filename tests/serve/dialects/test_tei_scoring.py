"""What text-embeddings-inference compares texts with, against the real server and through huggingface_hub's client."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from huggingface_hub import InferenceClient

from tests import toy
from tests.serve.dialects.wire import answered, ask, assert_near, assert_tei_error
from tests.serve.several import cosine
from tests.server import Server, serving

TEXTS = ["the dog", "a red cat", "sun", "the dog"]
LONG = " ".join(["cat"] * 10 + ["dog"] * 10)
CATS, DOGS = " ".join(["cat"] * 10), " ".join(["dog"] * 10)
URI = f"data:image/png;base64,{toy.b64(toy.png(toy.picture(1)))}"
SIMILARITY: dict[str, Any] = {"inputs": {"source_sentence": "a", "sentences": ["b"]}}
RERANK: dict[str, Any] = {"query": "a", "texts": ["b"]}


@pytest.fixture(scope="module")
def prompted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A model with prompts for queries and passages, that refuses too long texts."""
    folder = toy.write_texts(tmp_path_factory.mktemp("texts"), text=replace(toy.TEXT, prompts=toy.PROMPTS))
    with serving(folder, PRECISION="f32", AUTO_TRUNCATE="false") as running:
        yield running


def similar(server: Server, source: str, sentences: list[str], **parameters: Any) -> Any:
    inputs = {"source_sentence": source, "sentences": sentences}
    return answered(server, "/similarity", inputs=inputs, parameters=parameters)


class TestSimilarity:
    @pytest.mark.parametrize("path", ["/similarity", "/similarity/", "/"])
    def test_the_answer_is_a_list_of_numbers(self, server: Server, path: str) -> None:
        answer = ask(server, path, inputs={"source_sentence": "a cat", "sentences": TEXTS}, unknown=1)
        assert answer.status_code == 200
        assert_near(answer.json(), [cosine("a cat", text) for text in TEXTS])
        assert answer.headers["x-compute-tokens"] == str(4 + 4 + 5 + 3 + 4)
        assert answer.headers["x-compute-characters"] == str(len("a cat" + "".join(TEXTS)))
        assert answer.headers["x-compute-type"] == "cpu"
        steps = [int(answer.headers[f"x-{step}-time"]) for step in ("tokenization", "queue", "inference")]
        assert max(steps) <= int(answer.headers["x-compute-time"]) == int(answer.headers["x-total-time"])

    def test_nulls(self, server: Server) -> None:
        nulls = dict.fromkeys(("truncate", "truncation_direction", "prompt_name"))
        assert_near(similar(server, "sun", ["sun", ""], **nulls), [1, cosine("sun", "")])
        assert_near(answered(server, "/similarity", **SIMILARITY, parameters=None), [cosine("a", "b")])

    def test_truncation(self, server: Server, prompted: Server) -> None:
        assert_near(similar(server, LONG, ["sun"]), [cosine(CATS, "sun")])
        for side, kept in (("Left", DOGS), ("right", CATS), ("Right", CATS), ("left", DOGS)):
            found = similar(prompted, "sun", [LONG], truncate=True, truncation_direction=side)
            assert_near(found, [cosine("sun", kept)])
        inputs = {"source_sentence": LONG, "sentences": ["sun"]}
        for answer in (
            ask(server, "/similarity", inputs=inputs, parameters={"truncate": False}),
            ask(prompted, "/similarity", inputs=inputs),
        ):
            assert_tei_error(answer, 422, "Validation", "22 tokens, more than 12")

    def test_one_prompt_for_all(self, prompted: Server) -> None:
        assert_near(similar(prompted, "a cat", ["sun"]), [cosine("a cat", "sun")])
        assert_near(similar(prompted, "a cat", ["sun"], prompt_name="query"), [cosine("one a cat", "one sun")])
        answer = ask(prompted, "/similarity", **SIMILARITY, parameters={"prompt_name": "summary"})
        assert_tei_error(answer, 422, "Validation", "'summary'", "query")

    def test_pictures(self, server: Server) -> None:
        assert_near(similar(server, "sun", [URI]), [toy.text_vector("sun") @ toy.picture_vector(toy.picture(1))])

    def test_huggingface_hub(self, server: Server) -> None:
        expected = [cosine("a cat", text) for text in TEXTS]
        assert_near(InferenceClient(server.url).sentence_similarity("a cat", TEXTS), expected)
        assert_near(InferenceClient().sentence_similarity("a cat", TEXTS, model=server.url + "/similarity"), expected)


class TestRerank:
    def test_the_best_first(self, server: Server) -> None:
        answer = ask(server, "/rerank", query="a cat", texts=TEXTS, unknown=1)
        assert answer.status_code == 200
        ranks = answer.json()
        assert [set(each) for each in ranks] == [{"index", "score"}] * 4
        values = [cosine("a cat", text) for text in TEXTS]
        # Of equal ones the first.
        order = sorted(range(4), key=lambda place: (-round(values[place], 5), place))
        assert [each["index"] for each in ranks] == order
        assert_near([each["score"] for each in ranks], [values[place] for place in order])
        assert answer.headers["x-compute-tokens"] == "20"

    @pytest.mark.parametrize("raw_scores", [None, True, False])
    def test_with_their_texts(self, server: Server, raw_scores: bool | None) -> None:
        ranks = answered(server, "/rerank", query="a cat", texts=TEXTS, return_text=True, raw_scores=raw_scores)
        assert [each["text"] for each in ranks] == [TEXTS[each["index"]] for each in ranks]
        assert_near([each["score"] for each in ranks], [cosine("a cat", each["text"]) for each in ranks])

    def test_the_model_s_prompts(self, prompted: Server) -> None:
        (rank,) = answered(prompted, "/rerank", query="a cat", texts=["sun"])
        assert_near(rank["score"], cosine("one a cat", "two sun"))

    def test_truncation(self, server: Server) -> None:
        asked = {"query": "sun", "texts": [LONG]}
        for more, kept in (({}, CATS), ({"truncate": True, "truncation_direction": "Left"}, DOGS)):
            (rank,) = answered(server, "/rerank", **asked, **more)
            assert_near(rank["score"], cosine("sun", kept))
        assert_tei_error(ask(server, "/rerank", **asked, truncate=False), 422, "Validation", "22 tokens")


class TestErrors:
    @pytest.mark.parametrize(
        ("path", "body", "words"),
        [
            ("/similarity", {"inputs": {"sentences": []}}, ("`source_sentence`",)),
            ("/similarity", {**SIMILARITY, "parameters": {"truncation_direction": "up"}}, ("'up'",)),
            ("/", {"inputs": {"source_sentence": "a"}}, ("what / takes", "`sentences`")),
        ],
    )
    def test_bodies(self, server: Server, path: str, body: dict[str, Any], words: tuple[str, ...]) -> None:
        assert_tei_error(ask(server, path, **body), 422, "Validation", *words)
