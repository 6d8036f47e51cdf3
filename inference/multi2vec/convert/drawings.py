"""Drawn pictures in sizes and of kinds that preparation gets wrong first.

They come from fixed formulas, so that a conversion always measures the same.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

ORDINARY = ((224, 224), (64, 64), (225, 223), (227, 341), (341, 227), (333, 501), (640, 479))
EXTREME = ((1, 1), (2, 3), (33, 47), (640, 120), (2000, 90), (9, 401))
SIZES = (*ORDINARY, *EXTREME)


# The library that opens them knows no rule for these modes, or another one than the engine's.
UNUSUAL = ("float TIFF", "LAB TIFF")


def scene_file(width: int, height: int, mode: str = "RGB") -> bytes:
    """A drawn picture as a PNG file."""
    return _file(_scene(width, height, mode))


def moving_files(count: int, width: int, height: int) -> list[bytes]:
    """A video's frames as PNG files: a window that moves over a drawing."""
    whole = _scene(width + 8 * count, height)
    return [_file(whole.crop((8 * number, 0, 8 * number + width, height))) for number in range(count)]


def _scene(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """A picture with smooth ground, hard edges and fine grain, in any mode."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    u, v = x / max(width - 1, 1), y / max(height - 1, 1)
    grain = (x * 37 + y * 91 + x * y * 13) % 53
    channels = [
        200 * u + grain,
        200 * (1 - v) + 55 * ((x // 7 + y // 5) % 2),
        255 * ((u - 0.4) ** 2 + (v - 0.6) ** 2 < 0.08) * 0.8 + grain,
        255 * (0.5 + 0.5 * np.sin(9 * u + 5 * v)),
    ]
    array = np.stack([np.clip(channel, 0, 255).astype(np.uint8) for channel in channels], axis=-1)
    rgba = Image.fromarray(array, "RGBA")
    return rgba if mode == "RGBA" else rgba.convert("RGB").convert(mode)


def _file(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _palette(*, transparent: bool) -> bytes:
    picture = _scene(150, 101).quantize(32)
    return _file(picture, transparency=3) if transparent else _file(picture)


def _grey_alpha() -> bytes:
    alpha = _scene(97, 130, "RGBA").getchannel("A")
    picture = Image.merge("LA", (_scene(97, 130, "L"), alpha))
    return _file(picture)


def _colour_key() -> bytes:
    picture = _scene(60, 80)
    corner = picture.getpixel((0, 0))
    return _file(picture, transparency=corner)


def _grey_16_bit() -> bytes:
    y, x = np.mgrid[0:75, 0:101]
    return _file(Image.fromarray((x * 5 + y * 7).astype(np.uint16)))


def _float_tiff() -> bytes:
    y, x = np.mgrid[0:75, 0:101]
    return _file(Image.fromarray((x * 1.5 + y).astype(np.float32)), "TIFF")


def _turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _file(_scene(160, 99), "JPEG", exif=exif, quality=92)


def _animation(kind: str) -> bytes:
    frames = [_scene(90, 71), _scene(90, 71).transpose(Image.Transpose.ROTATE_180)]
    return _file(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)


KINDS: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: _file(_scene(320, 213), "JPEG", quality=90),
    "progressive JPEG 4:4:4": lambda: _file(_scene(213, 320), "JPEG", quality=80, progressive=True, subsampling=0),
    "grey JPEG": lambda: _file(_scene(131, 97, "L"), "JPEG"),
    "CMYK JPEG": lambda: _file(_scene(131, 97, "CMYK"), "JPEG"),
    "EXIF orientation 6": lambda: _turned(6),
    "EXIF orientation 2": lambda: _turned(2),
    "grey": lambda: _file(_scene(101, 75, "L")),
    "1 bit": lambda: _file(_scene(101, 75, "1")),
    "16-bit grey": _grey_16_bit,
    "float TIFF": _float_tiff,
    "palette": lambda: _palette(transparent=False),
    "palette with transparency": lambda: _palette(transparent=True),
    "RGBA": lambda: _file(_scene(140, 90, "RGBA")),
    "grey with alpha": _grey_alpha,
    "RGB with a transparent colour": _colour_key,
    "animated GIF": lambda: _animation("GIF"),
    "animated WebP": lambda: _animation("WEBP"),
    "WebP with alpha": lambda: _file(_scene(140, 90, "RGBA"), "WEBP", lossless=True),
    "BMP": lambda: _file(_scene(75, 101), "BMP"),
    "CMYK TIFF": lambda: _file(_scene(75, 101, "CMYK"), "TIFF"),
    "LAB TIFF": lambda: _file(Image.merge("LAB", _scene(75, 101).split()), "TIFF"),
}
