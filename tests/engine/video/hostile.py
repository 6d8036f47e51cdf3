"""Files that are broken, lie, or are no videos; each made of small parts that are right."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.stream import Disposition

from tests.engine.video.films import film, picture

WEEK = 7 * 24 * 60 * 60

HOLDERS = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl")


def truncated(data: bytes, part: float) -> bytes:
    return data[: int(len(data) * part)]


def corrupted(data: bytes, every: int = 40) -> bytes:
    """One byte in so many is another one, the file's head and tail left as they are."""
    changed = bytearray(data)
    for place in range(len(data) // 4, len(data) * 3 // 4, every):
        changed[place] ^= 0x5A
    return bytes(changed)


def mutated(data: bytes, seed: int) -> bytes:
    """A few accidents, always the same for a seed: bytes changed, cut out, repeated, set to extremes."""
    chance = random.Random(seed)
    changed = bytearray(data)
    for _ in range(chance.choice([1, 2, 4, 16, 64])):
        begin = chance.randrange(len(changed))
        end = min(len(changed), begin + chance.choice([1, 1, 1, 4, 4, 64, 1024]))
        kind = chance.randrange(6)
        if kind < 3:
            changed[begin:end] = chance.randbytes(end - begin)
        elif kind == 3:
            changed[begin:end] = bytes([chance.choice([0, 0x7F, 0x80, 0xFF])]) * (end - begin)
        elif kind == 4 and len(changed) > 2000:
            del changed[begin:end]
        else:
            changed[begin:begin] = changed[begin:end]
    return bytes(changed)


def patched(data: bytes, mark: bytes, offset: int, new: bytes) -> bytes:
    """With other bytes so far behind a mark, wherever that is."""
    changed = bytearray(data)
    place = data.find(mark)
    assert place >= 0
    while place >= 0:
        changed[place + offset : place + offset + len(new)] = new
        place = data.find(mark, place + len(mark))
    return bytes(changed)


def claims_in_mp4(width: int, height: int) -> bytes:
    """The container's head tells of another size than the pictures have."""
    size = struct.pack(">HH", width, height)
    return patched(film(), b"avc1", 28, size)


def claims_in_jpeg(width: int, height: int) -> bytes:
    """Each picture tells of that size (the frame header of ISO/IEC 10918-1, B.2.2)."""
    data = film("avi", "mjpeg", times=range(3))
    data = patched(data, b"\xff\xc0", 5, struct.pack(">HH", height, width))
    return patched(data, b"strf", 12, struct.pack("<ii", width, height))


def claims_in_vp8(width: int, height: int) -> bytes:
    """So does each key frame (RFC 6386, 9.1)."""
    return patched(film("webm", "libvpx"), b"\x9d\x01\x2a", 3, struct.pack("<HH", width, height))


def audio(container: str = "mp4", cover: bool = False) -> bytes:
    """A second of silence."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream: Any = output.add_stream("aac", rate=8000)
        if cover:
            still: Any = output.add_stream("mjpeg", rate=1)
            still.width, still.height, still.pix_fmt = 128, 96, "yuvj420p"
            still.disposition = Disposition.attached_pic
            output.mux(still.encode(av.VideoFrame.from_ndarray(picture(1), format="rgb24")))
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), dtype=np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        output.mux(stream.encode(sound))
        output.mux(stream.encode(None))
    return file.getvalue()


def no_frames() -> bytes:
    """The head of a film in fragments, without any."""
    data = film(muxing={"movflags": "frag_keyframe+empty_moov+default_base_moof"})
    return data[: data.index(b"moof") - 4]


def other_sizes() -> bytes:
    """Pictures that become larger and upright in the middle of the stream."""
    # Reordered frames would move one of the two in time.
    ordered = {"bf": "0"}
    others = [picture(number, 192, 256) for number in range(12, 24)]
    first = film("mpegts", times=range(12), options=ordered)
    return first + film("mpegts", times=range(12, 24), pictures=others, options=ordered)


def one_long_frame() -> bytes:
    """The first of two frames is shown for a week."""
    return film(times=[0, WEEK], unit=Fraction(1, 1), muxing={"video_track_timescale": "1"})


def elsewhere() -> bytes:
    """A film whose pictures are in another file (an alias, as QuickTime writes it)."""
    return rebuilt(film("mov"), lambda kind, body: alias("/etc/passwd") if kind == b"dref" else body)


def alias(path: str) -> bytes:
    """A list of one data reference, with an alias record (Inside Macintosh: Files, and FFmpeg's libavformat/mov.c)."""
    text = path.encode()
    text += b"\0" * (len(text) % 2)
    record = bytes(10) + b"\x04disk".ljust(28, b"\0") + bytes(12) + b"\x06passwd".ljust(64, b"\0") + bytes(16)
    record += struct.pack(">hh", 1, 1) + bytes(16)
    record += struct.pack(">hh", 2, len(text)) + text + struct.pack(">hh", -1, 0)
    record = record.ljust(200, b"\0")
    return struct.pack(">II", 0, 1) + struct.pack(">I4sI", len(record) + 12, b"alis", 0) + record


def rebuilt(data: bytes, change: Callable[[bytes, bytes], bytes]) -> bytes:
    """The same boxes (ISO/IEC 14496-12, 4.2) with other contents. None may be in front of the pictures."""
    made = b""
    for kind, body in boxes(data):
        body = rebuilt(body, change) if kind in HOLDERS else change(kind, body)
        made += struct.pack(">I4s", len(body) + 8, kind) + body
    return made


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    while data:
        size, kind = struct.unpack(">I4s", data[:8])
        yield kind, data[8:size]
        data = data[size:]
