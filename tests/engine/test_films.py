"""Videos through a model that was made for them: frames among the tokens, each behind its time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from multi2vec.engine.embedder import Embedder
from multi2vec.engine.encoder import Execution
from multi2vec.engine.errors import BadInput, Unsupported
from multi2vec.engine.frames import FRAMES
from multi2vec.engine.items import Item
from multi2vec.engine.loading import open_model
from multi2vec.engine.preparers.videos import Video
from multi2vec.engine.video import decoder
from multi2vec.engine.video.sampling import Sampling
from multi2vec.engine.wanted import Wanted
from multi2vec.specs import VIDEO
from tests import toy, toy_fused
from tests.engine.video.films import film

FILM = film()
OWN = Sampling(fps=2.0, most=8, even=True, at="ends")
# 64 squares for eight frames of 4:3.
SIZE = (3 * toy_fused.UNIT, 2 * toy_fused.UNIT)


def shown(sampling: Sampling = OWN, size: tuple[int, int] = SIZE) -> list[str | Image.Image]:
    """What the frames stand for among the tokens, in the toy's words."""
    found: list[str | Image.Image] = []
    for frame in decoder.decode(FILM, sampling):
        found += [f"{frame.seconds:.1f} s".replace(".", " . "), Image.fromarray(frame.pixels).resize(size)]
    return found


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedder]:
    folder = toy_fused.write(tmp_path_factory.mktemp("films"), spec=toy_fused.WITH_VIDEOS)
    opened = open_model(folder, Execution(precision="f32"))
    yield opened
    opened.close(wait=True)


def embed(embedder: Embedder, modality: str, *items: Any, **wanted: Any) -> Any:
    return asyncio.run(embedder.embed(modality, items, Wanted(**wanted)))


def test_a_video_is_its_frames_behind_their_times(embedder: Embedder) -> None:
    found = embed(embedder, VIDEO, FILM, toy.b64(FILM))
    expected = toy_fused.vector(*shown())
    np.testing.assert_allclose(found.rows, [expected, expected], atol=1e-5)
    assert found.tokens == [toy_fused.tokens(*shown())] * 2


def test_beside_texts_and_pictures_in_their_order(embedder: Embedder) -> None:
    picture = toy.picture(1, (16, 8))
    item = (Item("text", "a cat"), Item("image", toy.png(picture)), Item(VIDEO, Video(FILM)), Item("text", "a dog"))
    found = embed(embedder, "fused", item, prompt="document")
    expected = toy_fused.vector("a cat", picture, *shown(), "a dog", task=None)
    np.testing.assert_allclose(found.rows, [expected], atol=1e-5)


def test_whoever_asks_may_say_which_frames(embedder: Embedder) -> None:
    sampling = Sampling(indexes=(3, 20))
    found = embed(embedder, VIDEO, Video(FILM, sampling))
    # Two frames have half of all squares each, which is more than the layout allows.
    expected = toy_fused.vector(*shown(sampling, (4 * toy_fused.UNIT, 3 * toy_fused.UNIT)))
    np.testing.assert_allclose(found.rows, [expected], atol=1e-5)


def test_frames_given_as_pictures_are_a_second_apart(embedder: Embedder) -> None:
    frames = [Image.fromarray(frame.pixels) for frame in decoder.decode(FILM, Sampling(count=2))]
    found = embed(embedder, VIDEO, tuple(map(toy.png, frames)))
    small = [frame.resize((4 * toy_fused.UNIT, 3 * toy_fused.UNIT)) for frame in frames]
    expected = toy_fused.vector("0 . 0 s", small[0], "1 . 0 s", small[1])
    np.testing.assert_allclose(found.rows, [expected], atol=1e-5)
    with pytest.raises(BadInput, match="a video has no frames"):
        embed(embedder, VIDEO, ())


def test_a_vector_for_each_frame_sees_them_as_pictures(embedder: Embedder) -> None:
    found = embed(embedder, VIDEO, Video(FILM, Sampling(count=2)), output=FRAMES)
    frames = [frame.pixels for frame in decoder.decode(FILM, Sampling(count=2))]
    np.testing.assert_allclose(found.rows[0], embed(embedder, "image", *frames).rows, atol=1e-5)


def test_a_broken_video_is_named_and_harms_no_other(embedder: Embedder) -> None:
    with pytest.raises(BadInput, match="fused item 2 of 2: a video cannot be opened"):
        embed(embedder, "fused", (Item("text", "a cat"),), (Item(VIDEO, b"no film"), Item("text", "a cat")))
    assert len(embed(embedder, VIDEO, FILM).rows) == 1


def test_without_a_decoder(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "is_available", lambda: False)
    with pytest.raises(Unsupported, match="no video decoder"):
        embed(embedder, VIDEO, FILM)
