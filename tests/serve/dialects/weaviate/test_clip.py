"""The contract of Weaviate's modules, against the real server; and the checks of the reference's smoke test."""

import json
import math
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multi2vec import manifest as manifests
from tests import pictures, toy
from tests.serve.dialects.wire import assert_error, raw
from tests.server import Server, serving

GOOD = {name: toy.b64(data) for name, data in pictures.good().items()}
BROKEN = {name: toy.b64(data) for name, data in pictures.broken().items() if name != "bomb"}


class TestVectorize:
    def test_texts_and_pictures(self, server: Server) -> None:
        answer = server.post(texts=["a red cat", ""], images=[toy.b64(toy.png(toy.picture(1)))])
        assert answer.status_code == 200
        assert set(answer.json()) == {"textVectors", "imageVectors"}
        expected = [toy.text_vector("a red cat"), toy.text_vector("")]
        np.testing.assert_allclose(answer.json()["textVectors"], expected, atol=1e-5)
        np.testing.assert_allclose(answer.json()["imageVectors"], [toy.picture_vector(toy.picture(1))], atol=1e-5)

    @pytest.mark.parametrize("content_type", [None, "application/json", "text/plain", "nonsense"])
    def test_any_or_no_content_type(self, server: Server, content_type: str | None) -> None:
        headers = {"Content_Type": content_type} if content_type else {}
        status, body = raw(server, "POST", "/vectorize", b'{"texts": ["cat"]}', **headers)
        assert status == 200
        assert len(json.loads(body)["textVectors"]) == 1

    @pytest.mark.parametrize(
        "body",
        ["{}", '{"texts": null, "images": null}', '{"texts": [], "images": []}', '{"images": null, "x": {"y": 1}}'],
    )
    def test_missing_null_and_empty_lists(self, server: Server, body: str) -> None:
        status, answer = raw(server, "POST", "/vectorize", body.encode())
        assert (status, json.loads(answer)) == (200, {"textVectors": [], "imageVectors": []})

    @pytest.mark.parametrize("path", ["/vectorize", "/vectorize/", "//vectorize", "///vectorize//"])
    def test_slashes(self, server: Server, path: str) -> None:
        assert raw(server, "POST", path, b'{"texts": ["cat"]}')[0] == 200

    @pytest.mark.parametrize("name", GOOD)
    def test_every_kind_of_picture(self, server: Server, name: str) -> None:
        answer = server.post(images=[GOOD[name], GOOD[name]])
        assert answer.status_code == 200, answer.text
        first, second = answer.json()["imageVectors"]
        assert first == second
        assert math.isclose(math.hypot(*first), 1, rel_tol=1e-5)

    @pytest.mark.parametrize("name", BROKEN)
    def test_every_kind_of_broken_picture(self, server: Server, name: str) -> None:
        assert_error(server.post(images=[BROKEN[name]]), 422, "picture")
        assert server.post(images=[GOOD["jpeg"]]).status_code == 200

    def test_a_bomb_is_refused_from_its_header(self, server: Server) -> None:
        answer = server.post(images=[toy.b64(pictures.bomb())])
        assert_error(answer, 413, "12000×12000", "MAX_PICTURE_PIXELS")

    @pytest.mark.parametrize(
        "spell",
        [
            lambda text: "data:image/jpeg;base64," + text,
            lambda text: text.rstrip("="),
            lambda text: text.replace("+", "-").replace("/", "_"),
            lambda text: "\n".join(text[n : n + 76] for n in range(0, len(text), 76)),
            lambda text: f"  {text}\r\n",
        ],
    )
    def test_spellings_of_base64(self, server: Server, spell: object) -> None:
        plain = server.post(images=[GOOD["jpeg"]]).json()["imageVectors"]
        assert server.post(images=[spell(GOOD["jpeg"])]).json()["imageVectors"] == plain  # type: ignore[operator]

    def test_equal_pictures_among_others_have_exactly_equal_vectors(self, server: Server) -> None:
        vectors = server.post(images=[GOOD["png"], GOOD["gif"], GOOD["png"]]).json()["imageVectors"]
        assert vectors[0] == vectors[2]
        assert vectors[0] != vectors[1]

    def test_a_text_of_any_length(self, server: Server) -> None:
        for text in ("red " * 100_000, "x" * 300_000):
            assert server.post(texts=[text]).status_code == 200
        assert server.get("/meta").json()["truncated"]["text"] > 0

    def test_a_modality_that_the_model_lacks(self, server: Server) -> None:
        assert_error(server.post(audio=["AAAA"]), 422, "toy has no audio tower")
        assert server.post(audio=[], video=None, texts=["cat"]).status_code == 200

    @pytest.mark.parametrize(
        ("body", "word"),
        [
            ('{"texts": ["cat", 3]}', "$.texts[1]"),
            ('{"images": [null]}', "$.images[0]"),
        ],
    )
    def test_bodies_that_are_wrong(self, server: Server, body: str, word: str) -> None:
        status, answer = raw(server, "POST", "/vectorize", body.encode())
        assert status == 400
        assert word in json.loads(answer)["error"]

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(body=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
    def test_no_body_is_a_server_error(self, server: Server, body: bytes) -> None:
        status, answer = raw(server, "POST", "/vectorize", body)
        assert status in (200, 400)
        assert isinstance(json.loads(answer), dict)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(texts=st.lists(st.text(max_size=40), max_size=5))
    def test_any_texts_give_as_many_vectors(self, server: Server, texts: list[str]) -> None:
        vectors = server.post(texts=texts).json()["textVectors"]
        assert len(vectors) == len(texts)
        assert all(math.isfinite(number) for vector in vectors for number in vector)


class TestRoutes:
    @pytest.mark.parametrize("path", ["/.well-known/live", "/.well-known/ready", "/.well-known/ready/"])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_live_and_ready_are_204_and_empty(self, server: Server, path: str, method: str) -> None:
        assert raw(server, method, path) == (204, b"")

    def test_meta_says_what_the_model_is(self, server: Server) -> None:
        meta = server.get("/meta").json()
        assert meta["tag"] == "toy"
        assert meta["dimensions"] == toy.DIMENSIONS
        # Videos as pictures: the tests have the decoder.
        assert meta["modalities"] == ["text", "image", "video"]
        assert meta["parity"]["f32"]["text"]["dense"]["smallest_cosine"] == 1.0
        assert meta["inputs"]["image"]["transparency"] == "drop"
        assert meta["outputs"]["text"] == [{"name": "dense", "kind": "dense"}]
        text = meta["execution"]["towers"]["text"]
        assert (text["precision"], text["measured_ms"]) == ("f32", {})
        assert raw(server, "HEAD", "/meta") == (200, b"")

    def test_unknown_paths_and_methods(self, server: Server) -> None:
        assert_error(server.get("/nothing"), 404, "/nothing", "/vectorize", "/meta", "/metrics")
        answer = server.get("/vectorize")
        assert_error(answer, 405, "POST")
        assert answer.headers["allow"] == "POST"
        assert_error(httpx.post(server.url + "/meta"), 405, "GET")

    def test_every_answer_tells_the_models_fingerprint(self, server: Server, toy_folder: Path) -> None:
        fingerprint = manifests.read(toy_folder).fingerprint
        assert len(fingerprint) == 16
        assert server.get("/meta").json()["fingerprint"] == fingerprint
        for answer in (server.post(texts=["cat"]), server.get("/meta"), server.get("/nothing")):
            assert answer.headers["x-model-fingerprint"] == fingerprint

    def test_every_answer_has_a_request_id(self, server: Server) -> None:
        assert len(server.get("/meta").headers["x-request-id"]) == 32
        for path in ("/vectorize", "/nothing"):
            answer = httpx.get(server.url + path, headers={"x-request-id": "mine-1"})
            assert answer.headers["x-request-id"] == "mine-1"

    def test_metrics(self, server: Server) -> None:
        server.post(texts=["cat"], images=[GOOD["jpeg"]])
        text = server.get("/metrics").text
        for name in (
            'multi2vec_http_requests_total{method="POST",route="/vectorize",status="200"}',
            'multi2vec_items_total{modality="text",purpose="import"}',
            'multi2vec_items_total{modality="image",purpose="search"}',
            'multi2vec_queue_items{modality="text"} 0.0',
            'multi2vec_queue_wait_seconds_count{modality="image"}',
            'multi2vec_batch_items_count{modality="text"}',
            'multi2vec_prepare_duration_seconds_count{modality="image"}',
            'multi2vec_inference_duration_seconds_count{modality="image"}',
            'multi2vec_http_request_duration_seconds_count{route="/vectorize"}',
            'multi2vec_truncated_items_total{modality="text"}',
            'multi2vec_deduplicated_items_total{modality="image"}',
            "multi2vec_ready 1.0",
        ):
            assert name in text, name


def test_under_a_prefix(toy_folder: object) -> None:
    with serving(toy_folder, URL_PREFIX="/some/prefix") as server:  # type: ignore[arg-type]
        for path in ("/some/prefix/vectorize", "/some/prefix//vectorize/", "/vectorize"):
            assert raw(server, "POST", path, b'{"texts": ["cat"]}')[0] == 200
        assert server.get("/.well-known/ready").status_code == 204
        assert_error(server.get("/some/other/meta"), 404)


def test_limits(toy_folder: object) -> None:
    limits = {"MAX_BODY_BYTES": 4000, "MAX_ITEMS": 3, "MAX_PICTURE_BYTES": 1000, "MAX_PICTURE_PIXELS": 5000}
    with serving(toy_folder, **limits) as server:  # type: ignore[arg-type]
        assert_error(server.post(images=["A" * 2000]), 413, "MAX_PICTURE_BYTES")
        big = toy.b64(pictures.encode(pictures.noise((80, 80)), "JPEG", quality=5))
        assert_error(server.post(images=[big]), 413, "80×80", "MAX_PICTURE_PIXELS")
        assert server.post(texts=["a"] * 3).status_code == 200

        def endless() -> object:
            for _ in range(100):
                yield b" " * 1000

        assert_error(httpx.post(server.url + "/vectorize", content=endless()), 413, "MAX_BODY_BYTES")  # type: ignore[arg-type]
        assert server.post(texts=["a"]).status_code == 200
