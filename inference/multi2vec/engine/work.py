"""How much runs at a time, how much may wait, and how large an item may be. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from multi2vec.engine.video.limits import VideoLimits


@dataclass(frozen=True)
class Budget:
    """How large a batch may be.

    `padded` bounds items × largest size; an item that is larger by itself is a long one, and a batch of its own.
    `slack` is the padding, in units of size, that costs as much as a batch of its own: beyond it, smaller items go into
    the next batch.
    """

    items: int
    padded: int | None = None
    slack: int | None = None

    def batches(self, size: int) -> float:
        """How many full batches' worth one item is: above 1 it is a long one."""
        return 0.0 if self.padded is None else size / self.padded


@dataclass(frozen=True)
class Admission:
    """How many items may be in hand, and how long the last of them may have to wait (seconds)."""

    items: float = math.inf
    seconds: float = math.inf


@dataclass(frozen=True)
class Work:
    """`budgets` are by modality; one that is missing has the budget of its preparer."""

    prepare_threads: int = 0
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    admission: Admission = Admission()


@dataclass(frozen=True)
class Limits:
    """What a single item may cost."""

    picture_bytes: int = 32 * 1024 * 1024
    picture_pixels: int = 64_000_000
    video: VideoLimits = field(default_factory=VideoLimits)
