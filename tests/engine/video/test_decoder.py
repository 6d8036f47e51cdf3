"""The right frames, upright, of every kind of file that can be read."""

import io
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.container import OutputContainer

from multi2vec.engine.errors import Unsupported
from multi2vec.engine.video import decoder
from multi2vec.engine.video.decoder import Frame, decode
from multi2vec.engine.video.sampling import Sampling
from tests.engine.video.films import HEIGHT, WIDTH, film, number_in, picture

X265 = {"preset": "ultrafast", "x265-params": "log-level=none:pools=none"}
REORDERED = {"preset": "medium", "bf": "3"}

KINDS: dict[str, dict[str, Any]] = {
    "mp4 H.264": {"options": {"preset": "ultrafast"}},
    "mp4 H.264, reordered": {"options": REORDERED},
    "mp4 H.264, open groups": {
        "options": {"preset": "medium", "x264-params": "open-gop=1:keyint=12:min-keyint=12:scenecut=0:bframes=3"}
    },
    "mp4 H.264, in fragments": {"muxing": {"movflags": "frag_keyframe+empty_moov+default_base_moof"}},
    "mov H.264": {"container": "mov", "options": REORDERED},
    "mkv H.264": {"container": "matroska", "options": REORDERED},
    "ts H.264": {"container": "mpegts", "options": REORDERED},
    "flv H.264": {"container": "flv", "options": REORDERED},
    "avi H.264, reordered without times": {"container": "avi", "options": REORDERED},
    "mp4 H.265": {"codec": "libx265", "options": X265},
    "ts H.265": {"container": "mpegts", "codec": "libx265", "options": X265},
    "webm VP8": {"container": "webm", "codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}},
    "webm VP9": {"container": "webm", "codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "webm AV1": {"container": "webm", "codec": "libsvtav1", "options": {"preset": "10", "crf": "20"}},
    "mp4 MPEG-4, reordered": {"codec": "mpeg4", "options": {"bf": "2"}},
    "avi MPEG-4": {"container": "avi", "codec": "mpeg4"},
    "avi Motion JPEG": {"container": "avi", "codec": "mjpeg"},
    "mpg MPEG-2": {"container": "mpeg", "codec": "mpeg2video", "unit": Fraction(1, 25), "options": {"bf": "2"}},
    "ts MPEG-2": {"container": "mpegts", "codec": "mpeg2video", "unit": Fraction(1, 25)},
    "mpg MPEG-1": {"container": "mpeg", "codec": "mpeg1video", "unit": Fraction(1, 25)},
    "flv H.263": {"container": "flv", "codec": "flv"},
    "3gp H.263": {
        "container": "3gp",
        "codec": "h263",
        "unit": Fraction(1, 15),
        "pictures": [picture(number, 176, 144) for number in range(40)],
    },
}


def frames(data: bytes | Path, **wanted: Any) -> list[Frame]:
    return list(decode(data, Sampling(**wanted)))


def shown(found: list[Frame]) -> list[tuple[int, int]]:
    """Which frame it is said to be, and which it is."""
    return [(frame.index, number_in(frame.pixels)) for frame in found]


@pytest.mark.parametrize("kind", KINDS)
def test_the_right_frames(kind: str) -> None:
    unit = KINDS[kind].get("unit", Fraction(1, 10))
    indexes = (0, 5, 17, 18, 39)
    found = frames(film(**KINDS[kind]), indexes=indexes)
    assert shown(found) == [(index, index) for index in indexes]
    assert [frame.seconds for frame in found] == pytest.approx([float(index * unit) for index in indexes], abs=0.001)
    assert all(frame.pixels.dtype == np.uint8 and frame.pixels.flags.c_contiguous for frame in found)


@pytest.mark.parametrize(
    "kind", ["mp4 H.264, open groups", "ts H.264", "avi H.264, reordered without times", "webm VP8"]
)
@pytest.mark.parametrize("index", [10, 11, 12, 13, 14, 22, 23])
def test_the_right_frame_beside_a_key_frame(kind: str, index: int) -> None:
    assert shown(frames(film(**KINDS[kind]), indexes=(index,))) == [(index, index)]


def test_every_frame() -> None:
    assert shown(frames(film(options=REORDERED), every=1)) == [(index, index) for index in range(40)]


def test_eight_at_the_centres_of_segments() -> None:
    found = frames(film(), count=8)
    assert shown(found) == [(index, index) for index in (2, 7, 12, 17, 22, 27, 32, 37)]


def test_more_than_there_are() -> None:
    assert shown(frames(film(times=range(2)), count=5)) == [(0, 0)] * 2 + [(1, 1)] * 3


def test_pixels_are_the_encoded_ones() -> None:
    (frame,) = frames(film(codec="mjpeg", options={"q": "2"}), indexes=(21,))
    assert frame.pixels.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(frame.pixels.astype(int) - picture(21)).mean() < 8


def test_a_width_that_is_no_multiple_of_anything() -> None:
    pictures = [picture(number, 134, 98) for number in range(10)]
    found = frames(film(times=range(10), pictures=pictures), every=3)
    assert shown(found) == [(0, 0), (3, 3), (6, 6), (9, 9)]
    assert found[0].pixels.shape == (98, 134, 3)


VARYING = [0, 100, 120, 140, 160, 900, 1000, 2500, 2510, 2520]


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_varying_frame_rate(container: str) -> None:
    data = film(container, times=VARYING, unit=Fraction(1, 1000))
    found = frames(data, fps=2, at="starts")
    assert shown(found) == [(index, index) for index in (0, 4, 6, 6, 6, 7)]
    assert [frame.seconds for frame in found] == pytest.approx([0, 0.16, 1, 1, 1, 2.5], abs=0.001)


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_a_stream_that_begins_late(container: str) -> None:
    data = film(container, times=range(70, 110), options=REORDERED)
    found = frames(data, start=1.0, duration=1.0, count=2, at="starts")
    assert shown(found) == [(10, 10), (15, 15)]
    assert [frame.seconds for frame in found] == pytest.approx([1.0, 1.5], abs=0.001)


def test_no_duration() -> None:
    """Written without going back: the file's head cannot say how long it is."""
    data = film("matroska", muxing={"live": "1"})
    with av.open(io.BytesIO(data)) as container:
        assert container.duration is None
    assert shown(frames(data, count=4)) == [(5, 5), (15, 15), (25, 25), (35, 35)]


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska"])
@pytest.mark.parametrize(("degrees", "quarters"), [(90, 1), (180, 2), (270, 3)])
def test_a_turned_camera(container: str, degrees: int, quarters: int) -> None:
    """Stored are pixels that lie on their side; the file says how to turn them, counter-clockwise."""
    stored = [np.ascontiguousarray(np.rot90(picture(number), -quarters)) for number in range(20)]
    data = film(container, times=range(20), pictures=stored, degrees=degrees)
    found = frames(data, indexes=(3, 13))
    assert found[0].pixels.shape == (HEIGHT, WIDTH, 3)
    assert shown(found) == [(3, 3), (13, 13)]


def test_a_mirrored_camera() -> None:
    stored = [np.ascontiguousarray(picture(number)[:, ::-1]) for number in range(5)]
    assert shown(frames(film(times=range(5), pictures=stored, hflip=True), indexes=(3,))) == [(3, 3)]


def beside(add: Callable[[OutputContainer], Callable[[], None]]) -> bytes:
    """A film in one file with what `add` adds, which returns how to write it."""
    file = io.BytesIO()
    with av.open(io.BytesIO(film("matroska"))) as source, av.open(file, "w", format="matroska") as output:
        write = add(output)
        copied = output.add_stream_from_template(source.streams.video[0])
        output.start_encoding()
        write()
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copied
                output.mux(packet)
    return file.getvalue()


def sound(output: OutputContainer) -> Callable[[], None]:
    stream = output.add_stream("aac", rate=8000)

    def write() -> None:
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), dtype=np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        output.mux(stream.encode(silence))
        output.mux(stream.encode(None))

    return write


def subtitles(output: OutputContainer) -> Callable[[], None]:
    """And the font that they want."""
    stream: Any = output.add_stream("subrip")
    stream.codec_context.subtitle_header = STYLES
    output.add_attachment("font.ttf", "font/ttf", bytes(100))

    def write() -> None:
        packet: Any = av.Packet(b"Hello")
        packet.stream, packet.pts, packet.dts, packet.duration = stream, 0, 0, 1000
        packet.time_base = Fraction(1, 1000)
        output.mux(packet)

    return write


STYLES = b"""[Script Info]
ScriptType: v4.00+
[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


@pytest.mark.parametrize("add", [sound, subtitles])
def test_other_streams_beside_it(add: Callable[[OutputContainer], Callable[[], None]]) -> None:
    assert shown(frames(beside(add), indexes=(30,))) == [(30, 30)]


def test_a_file_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(film())
    assert shown(frames(path, indexes=(30,))) == [(30, 30)]
    assert path.read_bytes() == film()


def test_many_at_once() -> None:
    data = film()
    with ThreadPoolExecutor(10) as pool:
        found = pool.map(lambda _: shown(frames(data, count=2)), range(20))
    assert list(found) == [[(10, 10), (30, 30)]] * 20


def test_one_that_is_left_early() -> None:
    running = decode(film(), Sampling(every=1))
    assert next(running).index == 0
    running.close()  # type: ignore[attr-defined]


def test_one_that_is_forgotten() -> None:
    assert next(decode(film(), Sampling(every=1))).index == 0


def test_without_av(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Unsupported, match=r"pip install 'multi2vec-openvino\[video\]'.* -video .* --video"):
        frames(film(), count=1)


def test_the_parent_imports_no_av_and_the_child_neither_numpy_nor_openvino() -> None:
    code = "import sys, multi2vec.engine.video.{}; print(*sys.modules)"
    parent, child = (
        subprocess.run(
            [sys.executable, "-c", code.format(name)], capture_output=True, text=True, check=True
        ).stdout.split()
        for name in ("decoder", "child")
    )
    assert "av" not in parent
    assert not {"numpy", "openvino", "PIL", "asyncio", "multi2vec.engine.embedder"} & set(child)
