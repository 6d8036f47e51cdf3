"""Whatever the file is: frames or a sentence, in bounded time, and nothing is left."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from multi2vec.engine.errors import BadInput, TooLarge
from multi2vec.engine.video.decoder import Frame, decode
from multi2vec.engine.video.limits import VideoLimits
from multi2vec.engine.video.sampling import Sampling
from tests import pictures
from tests.engine.video import hostile
from tests.engine.video.films import film, number_in

EIGHT = Sampling(count=8)

SOURCES = {
    "mp4": {"container": "mp4"},
    "mkv": {"container": "matroska"},
    "ts": {"container": "mpegts"},
    "avi": {"container": "avi", "codec": "mpeg4"},
}


def frames(data: bytes, sampling: Sampling = EIGHT, limits: VideoLimits = VideoLimits()) -> list[Frame]:
    return list(decode(data, sampling, limits))


def outcome(data: bytes) -> str:
    """That there are frames, or the sentence."""
    begin = time.monotonic()
    try:
        assert len(frames(data, limits=VideoLimits(seconds=20))) == 8
        said = "frames"
    except (BadInput, TooLarge) as error:
        said = error.message
    assert time.monotonic() - begin < 30
    return said


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("part", [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_truncated(source: str, part: float) -> None:
    assert outcome(hostile.truncated(film(**SOURCES[source]), part))


@pytest.mark.parametrize("source", ["mkv", "ts", "avi"])
def test_what_is_there_of_a_truncated_file_is_used(source: str) -> None:
    found = frames(hostile.truncated(film(**SOURCES[source]), 0.9))
    assert [number_in(frame.pixels) for frame in found] == [frame.index for frame in found]
    assert 30 < found[-1].index < 40


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("every", [4, 40, 400])
def test_corrupted(source: str, every: int) -> None:
    assert outcome(hostile.corrupted(film(**SOURCES[source]), every))


def test_frames_that_cannot_be_decoded_are_replaced_by_neighbours() -> None:
    """The last 20 of 40 pictures of Motion JPEG are nothing."""
    data = film("avi", "mjpeg")
    # The first name of a chunk is in an index; then come the pictures, then another index.
    places = [place for place in range(len(data)) if data.startswith(b"00dc", place)][1:41]
    for place in places[20:]:
        data = data[: place + 8] + bytes(200) + data[place + 208 :]
    found = frames(data, Sampling(indexes=(3, 19, 30, 39)))
    assert [number_in(frame.pixels) for frame in found] == [3, 19, 19, 19]
    assert [frame.index for frame in found] == [3, 19, 19, 19]


@pytest.mark.parametrize(
    "make",
    [hostile.claims_in_jpeg, hostile.claims_in_vp8, hostile.claims_in_mp4],
)
@pytest.mark.parametrize(("width", "height"), [(7680, 4320), (16383, 16383), (65500, 65500), (65535, 65535), (0, 0)])
def test_sizes_that_are_not_true(make: Callable[[int, int], bytes], width: int, height: int) -> None:
    said = outcome(make(width, height))
    assert said == "frames" or "pixels" in said or "cannot be" in said


def test_frames_that_are_really_large() -> None:
    with pytest.raises(TooLarge, match=r"128×96 pixels, more than 12287 \(MAX_VIDEO_PIXELS\)"):
        frames(film(), limits=VideoLimits(pixels=128 * 96 - 1))
    assert frames(film(), limits=VideoLimits(pixels=128 * 96))


def test_frames_that_become_large() -> None:
    """Those before are given; those after, which the decoder refuses, are replaced."""
    found = frames(hostile.other_sizes(), limits=VideoLimits(pixels=128 * 96))
    assert {frame.pixels.shape for frame in found} == {(96, 128, 3)}


def test_a_size_that_changes_in_the_middle() -> None:
    found = frames(hostile.other_sizes(), Sampling(indexes=(3, 11, 12, 20)))
    assert [number_in(frame.pixels) for frame in found] == [3, 11, 12, 20]
    assert [frame.pixels.shape for frame in found] == [(96, 128, 3)] * 2 + [(256, 192, 3)] * 2


def test_a_frame_that_lasts_a_week() -> None:
    data = hostile.one_long_frame()
    assert [frame.index for frame in frames(data)] == [0] * 8
    assert len(frames(data, Sampling(fps=1000))) == 2
    (last,) = frames(data, Sampling(indexes=(1,)))
    assert (last.seconds, number_in(last.pixels)) == (hostile.WEEK, 1)


def test_no_frames() -> None:
    with pytest.raises(BadInput, match="no frames: it is empty or cut off"):
        frames(hostile.no_frames())


@pytest.mark.parametrize("data", [hostile.audio(), hostile.audio("matroska"), hostile.audio(cover=True)])
def test_no_moving_pictures(data: bytes) -> None:
    with pytest.raises(BadInput, match="no moving pictures, only sound"):
        frames(data)


def test_a_codec_that_is_not_among_the_decoders() -> None:
    with pytest.raises(BadInput, match=r"coded in ffv1; it can be H\.264, .* or H\.263"):
        frames(film("matroska", "ffv1"))


def test_pictures_in_another_file() -> None:
    with pytest.raises(BadInput, match="its pictures are in another file"):
        frames(hostile.elsewhere())
    # It is nothing else that makes the file unreadable.
    assert frames(hostile.rebuilt(film("mov"), lambda kind, body: body))


NO_VIDEOS = {
    "a text": b"To whom it may concern: this is no video.\n" * 100,
    "a playlist": b"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "a list of files": b"ffconcat version 1.0\nfile '/etc/passwd'\nduration 1\n",
    "a manifest": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period/></MPD>',
    "a session": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5000 RTP/AVP 96\n",
    "a PNG": pictures.encode(pictures.noise(), "PNG"),
    "a JPEG": pictures.encode(pictures.noise(), "JPEG"),
    "a GIF": pictures.encode(pictures.noise(), "GIF"),
    "zeros": bytes(100_000),
    "one byte": b"\0",
}


@pytest.mark.parametrize("name", NO_VIDEOS)
def test_what_is_no_video(name: str) -> None:
    with pytest.raises(BadInput, match="cannot be opened: it is broken, or none of MP4, MOV"):
        frames(NO_VIDEOS[name])


def test_an_empty_file() -> None:
    with pytest.raises(BadInput, match="a video is empty"):
        frames(b"")


@pytest.mark.parametrize("source", ["mp4", "mkv", "ts"])
def test_accidents(source: str) -> None:
    data = film(**SOURCES[source])
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda seed: outcome(hostile.mutated(data, seed)), range(100)))
    # Neither has every accident destroyed the file, nor none.
    assert 10 < outcomes.count("frames") < 100
    assert not [said for said in outcomes if "ended by" in said]
