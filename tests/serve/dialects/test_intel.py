"""Intel's Multimodal Embedding Serving, against the real server."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import numpy as np
import pytest

from multi2vec import manifest as manifests
from tests import toy
from tests.serve.dialects.wire import assert_near
from tests.server import Server

PICTURE = toy.b64(toy.png(toy.picture(1)))
URI = f"data:image/png;base64,{PICTURE}"
OTHER = toy.b64(toy.png(toy.picture(2)))


def ask(server: Server, given: Any, **body: Any) -> httpx.Response:
    return httpx.post(f"{server.url}/embeddings", json={"input": given, **body}, timeout=30, trust_env=False)


def embedding(server: Server, **given: Any) -> Any:
    answer = ask(server, given, model="CLIP/clip-vit-b-16", encoding_format="float")
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"embedding"}
    return np.array(answer.json()["embedding"])


def assert_error(answer: httpx.Response, status: int, *words: str) -> None:
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"detail"}
    for word in words:
        assert word in answer.json()["detail"]


class TestEmbeddings:
    def test_texts(self, server: Server) -> None:
        assert_near(embedding(server, type="text", text="a red cat"), toy.text_vector("a red cat"))
        found = embedding(server, type="text", text=["sun", "cat"])
        assert_near(found, [toy.text_vector("sun"), toy.text_vector("cat")])
        assert embedding(server, type="text", text=["sun"]).shape == (1, toy.DIMENSIONS)
        assert embedding(server, type="text", text="cat " * 30).shape == (toy.DIMENSIONS,)

    def test_pictures(self, server: Server) -> None:
        expected = toy.picture_vector(toy.picture(1))
        assert_near(embedding(server, type="image_base64", image_base64=PICTURE), expected)
        assert_near(embedding(server, type="image_url", image_url=URI), expected)

    def test_frames(self, server: Server) -> None:
        frames = [{"type": "image_url", "image_url": URI}, {"type": "image_base64", "image_base64": OTHER}]
        expected = [toy.picture_vector(toy.picture(seed)) for seed in (1, 2)]
        assert_near(embedding(server, type="video_frames", video_frames=frames), expected)

    def test_base64(self, server: Server) -> None:
        one = ask(server, {"type": "text", "text": "sun"}, encoding_format="base64").json()["embedding"]
        assert_near(np.frombuffer(base64.b64decode(one), "<f4"), toy.text_vector("sun"))
        (listed,) = ask(server, {"type": "text", "text": ["sun"]}, encoding_format="base64").json()["embedding"]
        assert listed == one

    def test_other_bodies_are_openai_s(self, server: Server) -> None:
        assert set(ask(server, "sun").json()) == {"object", "data", "model", "usage"}
        assert set(ask(server, []).json()) == {"error"}

    @pytest.mark.parametrize(
        ("given", "status", "words"),
        [
            ({}, 400, ("input.type is None", "video_frames")),
            ({"type": "smell"}, 400, ("'smell'", "image_base64")),
            ({"type": "text", "text": [1]}, 400, ("input.text is neither",)),
            ({"type": "image_base64", "image_base64": "not base64!"}, 422, ("base64",)),
            ({"type": "image_url", "image_url": 5}, 400, ("input is no picture",)),
            ({"type": "image_url", "image_url": "https://example.org/cat.png"}, 400, ("FETCH_HOSTS",)),
            ({"type": "image_url", "image_url": "file:///etc/passwd"}, 400, ("not a path",)),
            ({"type": "video_frames"}, 400, ("input.video_frames is no list",)),
            ({"type": "video_frames", "video_frames": [{}]}, 400, ("input.video_frames[0] is no picture",)),
            ({"type": "video_url", "video_url": "https://a/b.mp4"}, 400, ("videos are not fetched", "FETCH_HOSTS")),
            ({"type": "video_url", "video_url": "file:///a.mp4"}, 400, ("not a path",)),
            ({"type": "video_base64", "video_base64": "AAAA"}, 422, ("a video cannot be opened",)),
            ({"type": "video_base64"}, 400, ("input.video_base64 is no string",)),
            ({"type": "video_file", "video_path": "/tmp/a.mp4"}, 400, ("are not read here", "VIDEO_FOLDER")),
            ({"type": "frames_batch", "frames_manifest_path": "/a.json"}, 400, ("never read",)),
        ],
    )
    def test_what_is_wrong_with_an_input(
        self, server: Server, given: dict[str, Any], status: int, words: tuple[str, ...]
    ) -> None:
        assert_error(ask(server, given), status, *words)

    def test_an_encoding_that_is_not_there(self, server: Server) -> None:
        assert_error(ask(server, {"type": "text", "text": "sun"}, encoding_format="hex"), 400, "hex")


class TestFacts:
    @pytest.mark.parametrize("path", ["/models", "/model/list"])
    def test_models(self, server: Server, path: str) -> None:
        expected = {"current_model": "toy", "available_models": {"toy": ["toy"]}, "total_models": 1}
        answer = server.get(path).json()
        family = server.meta()["family"]
        assert answer.items() >= (expected | {"available_models": {family: ["toy"]}}).items()
        # OpenAI's list is at the same path.
        assert ("data" in answer) is (path == "/models")

    def test_the_current_model(self, server: Server, toy_folder: Any) -> None:
        assert server.get("/model/current").json() == {
            "model": "toy",
            "device": "CPU",
            "use_openvino": True,
            "fingerprint": manifests.read(toy_folder).fingerprint,
        }
        assert server.get("/model/capabilities").json() == {
            "model": "toy",
            "modalities": ["text", "image", "video"],
            "supports_text": True,
            "supports_image": True,
            "supports_video": True,
        }

    def test_health(self, server: Server) -> None:
        answer = server.get("/health")
        assert answer.status_code == 200
        assert answer.json()["status"] == "healthy"
