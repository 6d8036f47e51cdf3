"""Small videos whose pictures say which frame they are and which way is up."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

WIDTH, HEIGHT, BITS = 128, 96, 8
RED, BLUE = (220, 30, 30), (30, 30, 220)


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """The upper half is the number in binary, white is 1, the highest bit on the left; the lower half is red on the
    left and blue on the right. uint8 (height, width, 3)."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    for bit in range(BITS):
        if number >> (BITS - 1 - bit) & 1:
            pixels[: height // 2, bit * width // BITS : (bit + 1) * width // BITS] = 255
    pixels[height // 2 :, : width // 2] = RED
    pixels[height // 2 :, width // 2 :] = BLUE
    return pixels


def number_in(pixels: Pixels) -> int:
    """The number in a picture that may have gone through any codec; -1 if that picture is not upright."""
    height, width, _ = pixels.shape
    lower = pixels[3 * height // 4]
    if not (lower[width // 4, 0] > lower[width // 4, 2] and lower[3 * width // 4, 0] < lower[3 * width // 4, 2]):
        return -1
    row = pixels[height // 4].mean(axis=1)
    bits = [row[(2 * bit + 1) * width // (2 * BITS)] > 127 for bit in range(BITS)]
    return sum(1 << (BITS - 1 - bit) for bit, value in enumerate(bits) if value)


@contextlib.contextmanager
def _as_it_was_scheduled() -> Iterator[None]:
    """Run by root, the encoder of AV1 gives this thread, and all that it starts later, a real-time priority before
    which no other process gets a turn."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def film(
    container: str = "mp4",
    codec: str = "libx264",
    *,
    times: Sequence[int] = range(40),
    unit: Fraction = Fraction(1, 10),
    pictures: Sequence[Pixels] | None = None,
    options: Mapping[str, str] | None = None,
    muxing: Mapping[str, str] | None = None,
    degrees: int = 0,
    hflip: bool = False,
) -> bytes:
    """A video file with a picture at each of the times, a key frame in every 12, and the display matrix that turns it
    counter-clockwise."""
    pictures = pictures or [picture(number) for number in range(len(times))]
    file = io.BytesIO()
    with _as_it_was_scheduled(), av.open(file, "w", format=container, container_options=dict(muxing or {})) as output:
        stream: Any = output.add_stream(codec, rate=int(1 / unit), options={"g": "12", **(options or {})})
        stream.height, stream.width, _ = pictures[0].shape
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = unit
        stream.codec_context.thread_count = 1
        if degrees or hflip:
            stream.set_display_rotation(degrees, hflip=hflip)
        for time, pixels in zip(times, pictures, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = time, unit
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()
