"""Pictures that servers stumble over: every kind that must work, and every kind of broken file."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

SIZE = (97, 61)


def noise(size: tuple[int, int] = SIZE, seed: int = 0) -> Image.Image:
    """A smooth random picture in RGB, so that resizing has something to do."""
    small = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    """The picture as a file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _exif_rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(noise(), "JPEG", exif=exif.tobytes())


def _animation(form: str) -> bytes:
    frames = [noise(seed=n) for n in range(3)]
    return encode(frames[0], form, save_all=True, append_images=frames[1:], duration=100)


def _alpha(mode: str) -> Image.Image:
    image = noise().convert(mode)
    ramp = np.tile(np.linspace(0, 255, SIZE[0]).astype(np.uint8), (SIZE[1], 1))
    image.putalpha(Image.fromarray(ramp))
    return image


def good() -> dict[str, bytes]:
    """Name → file; all of them give a vector."""
    deep = np.linspace(0, 65535, SIZE[0] * SIZE[1]).reshape(SIZE[1], SIZE[0]).astype(np.uint16)
    return {
        "jpeg": encode(noise(), "JPEG"),
        "jpeg progressive": encode(noise(), "JPEG", progressive=True),
        "jpeg grey": encode(noise().convert("L"), "JPEG"),
        "jpeg cmyk": encode(noise().convert("CMYK"), "JPEG"),
        "jpeg rotated": _exif_rotated(),
        "png": encode(noise(), "PNG"),
        "png palette": encode(noise().quantize(16), "PNG"),
        "png palette transparent": encode(noise().quantize(16), "PNG", transparency=3),
        "png rgba": encode(_alpha("RGB"), "PNG"),
        "png grey alpha": encode(_alpha("L"), "PNG"),
        "png grey": encode(noise().convert("L"), "PNG"),
        "png one bit": encode(noise().convert("1"), "PNG"),
        "png 16 bit": encode(Image.fromarray(deep), "PNG"),
        "png one pixel": encode(noise((1, 1)), "PNG"),
        "png panorama": encode(noise((900, 20)), "PNG"),
        "png needle": encode(noise((2, 3000)), "PNG"),
        "gif": encode(noise(), "GIF"),
        "gif animated": _animation("GIF"),
        "webp": encode(noise(), "WEBP"),
        "webp alpha": encode(_alpha("RGB"), "WEBP"),
        "webp animated": _animation("WEBP"),
        "bmp": encode(noise(), "BMP"),
        "tiff": encode(noise(), "TIFF"),
        "tiff lzw cmyk": encode(noise().convert("CMYK"), "TIFF", compression="tiff_lzw"),
        "avif": encode(noise(), "AVIF"),
        "jpeg2000": encode(noise(), "JPEG2000"),
        "ppm": encode(noise(), "PPM"),
    }


def bomb(width: int = 12000, height: int = 12000) -> bytes:
    """A small PNG that unpacks into a huge picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * width)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def broken() -> dict[str, bytes]:
    """Name → file; none of them can be decoded, or they must not be."""
    jpeg, png = encode(noise((640, 480)), "JPEG"), encode(noise((640, 480)), "PNG")
    flipped = bytearray(png)
    flipped[60] ^= 0xFF
    return {
        "empty": b"",
        "one byte": b"\xff",
        "text": b"this is not a picture",
        "html": b"<!doctype html><html><body>404</body></html>",
        "jpeg cut off": jpeg[: len(jpeg) // 2],
        "jpeg header only": jpeg[:20],
        "png cut off": png[: len(png) // 2],
        "png header only": png[:33],
        "png damaged": bytes(flipped),
        "wrong magic": b"\x00\x00" + jpeg[2:],
        "gif of no size": b"GIF89a" + bytes(20),
        "webp cut off": encode(noise((640, 480)), "WEBP")[:200],
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "bomb": bomb(),
    }
