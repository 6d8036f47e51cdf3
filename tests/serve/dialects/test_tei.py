"""text-embeddings-inference's vectors against the real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests import toy
from tests.serve.dialects.wire import assert_near, assert_tei_error, ids_of, raw
from tests.serve.several import HEAD, write_outputs
from tests.server import Server, serving

URI = f"data:image/png;base64,{toy.b64(toy.png(toy.picture(1)))}"
# Ten words are all that the toy takes; the last ones are others.
LONG = " ".join(["cat"] * 10 + ["dog"] * 10)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A model of texts with three outputs."""
    with serving(write_outputs(tmp_path_factory.mktemp("several")), PRECISION="f32") as running:
        yield running


@pytest.fixture(scope="module")
def limited(toy_folder: Path) -> Iterator[Server]:
    """The toy where settings say something else than the API does."""
    settings = {"MAX_ITEMS": 3, "MAX_BODY_BYTES": 4000, "AUTO_TRUNCATE": "false", "NORMALISE": "false"}
    with serving(toy_folder, PRECISION="f32", **settings) as running:
        yield running


def ask(server: Server, path: str = "/embed", **body: Any) -> httpx.Response:
    return httpx.post(server.url + path, json=body, timeout=30, trust_env=False)


def answered(server: Server, path: str = "/embed", **body: Any) -> Any:
    answer = ask(server, path, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def unit(vectors: Any) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


class TestEmbed:
    @pytest.mark.parametrize("path", ["/embed", "/embed/", "/", ""])
    def test_the_answer_is_a_list_of_vectors(self, server: Server, path: str) -> None:
        assert_near(answered(server, path, inputs="a red cat"), [toy.text_vector("a red cat")])
        texts = ["a red cat", "", "the dog", "a red cat"]
        assert_near(answered(server, path, inputs=texts), [toy.text_vector(text) for text in texts])

    def test_unknown_keys_and_nulls(self, server: Server) -> None:
        nulls = dict.fromkeys(("truncate", "truncation_direction", "prompt_name", "normalize", "dimensions"))
        found = answered(server, inputs="sun", encoding_format="float", parameters={}, **nulls)
        assert_near(found, [toy.text_vector("sun")])

    def test_a_body_without_content_type(self, server: Server) -> None:
        status, body = raw(server, "POST", "/embed", b'{"inputs": "sun"}')
        assert status == 200
        assert_near(json.loads(body), [toy.text_vector("sun")])

    def test_token_ids(self, server: Server) -> None:
        one, other = ids_of("a red cat"), ids_of("the dog")
        expected = [toy.text_vector("a red cat"), toy.text_vector("the dog")]
        assert_near(answered(server, inputs=one), expected[:1])
        assert_near(answered(server, inputs=[one, other]), expected)
        assert_near(answered(server, inputs=[one, "the dog"]), expected)

    def test_pictures(self, server: Server, prompted: Server) -> None:
        expected = [toy.picture_vector(toy.picture(1)), toy.text_vector("sun")]
        answer = ask(server, inputs=[URI, "sun"])
        assert_near(answer.json(), expected)
        # Only what is a text has characters.
        assert answer.headers["x-compute-characters"] == "3"
        # Without pictures it is a text like any other.
        assert_near(answered(prompted, inputs=URI, truncate=True)[0], answered(prompted, inputs=[URI])[0])

    def test_normalize(self, server: Server, limited: Server) -> None:
        for each in (server, limited):
            assert_near(answered(each, inputs="a cat", normalize=True), [toy.text_vector("a cat")])
            assert_near(answered(each, inputs="a cat", normalize=False), [toy.text_row("a cat")])
        # The setting counts where the request says nothing.
        assert_near(answered(limited, inputs="a cat"), [toy.text_row("a cat")])

    def test_dimensions(self, prompted: Server) -> None:
        texts = ["a cat", "the dog"]
        cut = np.stack([toy.text_row(text)[:4] for text in texts])
        assert_near(answered(prompted, inputs=texts, dimensions=4), unit(cut))
        assert_near(answered(prompted, inputs=texts, dimensions=4, normalize=False), cut)
        for dimensions in (0, -1, 5, 17):
            answer = ask(prompted, inputs=texts, dimensions=dimensions)
            assert_tei_error(answer, 422, "Validation", f"no vectors of {dimensions} dimensions", "4, 8, 16")

    def test_prompts(self, server: Server, prompted: Server) -> None:
        assert_near(answered(prompted, inputs="a cat", prompt_name="query"), [toy.text_vector("one a cat")])
        assert_near(answered(prompted, inputs=["a cat"], prompt_name="passage"), [toy.text_vector("two a cat")])
        assert_near(answered(prompted, inputs="a cat"), [toy.text_vector("a cat")])
        answer = ask(prompted, inputs="a cat", prompt_name="summary")
        assert_tei_error(answer, 422, "Validation", "'summary'", "ask, passage, query")
        # A model without prompts has none to miss.
        assert_near(answered(server, inputs="a cat", prompt_name="query"), [toy.text_vector("a cat")])


class TestTruncation:
    @pytest.mark.parametrize(
        ("wishes", "kept"),
        [
            ({}, "cat"),
            ({"truncate": True}, "cat"),
            ({"truncate": True, "truncation_direction": "Right"}, "cat"),
            ({"truncate": True, "truncation_direction": "right"}, "cat"),
            ({"truncate": True, "truncation_direction": "Left"}, "dog"),
            ({"truncation_direction": "left"}, "dog"),
        ],
    )
    def test_which_end_is_lost(self, server: Server, wishes: dict[str, Any], kept: str) -> None:
        assert_near(answered(server, inputs=LONG, **wishes), [toy.text_vector(" ".join([kept] * 10))])

    def test_too_long_a_text_is_refused(self, server: Server, limited: Server) -> None:
        answer = ask(server, inputs=["sun", LONG], truncate=False)
        assert_tei_error(answer, 422, "Validation", "text 2 of 2", "22 tokens", "more than 12")
        assert_tei_error(ask(limited, inputs=LONG), 422, "Validation", "22 tokens")
        assert_near(answered(limited, inputs=LONG, truncate=True, normalize=True), [toy.text_vector(LONG)])


class TestHeaders:
    @pytest.mark.parametrize("path", ["/embed", "/"])
    def test_what_the_request_took(self, server: Server, path: str) -> None:
        headers = ask(server, path, inputs=["a red cat", ids_of("the dog")]).headers
        assert headers["x-compute-tokens"] == str(len(ids_of("a red cat")) + len(ids_of("the dog")))
        # Token ids count as characters there.
        assert headers["x-compute-characters"] == str(len("a red cat") + len(ids_of("the dog")))
        assert headers["x-compute-type"] == "cpu"
        steps = [int(headers[f"x-{step}-time"]) for step in ("tokenization", "queue", "inference")]
        assert max(steps) <= int(headers["x-compute-time"]) == int(headers["x-total-time"])
        assert 0 <= int(headers["x-total-time"]) < 30_000


class TestOtherOutputs:
    def test_sparse(self, several: Server) -> None:
        texts = ["a red cat a", "", "sun"]
        answer = ask(several, "/embed_sparse", inputs=texts, truncate=True, prompt_name=None)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-compute-tokens"] == str(sum(len(ids_of(text)) for text in texts))
        for text, found in zip(texts, answer.json(), strict=True):
            weights = {number: float(toy.TEXT_WEIGHTS[number] @ HEAD[:, 0]) for number in sorted(set(ids_of(text)))}
            expected = {number: weight for number, weight in weights.items() if weight > 0}
            assert all(set(each) == {"index", "value"} for each in found)
            assert [each["index"] for each in found] == list(expected)
            assert_near([each["value"] for each in found], list(expected.values()))
        assert answered(several, "/embed_sparse", inputs="sun") == [answer.json()[2]]

    def test_every_token(self, several: Server) -> None:
        texts = ["a red cat", "sun"]
        found = answered(several, "/embed_all", inputs=texts)
        for text, vectors in zip(texts, found, strict=True):
            assert_near(vectors, unit(toy.TEXT_WEIGHTS[ids_of(text)]))
        assert_near(answered(several, "/embed_all", inputs=ids_of("sun"))[0], found[1])

    def test_what_both_share_with_dense_vectors(self, several: Server) -> None:
        assert_near(answered(several, inputs="a red cat"), [toy.text_vector("a red cat")])
        for path in ("/embed_sparse", "/embed_all"):
            short = answered(several, path, inputs=" ".join(["dog"] * 10))
            assert answered(several, path, inputs=LONG, truncation_direction="Left") == short
            assert_tei_error(ask(several, path, inputs=LONG, truncate=False), 422, "Validation", "22 tokens")
            assert_tei_error(ask(several, path, inputs=[]), 400, "Empty", "inputs")
            # What is for dense vectors only is no key of theirs.
            assert answered(several, path, inputs="sun", dimensions="x", normalize=1)

    def test_a_model_without_them(self, server: Server, pictures_only: Server) -> None:
        for each, tag in ((server, "toy"), (pictures_only, "toy-pictures")):
            assert_tei_error(ask(each, "/embed_sparse", inputs="sun"), 424, "Backend", tag, "no sparse weights")
            assert_tei_error(ask(each, "/embed_all", inputs="sun"), 424, "Backend", tag, "no vectors of single tokens")


class TestErrors:
    @pytest.mark.parametrize(
        ("path", "body", "word"),
        [
            ("/embed", '{"inputs": ["a", null]}', "$.inputs[1]"),
            ("/embed", '{"inputs": [[1, "a"]]}', "$.inputs[0][1]"),
            ("/embed", '{"inputs": [1, "a"]}', "inputs has token ids beside other inputs"),
            ("/embed", '{"inputs": [1, [2]]}', "inputs has token ids beside other inputs"),
            ("/embed", '{"inputs": "a", "truncation_direction": "up"}', "$.truncation_direction"),
            ("/tokenize", '{"inputs": [1, 2]}', "$.inputs[0]"),
            ("/decode", '{"ids": [1, [2]]}', "ids has token ids beside other inputs"),
        ],
    )
    def test_bodies_that_are_wrong(self, server: Server, path: str, body: str, word: str) -> None:
        status, answer = raw(server, "POST", path, body.encode())
        assert status == 422
        assert json.loads(answer)["error_type"] == "Validation"
        assert word in json.loads(answer)["error"]

    def test_other_methods(self, server: Server) -> None:
        assert_tei_error(httpx.post(server.url + "/info"), 405, "Validation", "GET")
