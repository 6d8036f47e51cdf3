"""Which frames of a video are wanted, and which those are, by the times at which they are shown.

Nothing here counts with a constant frame rate: a phone's video changes it all the time.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from multi2vec.engine.errors import BadInput, TooLarge
from multi2vec.engine.video.limits import FRAMES_LIMIT

# Matroska rounds times to milliseconds. No frame is shown for so short a time.
TOLERANCE = 0.001

# Seconds that come of rounding in a sum.
EQUALLY_NEAR = 1e-6

At = Literal["starts", "centres", "ends", "ticks"]


@dataclass(frozen=True)
class Sampling:
    """The frames that are wanted. Of several ways to say it the first that is set counts: `indexes`, `fps`, `count`,
    `every`.

    `at` is the place of a frame in its part of the video, when the parts are equally long: "starts" (as Intel's
    multimodal-embedding-serving does it), "centres", or "ends": from the first frame to the last one, both included,
    as `numpy.linspace` has them (so does the Qwen family). "ticks" is for frames per second alone: what is shown at
    each tick of a clock that runs so fast, for as many ticks as the video lasts wholly; of more than `most` ticks so
    many, from the first to the last (so does EmbeddingGemma 2).
    """

    # Frames by number in the whole video, from 0; those outside the window do not count.
    indexes: tuple[int, ...] | None = None
    # Frames per second, at least `least` and at most `most`, an even number if `even`; none twice, but if need be to
    # have two.
    fps: float | None = None
    least: int = 1
    most: int | None = None
    even: bool = False
    # Exactly so many; of a video that has fewer, some twice.
    count: int | None = None
    # Every n-th frame.
    every: int | None = None
    # The window: seconds after the first frame, and how long; to the end if None.
    start: float = 0.0
    duration: float | None = None
    at: At = "centres"

    def __post_init__(self) -> None:
        for name in ("fps", "count", "every", "least", "most", "duration"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise BadInput(f"the sampling of a video has {name} {value}; it must be more than 0")
        if not (self.start >= 0 and math.isfinite(self.start)):
            raise BadInput(f"the sampling of a video starts at {self.start} seconds; it must be 0 or more")
        if self.indexes is None and self.fps is None and self.count is None and self.every is None:
            raise BadInput(
                "the sampling of a video must say which frames: by number, per second, how many, or every n-th"
            )
        if self.at == "ticks" and self.fps is None:
            raise BadInput("the sampling of a video has ticks, but does not say how many per second")


@dataclass(frozen=True)
class _Window:
    """Part of a video: from `begin` to `finish` (seconds), which shows the frames `first` to `last`."""

    begin: float
    finish: float
    first: int
    last: int

    @property
    def frames(self) -> int:
        return self.last - self.first + 1


def choose(sampling: Sampling, times: Sequence[float], end: float, most: int) -> list[int]:
    """Indexes into `times` of the wanted frames, ascending.

    `times` are the seconds at which frames begin to be shown, ascending, the first one not necessarily 0; `end` is when
    the last one ends. Raises `BadInput` when that selects nothing and `TooLarge` when it selects more than `most`.
    """
    window = _window(sampling, times, end)
    if sampling.indexes is not None:
        return _by_number(sampling.indexes, window, len(times), most)
    if sampling.fps is not None:
        return _by_rate(sampling, sampling.fps, window, times, most)
    if sampling.count is not None:
        return _spread(sampling.at, sampling.count, window, times, most)
    every = sampling.every or 1
    _check(-(-window.frames // every), most)
    return list(range(window.first, window.last + 1, every))


def _window(sampling: Sampling, times: Sequence[float], end: float) -> _Window:
    begin = times[0] + sampling.start
    # A last frame without a duration leaves no time at all; it is shown nevertheless.
    if begin >= max(end, times[-1] + TOLERANCE):
        raise BadInput(
            f"the sampling of a video starts at {sampling.start:g} seconds, but the video lasts {end - times[0]:.3f}"
        )
    finish = end if sampling.duration is None else min(end, begin + sampling.duration)
    first = _shown(times, begin)
    return _Window(begin, finish, first, max(first, bisect_left(times, finish - TOLERANCE) - 1))


def _shown(times: Sequence[float], moment: float) -> int:
    """The frame that is shown at that moment."""
    return max(0, bisect_right(times, moment + TOLERANCE) - 1)


def _by_number(indexes: Sequence[int], window: _Window, number: int, most: int) -> list[int]:
    chosen = sorted(index for index in indexes if window.first <= index <= window.last)
    if not chosen:
        raise BadInput(
            f"none of the frames that are wanted of a video is there: it has {number}, of which {window.first} to "
            f"{window.last} are in the window"
        )
    _check(len(chosen), most)
    return chosen


def _by_rate(sampling: Sampling, fps: float, window: _Window, times: Sequence[float], most: int) -> list[int]:
    if sampling.at == "ticks":
        return _at_ticks(sampling, fps, window, times, most)
    length, ample = window.finish - window.begin, window.frames + 1
    if sampling.at == "starts":
        exact = math.ceil(min((length - TOLERANCE) * fps, ample))
    else:
        exact = int(min((length + TOLERANCE) * fps, ample))
    number = min(max(exact, sampling.least), sampling.most or window.frames, window.frames)
    if sampling.even:
        number = max(2, number - number % 2)
    if sampling.at == "starts" and number == exact:
        # The last part may be shorter than the others.
        window = _Window(window.begin, window.begin + number / fps, window.first, window.last)
    return _spread(sampling.at, number, window, times, most)


def _at_ticks(sampling: Sampling, fps: float, window: _Window, times: Sequence[float], most: int) -> list[int]:
    ticks = max(1, int((window.finish - window.begin + TOLERANCE) * fps))
    number = min(ticks, sampling.most or ticks)
    _check(number, most)
    # In whole numbers, so that nothing is rounded.
    wanted = (part * (ticks - 1) // max(1, number - 1) for part in range(number))
    return [min(max(_shown(times, window.begin + tick / fps), window.first), window.last) for tick in wanted]


def _spread(at: At, number: int, window: _Window, times: Sequence[float], most: int) -> list[int]:
    """Exactly so many frames, equally far from each other."""
    _check(number, most)
    if at == "ends":
        return list(_from_end_to_end(number, window, times))
    length = window.finish - window.begin
    offset = 0.5 if at == "centres" else 0.0
    moments = (window.begin + (part + offset) * length / number for part in range(number))
    return [min(max(_shown(times, moment), window.first), window.last) for moment in moments]


def _from_end_to_end(number: int, window: _Window, times: Sequence[float]) -> Iterable[int]:
    begin, length = times[window.first], times[window.last] - times[window.first]
    for part in range(number):
        moment = begin + part * length / max(1, number - 1)
        yield min(_nearest(times, moment), window.last)


def _nearest(times: Sequence[float], moment: float) -> int:
    """The frame that begins nearest to that moment; of two that are as near the even one, as numpy rounds."""
    before = max(0, bisect_right(times, moment) - 1)
    after = min(before + 1, len(times) - 1)
    difference = (times[after] - moment) - (moment - times[before])
    if abs(difference) <= EQUALLY_NEAR and before != after:
        return before if before % 2 == 0 else after
    return after if difference < 0 else before


def _check(number: int, most: int) -> None:
    if number > most:
        raise TooLarge(f"{number} frames of a video are wanted, more than {most}", limit=FRAMES_LIMIT)
