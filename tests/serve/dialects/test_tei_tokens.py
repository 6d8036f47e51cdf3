"""text-embeddings-inference's tokenizer, and what it tells of itself, against the real server."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multi2vec import __version__
from multi2vec import manifest as manifests
from multi2vec.manifest import Source
from multi2vec.serve.dialects.tei import info
from multi2vec.serve.metrics import Metrics
from multi2vec.serve.service import Service
from multi2vec.serve.settings import Settings
from tests import toy
from tests.serve.dialects.wire import answered, ask, assert_near, assert_tei_error, ids_of
from tests.server import Server, serving

URI = f"data:image/png;base64,{toy.b64(toy.png(toy.picture(1)))}"
# Ten words are all that the toy takes; the last ones are others.
LONG = " ".join(["cat"] * 10 + ["dog"] * 10)


@pytest.fixture(scope="module")
def limited(toy_folder: Path) -> Iterator[Server]:
    """The toy where settings say something else than the API does."""
    settings = {"MAX_ITEMS": 3, "MAX_BODY_BYTES": 4000, "AUTO_TRUNCATE": "false", "NORMALISE": "false"}
    with serving(toy_folder, PRECISION="f32", **settings) as running:
        yield running


def rewrite(folder: Path, **changes: Any) -> None:
    """Change the folder's manifest."""
    made = dataclasses.replace(manifests.read(folder), **changes)
    (folder / manifests.FILE_NAME).write_text(manifests.with_fingerprint(made).to_json())


class TestTokens:
    def test_tokenize(self, server: Server) -> None:
        texts = ["a red cat", "the  DOG"]
        # The toy's texts are cleaned before they are tokenised.
        encodings = [toy.tokenizer().encode(text) for text in ("a red cat", "the dog")]
        found = answered(server, "/tokenize", inputs=texts)
        for tokens, encoding in zip(found, encodings, strict=True):
            assert [each["id"] for each in tokens] == encoding.ids
            assert [each["text"] for each in tokens] == encoding.tokens
            assert [each["special"] for each in tokens] == [bool(each) for each in encoding.special_tokens_mask]
        assert answered(server, "/tokenize", inputs="a red cat") == found[:1]
        assert found[0][:2] == [
            {"id": 1, "text": "<s>", "special": True, "start": None, "stop": None},
            {"id": 4, "text": "a", "special": False, "start": 0, "stop": 1},
        ]
        assert [(each["start"], each["stop"]) for each in found[0]] == [
            (None, None),
            (0, 1),
            (2, 5),
            (6, 9),
            (None, None),
        ]

    def test_without_special_tokens(self, server: Server) -> None:
        (tokens,) = answered(server, "/tokenize", inputs="a red cat", add_special_tokens=False)
        assert [each["id"] for each in tokens] == ids_of("a red cat")[1:-1]
        assert not any(each["special"] for each in tokens)

    def test_long_texts_are_not_cut(self, server: Server) -> None:
        (tokens,) = answered(server, "/tokenize", inputs=LONG)
        assert len(tokens) == 22

    def test_prompts(self, prompted: Server) -> None:
        (tokens,) = answered(prompted, "/tokenize", inputs="cat", prompt_name="query")
        assert [each["id"] for each in tokens] == ids_of("one cat")
        answer = ask(prompted, "/tokenize", inputs="cat", prompt_name="summary")
        assert_tei_error(answer, 422, "Validation", "'summary'", "query")

    def test_decode(self, server: Server) -> None:
        one, other = ids_of("a red cat"), ids_of("the dog")
        assert answered(server, "/decode", ids=one, skip_special_tokens=False) == ["<s> a red cat </s>"]
        assert answered(server, "/decode", ids=[one, other], skip_special_tokens=False)[1] == "<s> the dog </s>"
        for ids in (one, [one]):
            expected = toy.tokenizer().decode(one, skip_special_tokens=True)
            assert answered(server, "/decode", ids=ids) == [expected]

    def test_ids_beyond_the_vocabulary(self, server: Server) -> None:
        for ids in ([5, 9999], [[5], [9999]]):
            answer = ask(server, "/decode", ids=ids)
            assert_tei_error(answer, 422, "Tokenizer", "9999", "vocabulary of 19")
        assert_tei_error(ask(server, "/embed", inputs=[5, 9999]), 422, "Validation", "9999", "vocabulary of 19")

    def test_a_model_without_texts(self, pictures_only: Server) -> None:
        for path, body in (("/tokenize", {"inputs": "cat"}), ("/decode", {"ids": [1]})):
            assert_tei_error(ask(pictures_only, path, **body), 422, "Tokenizer", "toy-pictures takes no texts")
        assert_tei_error(ask(pictures_only, "/embed", inputs="cat"), 422, "Validation", "no text tower")
        assert_near(answered(pictures_only, "/embed", inputs=URI), [toy.picture_vector(toy.picture(1))])


class TestInfo:
    def test_the_toy(self, server: Server, toy_folder: Path) -> None:
        info = server.get("/info").json()
        defaults = Settings()
        expected = {
            "model_id": "tests/toy.py",
            "model_sha": None,
            "model_dtype": "float32",
            "served_model_name": "toy",
            "model_type": {"embedding": {"pooling": "model"}},
            "max_concurrent_requests": defaults.max_queue,
            "max_input_length": toy.MAX_LENGTH,
            "max_batch_tokens": defaults.text_batch_tokens,
            "max_batch_requests": defaults.text_batch,
            "max_client_batch_size": defaults.max_items,
            "auto_truncate": True,
            "version": __version__,
            "sha": None,
            "docker_label": None,
            "tag": "toy",
            "fingerprint": manifests.read(toy_folder).fingerprint,
        }
        assert {key: info[key] for key in expected} == expected
        assert info["tokenization_workers"] >= 1

    def test_other_settings_and_models(self, limited: Server, pictures_only: Server) -> None:
        info = limited.get("/info").json()
        assert (info["max_client_batch_size"], info["auto_truncate"]) == (3, False)
        info = pictures_only.get("/info").json()
        assert (info["served_model_name"], info["max_input_length"]) == ("toy-pictures", 0)

    def test_where_the_weights_came_from(self, tmp_path: Path) -> None:
        rewrite(toy.write(tmp_path), sources=(Source("org/model", "abc123"),), precision="int8")
        told = info(Service(Settings(model_dir=tmp_path, cache_dir=None), Metrics()))
        assert (told["model_id"], told["model_sha"], told["model_dtype"]) == ("org/model", "abc123", "int8")
