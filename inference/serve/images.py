"""Pictures: from base64 and files of any kind to the uint8 array that a tower takes.

The steps and their roundings follow the original libraries, as the `ImageSpec` says; a test holds them pixel by pixel
against transformers and open_clip.
"""

from __future__ import annotations

import binascii
import contextlib
import io
import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from inference.manifest import ImageSpec
from inference.serve.errors import BadInput, TooLarge

Pixels = npt.NDArray[np.uint8]

# Decoders for formats that people have; PostScript and the like run programs and stay out.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO")

# Without it, Pillow knows only the five most common of them.
Image.init()

# The limit is checked from the header before anything is decoded; Pillow's own is a warning first.
Image.MAX_IMAGE_PIXELS = None

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

# Up to this many pixels a picture is resized as a whole and then cropped, as the original libraries do it. Beyond
# (1×50,000 pixels would become 224×11,200,000) only the part that survives the crop is made. Pillow may then take the
# two directions in the other order, so that pixels at hard edges differ by a few levels.
LARGEST_WHOLE_RESIZE = 16_000_000

# Pictures with more pixels are decoded one at a time: each takes hundreds of megabytes, and a container's memory is
# limited. (A camera's 12 megapixels take 36.)
LARGEST_SIDE_BY_SIDE = 16_000_000
_one_large = threading.Lock()

_URL_SAFE = str.maketrans("-_", "+/")


@dataclass(frozen=True)
class PictureLimits:
    """What a single picture may cost."""

    file_bytes: int = 32 * 1024 * 1024
    pixels: int = 100_000_000


def decode_base64(text: str, limits: PictureLimits = PictureLimits()) -> bytes:
    """The bytes of a picture given in base64: standard or url-safe alphabet, with or without padding, white space and
    a `data:` URI's head. Raises `BadInput`, or `TooLarge` before decoding."""
    if text.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.endswith(";base64"):
            raise BadInput("a picture's data URI must look like data:image/png;base64,iVBORw0…")
    if len(text) * 3 // 4 > limits.file_bytes + 2:
        # White space may account for the difference; strip it only now that it matters.
        text = "".join(text.split())
        if len(text) * 3 // 4 > limits.file_bytes + 2:
            raise TooLarge(f"a picture is larger than {limits.file_bytes} bytes (MAX_PICTURE_BYTES)")
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return _decode_lenient(text)


def _decode_lenient(text: str) -> bytes:
    compact = "".join(text.split()).translate(_URL_SAFE).rstrip("=")
    try:
        return binascii.a2b_base64(compact + "=" * (-len(compact) % 4), strict_mode=True)
    except ValueError as error:
        reason = str(error).lower()
        raise BadInput(f"a picture is not valid base64 ({reason}); send the file's bytes in base64") from None


def prepare(data: bytes, spec: ImageSpec, limits: PictureLimits = PictureLimits()) -> Pixels:
    """A picture file as the tower takes it: uint8 (height, width, 3), RGB. Animations give their first frame.

    Raises `BadInput` when it cannot be decoded and `TooLarge` when it is over a limit.
    """
    image = _open(data, limits)
    is_large = image.width * image.height > LARGEST_SIDE_BY_SIDE
    try:
        with _one_large if is_large else contextlib.nullcontext():
            return _pixels(image, spec)
    except Exception as error:
        # Decoders raise nearly anything on broken files; all of it is the file's fault, never the server's.
        raise BadInput(f"a picture ({image.format}, {len(data)} bytes) cannot be decoded: {error}") from None


def _open(data: bytes, limits: PictureLimits) -> Image.Image:
    if not data:
        raise BadInput("a picture is empty; send the file's bytes in base64")
    if len(data) > limits.file_bytes:
        raise TooLarge(f"a picture has {len(data)} bytes, more than {limits.file_bytes} (MAX_PICTURE_BYTES)")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception:
        raise BadInput(
            f"a picture ({len(data)} bytes) is none of the formats that can be read: {', '.join(FORMATS)}"
        ) from None
    if image.width * image.height > limits.pixels:
        raise TooLarge(
            f"a picture has {image.width}×{image.height} pixels, more than {limits.pixels} (MAX_PICTURE_PIXELS)"
        )
    return image


def _pixels(image: Image.Image, spec: ImageSpec) -> Pixels:
    if spec.exif_orientation:
        image = ImageOps.exif_transpose(image)
    if spec.convert_rgb == "before_resize":
        image = to_rgb(image, spec)
    image = resize(image, spec)
    return np.asarray(to_rgb(image, spec))


def to_rgb(image: Image.Image, spec: ImageSpec) -> Image.Image:
    """The picture in mode RGB, transparency treated as the spec says."""
    keyed = image.info.get("transparency") is not None
    if image.mode == "RGB" and not keyed:
        return image
    if spec.transparency == "white" and (keyed or "A" in image.getbands()):
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(ground, image)
    return image.convert("RGB")


def resize(image: Image.Image, spec: ImageSpec) -> Image.Image:
    """The picture at the tower's size, resized (and cropped) as the spec says."""
    resample = RESAMPLING[spec.interpolation]
    if spec.resize == "squash":
        return image.resize((spec.width, spec.height), resample)
    width, height = shortest_edge_size(image.size, spec.edge or min(spec.width, spec.height))
    left, top = crop_offset(width, spec.width, spec), crop_offset(height, spec.height, spec)
    box = (left, top, left + spec.width, top + spec.height)
    if width * height > LARGEST_WHOLE_RESIZE:
        return _resize_part(image, (width, height), box, resample)
    image = image.resize((width, height), resample)
    return image if box == (0, 0, width, height) else image.crop(box)


def _resize_part(
    image: Image.Image, size: tuple[int, int], box: tuple[int, int, int, int], resample: Image.Resampling
) -> Image.Image:
    """`image.resize(size).crop(box)` without making the rest."""
    x, y = image.width / size[0], image.height / size[1]
    source = (box[0] * x, box[1] * y, min(box[2] * x, image.width), min(box[3] * y, image.height))
    return image.resize((box[2] - box[0], box[3] - box[1]), resample, box=source)


def shortest_edge_size(size: tuple[int, int], edge: int) -> tuple[int, int]:
    """(width, height) after the shorter edge became `edge`; the longer one is floored, as torchvision and transformers
    do it (`int(edge * long / short)`)."""
    width, height = size
    if width <= height:
        return edge, int(edge * height / width)
    return int(edge * width / height), edge


def crop_offset(length: int, crop: int, spec: ImageSpec) -> int:
    """Where a centre crop of `crop` pixels begins."""
    if spec.crop_rounding == "half_even":
        return round((length - crop) / 2)
    return (length - crop) // 2
