"""The video that is measured: H.264 in MP4, photographs that a camera moves over, made once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from tests.benchmarks import samples
from tests.benchmarks.models import CACHE
from tests.engine.video.films import Pixels, film

# 5 Mbit/s, about what sites have for 1080p; a key frame every two seconds.
OPTIONS = {"preset": "veryfast", "b": "5000000"}
SECONDS_BETWEEN_KEYS = 2
# How much larger a photograph is than what the camera shows of it.
ROOM = 1.25
SECONDS_OF_A_SCENE = 10
# So many pictures have each a grain of its own, of that standard deviation.
GRAINS, GRAIN = 4, 4


@dataclass(frozen=True)
class Shape:
    """How long and how large a video is; the defaults are those of the figures."""

    seconds: int = 30
    width: int = 1920
    height: int = 1080
    rate: int = 25

    @property
    def frames(self) -> int:
        """How many there are."""
        return self.seconds * self.rate


def video(shape: Shape = Shape(), cache: Path = CACHE) -> bytes:
    """The file of a video of that shape."""
    path = cache / f"film-{shape.width}x{shape.height}-{shape.seconds}s-{shape.rate}.mp4"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        options = {**OPTIONS, "g": str(SECONDS_BETWEEN_KEYS * shape.rate)}
        made = film(times=range(shape.frames), unit=Fraction(1, shape.rate), pictures=Footage(shape), options=options)
        beside = path.with_suffix(".new")
        beside.write_bytes(made)
        beside.rename(path)
    return path.read_bytes()


class Footage(Sequence[Pixels]):
    """The pictures of a video, each made when it is asked for: all of them would be gigabytes."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._photographs = list(samples.photographs())
        self._scene: tuple[int, list[Pixels]] = (-1, [])

    def __len__(self) -> int:
        return self._shape.frames

    def __getitem__(self, number: int) -> Pixels:  # type: ignore[override]
        if not 0 <= number < len(self):
            raise IndexError(number)
        ground = self._grounds(number // (SECONDS_OF_A_SCENE * self._shape.rate))[number % GRAINS]
        seconds, room = number / self._shape.rate, np.array(ground.shape[:2]) - (self._shape.height, self._shape.width)
        top, left = ((room / 2) * (1 + np.sin([0.7 * seconds, 0.4 * seconds]))).astype(int)
        return np.ascontiguousarray(ground[top : top + self._shape.height, left : left + self._shape.width])

    def _grounds(self, scene: int) -> list[Pixels]:
        """The scene's photograph, with each of the grains."""
        if self._scene[0] != scene:
            size = round(self._shape.width * ROOM), round(self._shape.height * ROOM)
            photograph = self._photographs[scene % len(self._photographs)].resize(size, Image.Resampling.LANCZOS)
            self._scene = scene, [_grained(np.asarray(photograph), grain) for grain in range(GRAINS)]
        return self._scene[1]


def _grained(pixels: Pixels, seed: int) -> Pixels:
    grain = np.random.default_rng(seed).normal(0, GRAIN, pixels.shape).round().astype(np.int16)
    return np.clip(pixels + grain, 0, 255).astype(np.uint8)
