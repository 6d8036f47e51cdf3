"""Videos as pictures: each wanted frame is prepared as a picture is, while the next one is decoded."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from multi2vec.engine.preparers.pictures import decode_base64
from multi2vec.engine.preparers.protocol import Prepared, Preparer
from multi2vec.engine.video.decoder import Frame, decode
from multi2vec.engine.video.limits import BYTES_LIMIT
from multi2vec.engine.video.sampling import Sampling
from multi2vec.engine.wanted import Wanted
from multi2vec.engine.work import Limits

# Of a video of which nothing else is said: frames at the centres of as many equal parts.
USUAL = Sampling(count=8)


@dataclass(frozen=True)
class Video:
    """A video's file, as bytes, in base64 or at a path, and which of its frames are wanted."""

    content: Any
    sampling: Sampling = USUAL


def video_of(item: Any) -> Video:
    """The item, with the usual frames if it is a file alone."""
    return item if isinstance(item, Video) else Video(item)


def frames(video: Video, limits: Limits, is_wanted: Callable[[], bool] = lambda: True) -> Iterator[Frame]:
    """The wanted frames, one at a time, until they are not wanted any more. For a worker thread. Raises as
    `video.decoder.decode` does."""
    content = video.content
    if isinstance(content, str):
        content = decode_base64(content, limits.video.bytes, what="video", limit=BYTES_LIMIT)
    with contextlib.closing(decode(content, video.sampling, limits.video)) as found:  # type: ignore[type-var]
        for frame in found:
            if not is_wanted():
                return
            yield frame


def prepared(
    video: Video, pictures: Preparer[Any], wanted: Wanted, limits: Limits, is_wanted: Callable[[], bool]
) -> list[Prepared]:
    """What the preparer of pictures makes of the wanted frames."""
    return [pictures.prepare(frame.pixels, wanted) for frame in frames(video, limits, is_wanted)]
