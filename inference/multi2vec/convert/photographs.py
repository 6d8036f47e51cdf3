"""Photographs in the sizes that cameras give, from those that scikit-image ships."""

from __future__ import annotations

import io
from functools import cache
from importlib.resources import files

from PIL import Image, ImageOps

# By file of scikit-image: the size of a camera that a copy is enlarged to.
SIZES = {
    "coffee.png": (4000, 3000),
    "astronaut.png": (3024, 4032),
    "rocket.jpg": (1920, 1280),
    "chelsea.png": (6000, 4000),
}
QUALITY = 90


@cache
def camera_files() -> dict[str, bytes]:
    """JPEG files by name."""
    return {
        f"photograph {width}×{height}": _jpeg(_photograph(name, (width, height)))
        for name, (width, height) in SIZES.items()
    }


def small_files() -> tuple[bytes, bytes]:
    """Two of them shrunk, JPEG files of a few KB."""
    return _jpeg(_photograph("chelsea.png", (120, 80))), _jpeg(_photograph("astronaut.png", (84, 112)))


def _photograph(name: str, size: tuple[int, int]) -> Image.Image:
    with files("skimage").joinpath("data", name).open("rb") as file:
        return ImageOps.fit(Image.open(file).convert("RGB"), size, Image.Resampling.BICUBIC)


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
