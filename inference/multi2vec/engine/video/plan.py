"""What the packets of a video say: when each frame is shown, and where decoding can begin."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple


class Stamp(NamedTuple):
    """One packet, in the stream's unit of time. `time` is when its frame is shown, `duration` for how long."""

    time: int | None
    duration: int | None
    # Decoding can begin with it.
    is_key: bool
    # It holds a frame that others refer to, but nobody sees.
    is_hidden: bool


@dataclass(frozen=True)
class Plan:
    """Frames are counted in the order in which they are shown, packets in the order in which they are stored."""

    # When each frame is shown, ascending, in the stream's unit and in seconds.
    times: Sequence[int]
    seconds: Sequence[float]
    # When the last one ends, in seconds.
    end: float
    # (time, packet) of the key frames, ascending.
    keys: Sequence[tuple[int, int]]

    @classmethod
    def of(cls, stamps: Iterable[Stamp], unit: Fraction) -> Plan:
        """From the packets in the order in which they are stored; a unit is so many seconds."""
        durations: dict[int, int] = {}
        keys = []
        for number, stamp in enumerate(stamps):
            if stamp.time is None:
                continue
            if stamp.is_key:
                keys.append((stamp.time, number))
            if not stamp.is_hidden:
                durations[stamp.time] = stamp.duration or 0
        times = sorted(durations)
        # Twenty times as fast as a product of a fraction, for hundreds of thousands.
        above, below = unit.numerator, unit.denominator
        seconds = [time * above / below for time in times]
        return cls(times, seconds, _end(times, durations) * above / below, sorted(keys))

    def index(self, time: int | None) -> int | None:
        """The frame with that time; None if there is none."""
        if time is None:
            return None
        before = bisect_right(self.times, time) - 1
        return before if before >= 0 and self.times[before] == time else None

    def key_before(self, index: int) -> tuple[int, int]:
        """The key frame from which decoding reaches that frame: its index and packet."""
        before = bisect_right(self.keys, self.times[index], key=lambda key: key[0])
        if before == 0:
            return 0, 0
        time, packet = self.keys[before - 1]
        return bisect_left(self.times, time), packet


def _end(times: Sequence[int], durations: dict[int, int]) -> int:
    """When the last frame ends. One without a duration is shown as long as the one before."""
    if not times:
        return 0
    if durations[times[-1]] or len(times) == 1:
        return times[-1] + durations[times[-1]]
    return 2 * times[-1] - times[-2]
