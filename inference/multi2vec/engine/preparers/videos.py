"""Videos: a file, or pictures that are its frames; and the frames that are wanted of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from multi2vec.engine.errors import BadInput
from multi2vec.engine.preparers.layouts import Laid
from multi2vec.engine.preparers.pictures import Picture, decode_base64, decoded
from multi2vec.engine.video.decoder import Frame, decode
from multi2vec.engine.video.limits import BYTES_LIMIT
from multi2vec.engine.video.sampling import Sampling, choose
from multi2vec.engine.work import Limits

# Of a video of which nothing else is said, as pictures: frames at the centres of as many equal parts.
USUAL = Sampling(count=8)


@dataclass(frozen=True)
class Video:
    """A video's file, as bytes, in base64 or at a path, or its frames as pictures, one second apart; and which of the
    frames are wanted, if anybody says so."""

    content: Any
    sampling: Sampling | None = None


@dataclass(frozen=True)
class Film:
    """A video's frames as a vision tower takes them: each one, or those that are shown together, and the middle of the
    seconds at which they are shown."""

    shown: Sequence[tuple[Laid, float]]


def video_of(item: Any) -> Video:
    """The item, of which nothing more is said if it is a file alone."""
    return item if isinstance(item, Video) else Video(item)


def frames(
    video: Video, usual: Sampling, limits: Limits, is_wanted: Callable[[], bool] = lambda: True
) -> Iterator[Frame]:
    """The wanted frames, or the usual ones, one at a time, until they are not wanted any more. For a worker thread.
    Raises as `video.decoder.decode` does."""
    content, sampling = video.content, video.sampling or usual
    if isinstance(content, list | tuple):
        yield from _given(content, sampling, limits)
        return
    if isinstance(content, str):
        content = decode_base64(content, limits.video.bytes, what="video", limit=BYTES_LIMIT)
    with contextlib.closing(decode(content, sampling, limits.video)) as found:  # type: ignore[type-var]
        for frame in found:
            if not is_wanted():
                return
            yield frame


def _given(pictures: Sequence[Picture], sampling: Sampling, limits: Limits) -> Iterator[Frame]:
    if not pictures:
        raise BadInput("a video has no frames")
    chosen = choose(sampling, range(len(pictures)), len(pictures), limits.video.frames)
    for index in chosen:
        pixels, _ = decoded(pictures[index], lambda opened: np.asarray(opened.convert("RGB")), limits)
        yield Frame(pixels, float(index), index, len(chosen))
