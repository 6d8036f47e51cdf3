"""Videos through every API that takes them, against the real server: Weaviate's bind, Intel's, OpenAI's parts."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from multi2vec.engine.video.decoder import decode
from multi2vec.engine.video.sampling import Sampling
from tests import toy, toy_fused
from tests.engine.test_films import shown
from tests.engine.video.films import film
from tests.serve.dialects.wire import answered, ask, assert_error, assert_near
from tests.server import Server, serving

FILM = film()
B64 = toy.b64(FILM)
URI = f"data:video/mp4;base64,{B64}"


def frames(server: Server, kind: str = "video_base64", content: str = B64, **segment: Any) -> np.ndarray:
    """A vector for each frame."""
    key = "video_path" if kind == "video_file" else kind
    body = {"type": kind, key: content, "segment_config": segment}
    return np.array(answered(server, "/embeddings", input=body)["embedding"])


def mean(vectors: np.ndarray) -> np.ndarray:
    found = vectors.mean(axis=0)
    return np.asarray(found / np.linalg.norm(found))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    (root / "inside" / "deep").mkdir(parents=True)
    (root / "inside" / "deep" / "film.mp4").write_bytes(FILM)
    (root / "outside.mp4").write_bytes(FILM)
    (root / "inside" / "link.mp4").symlink_to(root / "outside.mp4")
    return root / "inside"


@pytest.fixture(scope="module")
def filing(toy_folder: Path, folder: Path) -> Iterator[Server]:
    with serving(toy_folder, PRECISION="f32", VIDEO_FOLDER=folder) as running:
        yield running


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(FILM)))
            self.end_headers()
            self.wfile.write(FILM)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture(scope="module")
def fetching(toy_folder: Path, site: str) -> Iterator[Server]:
    with serving(toy_folder, PRECISION="f32", FETCH_HOSTS=site, FETCH_NETWORKS="127.0.0.0/8") as running:
        yield running


class TestBind:
    def test_one_vector_for_each_video(self, server: Server) -> None:
        other = toy.b64(film(times=range(25)))
        found = answered(server, "/vectorize", texts=["sun"], video=[B64, other])
        assert set(found) == {"textVectors", "imageVectors", "videoVectors"}
        assert np.array(found["videoVectors"]).shape == (2, toy.DIMENSIONS)
        # Of 40 frames the centres of eight parts.
        centres = frames(server, frame_indexes=[2, 7, 12, 17, 22, 27, 32, 37])
        assert_near(found["videoVectors"][0], mean(centres))
        assert_near(np.linalg.norm(found["videoVectors"], axis=1), [1.0, 1.0])

    def test_what_is_no_video(self, server: Server) -> None:
        assert_error(ask(server, "/vectorize", video=[B64, "AAAA"]), 422, "video 2 of 2", "cannot be opened")
        assert_error(ask(server, "/vectorize", video=["?"]), 422, "a video is not valid base64")

    def test_a_model_of_texts(self, prompted: Server) -> None:
        assert_error(ask(prompted, "/vectorize", video=[B64]), 422, "toy-texts has no video tower")


class TestIntel:
    def test_which_frames(self, server: Server) -> None:
        every = frames(server, frame_interval=1)
        assert every.shape == (40, toy.DIMENSIONS)
        assert_near(frames(server, frame_interval=10), every[::10])
        assert_near(frames(server, frame_indexes=[5, 3, 99]), every[[3, 5]])
        assert_near(frames(server, extraction_fps=2), every[::5])
        assert_near(frames(server, num_frames=4), every[::10])
        assert_near(frames(server, startOffsetSec=1, clip_duration=1, frame_interval=1), every[10:20])
        assert frames(server).shape == (64, toy.DIMENSIONS)

    def test_what_counts_first(self, server: Server) -> None:
        wishes: dict[str, Any] = {"frame_indexes": [1], "extraction_fps": 2, "num_frames": 4, "frame_interval": 10}
        for number in (1, 8, 4, 4):
            assert len(frames(server, **wishes)) == number
            wishes.pop(next(iter(wishes)))

    @pytest.mark.parametrize(
        ("segment", "status", "word"),
        [
            ({"frame_indexes": [99]}, 422, "none of the frames that are wanted of a video is there"),
            ({"frame_indexes": "all"}, 400, "input.segment_config cannot be used"),
            ({"startOffsetSec": 60}, 422, "starts at 60 seconds, but the video lasts 4.000"),
            ({"num_frames": 0}, 422, "num_frames|count 0; it must be more than 0"),
            ({"num_frames": 10_000}, 413, "MAX_VIDEO_FRAMES"),
        ],
    )
    def test_what_selects_nothing(self, server: Server, segment: Any, status: int, word: str) -> None:
        body = {"type": "video_base64", "video_base64": B64, "segment_config": segment}
        answer = ask(server, "/embeddings", input=body)
        assert answer.status_code == status, answer.text
        assert any(each in answer.json()["detail"] for each in word.split("|"))

    def test_base64_of_each_frame(self, server: Server) -> None:
        body = {"type": "video_base64", "video_base64": URI, "segment_config": {"num_frames": 2}}
        assert len(answered(server, "/embeddings", input=body, encoding_format="base64")["embedding"]) == 2


class TestFiles:
    def test_a_file_in_the_folder(self, filing: Server, folder: Path) -> None:
        expected = frames(filing, num_frames=4)
        for path in ("deep/film.mp4", "./deep/../deep/film.mp4", str(folder / "deep" / "film.mp4")):
            assert_near(frames(filing, "video_file", path, num_frames=4), expected)

    @pytest.mark.parametrize("path", ["../outside.mp4", "link.mp4", "/etc/passwd", "nothing.mp4", "deep", "\0"])
    def test_no_way_out_of_it(self, filing: Server, path: str) -> None:
        answer = ask(filing, "/embeddings", input={"type": "video_file", "video_path": path})
        assert answer.status_code == 400, answer.text
        assert "input.video_path is no file in the folder of videos" in answer.json()["detail"]


class TestURLs:
    def test_by_url(self, fetching: Server, site: str) -> None:
        found = frames(fetching, "video_url", f"http://{site}/film.mp4", num_frames=4)
        assert_near(found, frames(fetching, num_frames=4))
        part = {"type": "video_url", "video_url": {"url": f"http://{site}/film.mp4"}}
        answer = answered(fetching, "/v1/embeddings", messages=[{"role": "user", "content": [part]}])
        assert_near(answer["data"][0]["embedding"], answered(fetching, "/vectorize", video=[B64])["videoVectors"][0])

    def test_hosts_that_are_not_allowed(self, fetching: Server) -> None:
        body = {"type": "video_url", "video_url": "http://example.org/a.mp4"}
        answer = ask(fetching, "/embeddings", input=body)
        assert answer.status_code == 400
        assert "videos are not fetched from example.org" in answer.json()["detail"]

    def test_a_large_one(self, toy_folder: Path, site: str) -> None:
        settings = {"FETCH_HOSTS": site, "FETCH_NETWORKS": "127.0.0.0/8", "MAX_VIDEO_BYTES": 100}
        with serving(toy_folder, PRECISION="f32", **settings) as running:
            answer = ask(running, "/embeddings", input={"type": "video_url", "video_url": f"http://{site}/a"})
            assert answer.status_code == 413
            assert "a video has" in answer.json()["detail"]
            assert "MAX_VIDEO_BYTES" in answer.json()["detail"]


class TestOpenAI:
    def test_parts_and_objects(self, server: Server) -> None:
        expected = answered(server, "/vectorize", video=[B64])["videoVectors"][0]
        part = {"type": "video_url", "video_url": {"url": URI}}
        for body in (
            {"messages": [{"role": "user", "content": [part]}]},
            {"input": [{"video": B64}]},
            {"input": [URI], "modality": "video"},
        ):
            (found,) = answered(server, "/v1/embeddings", **body)["data"]
            assert_near(found["embedding"], expected)

    def test_a_video_with_a_text_needs_another_model(self, server: Server) -> None:
        answer = ask(server, "/v1/embeddings", input=[{"video": B64, "text": "cat"}])
        assert answer.status_code == 400
        assert "together" in answer.json()["error"]["message"]


def test_the_server_answers_others_while_it_decodes(server: Server) -> None:
    """Of a video with a picture of each frame at 64 places."""
    body = {"type": "video_base64", "video_base64": B64}
    slow = threading.Thread(target=lambda: [ask(server, "/embeddings", input=body) for _ in range(3)])
    slow.start()
    answers = [httpx.get(f"{server.url}/.well-known/ready", timeout=1, trust_env=False) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {204}
    assert answered(server, "/vectorize", texts=["sun"])["textVectors"]
    slow.join()


class TestModelsMadeForVideos:
    """Of those a video is frames among the tokens, which the engine's own tests look at."""

    def test_each_api_gives_the_same(self, filming: Server) -> None:
        whole = toy_fused.vector(*shown())
        assert_near(answered(filming, "/vectorize", video=[B64])["videoVectors"], [whole])
        part = {"type": "video_url", "video_url": {"url": URI}}
        messages = [{"role": "user", "content": [part]}]
        for body in ({"messages": messages}, {"input": [{"video": B64}]}):
            assert_near([each["embedding"] for each in answered(filming, "/v1/embeddings", **body)["data"]], [whole])

    def test_beside_a_text(self, filming: Server) -> None:
        expected = toy_fused.vector(*shown(), "a cat")
        part = {"type": "video_url", "video_url": {"url": URI}}
        messages = [{"role": "user", "content": [part, {"type": "text", "text": "a cat"}]}]
        for body in ({"messages": messages}, {"input": [{"video": B64, "text": "a cat"}]}):
            assert_near([each["embedding"] for each in answered(filming, "/v1/embeddings", **body)["data"]], [expected])

    def test_a_vector_for_each_frame_in_intels(self, filming: Server) -> None:
        found = frames(filming, num_frames=4)
        pictures = [toy.b64(toy.png(Image.fromarray(frame.pixels))) for frame in decode(FILM, Sampling(every=10))]
        assert_near(found, answered(filming, "/vectorize", images=pictures)["imageVectors"])

    def test_what_is_no_video(self, filming: Server) -> None:
        answer = ask(filming, "/v1/embeddings", input=[{"text": "a"}, {"video": "AAAA", "text": "a"}])
        assert answer.status_code == 400
        assert "a video cannot be opened" in answer.json()["error"]["message"]
        assert_error(ask(filming, "/vectorize", video=[B64, "AAAA"]), 422, "video 2 of 2", "cannot be opened")

    def test_meta(self, filming: Server) -> None:
        meta = httpx.get(f"{filming.url}/meta", trust_env=False).json()
        assert meta["modalities"] == ["text", "image", "fused", "video"]
        assert meta["inputs"]["video"]["video"]["fps"] == 2.0
