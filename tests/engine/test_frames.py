"""Videos through a model of pictures: each frame as the picture that it is, and one vector for the whole."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from multi2vec.engine.embedder import Embedder
from multi2vec.engine.encoder import Execution
from multi2vec.engine.errors import BadInput, TooLarge, Unsupported
from multi2vec.engine.frames import FRAMES
from multi2vec.engine.loading import open_model
from multi2vec.engine.preparers import videos
from multi2vec.engine.preparers.videos import Video
from multi2vec.engine.video import decoder
from multi2vec.engine.video.limits import VideoLimits
from multi2vec.engine.video.sampling import Sampling
from multi2vec.engine.wanted import Wanted
from multi2vec.engine.work import Limits
from multi2vec.specs import VIDEO
from tests import toy, toy_fused
from tests.engine.video.films import film

FILM = film()


def normalised(rows: Any) -> np.ndarray:
    found = np.asarray(rows)
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def expected(sampling: Sampling) -> np.ndarray:
    """The vectors of the decoded frames as pictures, at unit length."""
    frames = decoder.decode(FILM, sampling)
    rows = []
    for frame in frames:
        image = Image.fromarray(frame.pixels)
        short = min(image.size)
        scaled = image.resize(
            (image.width * toy.SIDE // short, image.height * toy.SIDE // short), Image.Resampling.BICUBIC
        )
        left = (scaled.width - toy.SIDE) // 2
        rows.append(toy.picture_vector(scaled.crop((left, 0, left + toy.SIDE, toy.SIDE))))
    return np.array(rows)


@pytest.fixture
def embedder(toy_folder: Path) -> Iterator[Embedder]:
    opened = open_model(toy_folder, Execution(precision="f32"))
    yield opened
    opened.close(wait=True)


def embed(embedder: Embedder, *items: Any, **wanted: Any) -> Any:
    return asyncio.run(embedder.embed(VIDEO, items, Wanted(**wanted)))


def test_the_vector_is_the_mean_of_unit_vectors_of_eight_frames(embedder: Embedder) -> None:
    found = embed(embedder, FILM)
    frames = expected(Sampling(count=8))
    assert len(frames) == 8
    np.testing.assert_allclose(found.rows, [normalised(frames.mean(axis=0))], atol=1e-5)
    assert (found.tokens, found.truncated, found.files) == ([0], 0, [None])


def test_a_vector_for_each_frame(embedder: Embedder) -> None:
    sampling = Sampling(fps=1.0)
    found = embed(embedder, Video(FILM, sampling), output=FRAMES)
    np.testing.assert_allclose(found.rows[0], expected(sampling), atol=1e-5)


def test_base64_paths_and_several(embedder: Embedder, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(FILM)
    found = embed(embedder, FILM, toy.b64(FILM), f"data:video/mp4;base64,{toy.b64(FILM)}", tmp_path / "film.mp4")
    for row in found.rows[1:]:
        assert np.array_equal(row, found.rows[0])
    assert np.asarray(embed(embedder).rows).shape == (0, toy.DIMENSIONS)


def test_what_is_no_video_is_named_and_harms_no_other(embedder: Embedder) -> None:
    with pytest.raises(BadInput, match="video 2 of 2: a video cannot be opened"):
        embed(embedder, FILM, b"no film")
    with pytest.raises(BadInput, match="a video is not valid base64"):
        embed(embedder, "???")
    assert len(embed(embedder, FILM).rows) == 1


def test_limits(toy_folder: Path) -> None:
    limits = Limits(video=VideoLimits(bytes=100, frames=4))
    opened = open_model(toy_folder, Execution(precision="f32"), limits=limits)
    for given in (FILM, toy.b64(FILM)):
        with pytest.raises(TooLarge, match=r"MAX_VIDEO_BYTES"):
            embed(opened, given)
    opened.close()
    opened = open_model(toy_folder, Execution(precision="f32"), limits=Limits(video=VideoLimits(frames=4)))
    with pytest.raises(TooLarge, match=r"8 frames of a video are wanted, more than 4 \(MAX_VIDEO_FRAMES\)"):
        embed(opened, FILM)
    opened.close()


def test_a_model_of_texts_has_no_videos(tmp_path: Path) -> None:
    opened = open_model(toy.write_texts(tmp_path), Execution(precision="f32"))
    with pytest.raises(Unsupported, match="toy-texts has no video tower"):
        embed(opened, FILM)
    opened.close()


def test_a_fused_model_sees_frames_as_pictures(tmp_path: Path) -> None:
    opened = open_model(toy_fused.write(tmp_path), Execution(precision="f32"))
    sampling = Sampling(count=2)
    found = embed(opened, Video(FILM, sampling), output=FRAMES)
    frames = [frame.pixels for frame in decoder.decode(FILM, sampling)]
    alone = asyncio.run(opened.embed("image", frames))
    np.testing.assert_allclose(found.rows[0], alone.rows, atol=1e-5)
    assert found.tokens == [sum(alone.tokens)]
    opened.close()


def test_without_a_decoder(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "is_available", lambda: False)
    with pytest.raises(Unsupported, match="video"):
        embed(embedder, FILM)


def test_who_leaves_ends_the_decoding(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = threading.Event(), threading.Event()

    def slow(*_: Any) -> Iterator[Any]:
        try:
            for number in range(1000):
                begun.set()
                time.sleep(0.02)
                yield decoder.Frame(np.zeros((8, 8, 3), np.uint8), float(number), number)
        finally:
            ended.set()

    monkeypatch.setattr(videos, "decode", slow)

    async def leave() -> None:
        asked = asyncio.ensure_future(embedder.embed(VIDEO, [FILM]))
        await asyncio.to_thread(begun.wait, 5)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked

    asyncio.run(leave())
    assert ended.wait(2)
