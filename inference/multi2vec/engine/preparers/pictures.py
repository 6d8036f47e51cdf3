"""Pictures: from base64, files of any kind, or pixels to the uint8 array that a tower takes.

The steps and their roundings follow the original libraries, as the `PictureSpec` says; a test holds them pixel by pixel
against transformers and open_clip.
"""

from __future__ import annotations

import binascii
import contextlib
import io
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from multi2vec.engine.errors import BadInput, TooLarge
from multi2vec.engine.preparers.protocol import Prepared
from multi2vec.engine.wanted import PictureFile, Wanted
from multi2vec.engine.work import Limits
from multi2vec.specs import PictureSpec, TowerSpec

Pixels = npt.NDArray[np.uint8]
# A file's bytes, those in base64, the file's path, or pixels: uint8 (height, width) or (height, width, 3 or 4).
Picture = str | bytes | Path | Image.Image | npt.NDArray[np.uint8]

Made = TypeVar("Made")

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

FILE_LIMIT, PIXEL_LIMIT = "MAX_PICTURE_BYTES", "MAX_PICTURE_PIXELS"

# What data URIs look like.
URIS = {"picture": "data:image/png;base64,iVBORw0…", "video": "data:video/mp4;base64,AAAAIGZ0…"}

_URL_SAFE = str.maketrans("-_", "+/")


class PicturePreparer:
    """Turns pictures into what one tower takes."""

    def __init__(self, folder: Path, spec: PictureSpec, tower: TowerSpec, limits: Limits = Limits()) -> None:
        self._spec = spec
        self._input = tower.inputs[0].name
        self._limits = limits

    def is_quick(self, item: Picture) -> bool:
        """Decoding and resizing take milliseconds."""
        return False

    def prepare(self, item: Picture, wanted: Wanted = Wanted()) -> Prepared:
        """The picture's pixels, uint8 (height, width, 3). Raises `BadInput` when it cannot be decoded and `TooLarge`
        when it is over a limit."""
        pixels, file = decoded(item, lambda opened: _pixels(opened, self._spec), self._limits)
        return Prepared({self._input: pixels}, file=file)

    def collate(self, items: Sequence[Prepared]) -> dict[str, Pixels]:
        """The tower's input for several pictures, uint8 (len(items), height, width, 3)."""
        return {self._input: np.stack([item.arrays[self._input] for item in items])}


def decode_base64(text: str, most: int, *, what: str = "picture", limit: str = FILE_LIMIT) -> bytes:
    """The bytes of a file given in base64: standard or url-safe alphabet, with or without padding, white space and a
    `data:` URI's head. Raises `BadInput`, or `TooLarge` before decoding for more than `most` bytes; `what` it is called
    then, and `limit` the setting."""
    if text.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.endswith(";base64"):
            raise BadInput(f"a {what}'s data URI must look like {URIS[what]}")
    if len(text) * 3 // 4 > most + 2:
        # White space may account for the difference; strip it only now that it matters.
        text = "".join(text.split())
        if len(text) * 3 // 4 > most + 2:
            raise TooLarge(f"a {what} is larger than {most} bytes", limit=limit)
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return _decode_lenient(text, what)


def _decode_lenient(text: str, what: str) -> bytes:
    compact = "".join(text.split()).translate(_URL_SAFE).rstrip("=")
    try:
        return binascii.a2b_base64(compact + "=" * (-len(compact) % 4), strict_mode=True)
    except ValueError as error:
        reason = str(error).lower()
        raise BadInput(f"a {what} is not valid base64 ({reason}); send the file's bytes in base64") from None


def prepare(picture: Picture, spec: PictureSpec, limits: Limits = Limits()) -> Pixels:
    """A picture as the tower takes it: uint8 (height, width, 3), RGB. Animations give their first frame.

    Raises `BadInput` when it cannot be decoded and `TooLarge` when it is over a limit.
    """
    return decoded(picture, lambda opened: _pixels(opened, spec), limits)[0]


def decoded(picture: Picture, make: Callable[[Image.Image], Made], limits: Limits) -> tuple[Made, PictureFile]:
    """What `make` makes of the opened picture, which it decodes; and what that was.

    Raises `BadInput` when it cannot be decoded and `TooLarge` when it is over a limit.
    """
    opened = _open(picture, limits)
    if opened.width * opened.height > limits.picture_pixels:
        raise TooLarge(
            f"a picture has {opened.width}×{opened.height} pixels, more than {limits.picture_pixels}", limit=PIXEL_LIMIT
        )
    is_large = opened.width * opened.height > LARGEST_SIDE_BY_SIDE
    try:
        with _one_large if is_large else contextlib.nullcontext():
            file = PictureFile(opened.width, opened.height, (opened.format or "").lower(), _bits(opened.mode))
            return make(opened), file
    except Exception as error:
        # Decoders raise nearly anything on broken files; all of it is the file's fault, never the server's.
        raise BadInput(f"a picture ({opened.format or 'pixels'}) cannot be decoded: {error}") from None


def _bits(mode: str) -> int:
    """Bits per pixel of what Pillow calls that mode."""
    if mode.startswith("I;16"):
        return 16
    return {"1": 1, "I": 32, "F": 32}.get(mode, 8 * Image.getmodebands(mode))


def _open(picture: Picture, limits: Limits) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture
    if isinstance(picture, np.ndarray):
        return _from_pixels(picture)
    if isinstance(picture, Path):
        return _open_file(_read(picture, limits), limits)
    return _open_file(decode_base64(picture, limits.picture_bytes) if isinstance(picture, str) else picture, limits)


def _from_pixels(pixels: Pixels) -> Image.Image:
    is_picture = pixels.dtype == np.uint8 and (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4)))
    if not is_picture or pixels.size == 0:
        raise BadInput(
            f"a picture is an array of {pixels.dtype} {pixels.shape}; it can be uint8 (height, width) or "
            "(height, width, 3 or 4)"
        )
    return Image.fromarray(pixels)


def _read(path: Path, limits: Limits) -> bytes:
    try:
        size = path.stat().st_size
        if size > limits.picture_bytes:
            raise TooLarge(f"{path} has {size} bytes, more than {limits.picture_bytes}", limit=FILE_LIMIT)
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None


def _open_file(data: bytes, limits: Limits) -> Image.Image:
    if not data:
        raise BadInput("a picture is empty; send the file's bytes in base64")
    if len(data) > limits.picture_bytes:
        raise TooLarge(f"a picture has {len(data)} bytes, more than {limits.picture_bytes}", limit=FILE_LIMIT)
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception:
        raise BadInput(
            f"a picture ({len(data)} bytes) is none of the formats that can be read: {', '.join(FORMATS)}"
        ) from None


def _pixels(picture: Image.Image, spec: PictureSpec) -> Pixels:
    picture = upright(picture, spec)
    if spec.convert_rgb == "before_resize":
        picture = to_rgb(picture, spec)
    picture = resize(picture, spec)
    return np.asarray(to_rgb(picture, spec))


class Opening(Protocol):
    """What a spec says of pictures before they are resized."""

    @property
    def exif_orientation(self) -> bool:
        """Whether a camera's orientation is applied."""

    @property
    def transparency(self) -> Literal["white", "drop"]:
        """What shows through transparent pixels."""


def upright(picture: Image.Image, spec: Opening) -> Image.Image:
    """The picture turned as its camera says, if the spec wants that."""
    return ImageOps.exif_transpose(picture) if spec.exif_orientation else picture


def to_rgb(picture: Image.Image, spec: Opening) -> Image.Image:
    """The picture in mode RGB, transparency treated as the spec says."""
    keyed = picture.info.get("transparency") is not None
    if picture.mode == "RGB" and not keyed:
        return picture
    if spec.transparency == "white" and (keyed or "A" in picture.getbands()):
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(ground, picture)
    return picture.convert("RGB")


def resize(picture: Image.Image, spec: PictureSpec) -> Image.Image:
    """The picture at the tower's size, resized (and cropped) as the spec says."""
    resample = RESAMPLING[spec.interpolation]
    if spec.resize == "squash":
        return picture.resize((spec.width, spec.height), resample)
    width, height = shortest_edge_size(picture.size, spec.edge or min(spec.width, spec.height))
    left, top = crop_offset(width, spec.width, spec), crop_offset(height, spec.height, spec)
    box = (left, top, left + spec.width, top + spec.height)
    if width * height > LARGEST_WHOLE_RESIZE:
        return _resize_part(picture, (width, height), box, resample)
    picture = picture.resize((width, height), resample)
    return picture if box == (0, 0, width, height) else picture.crop(box)


def _resize_part(
    picture: Image.Image, size: tuple[int, int], box: tuple[int, int, int, int], resample: Image.Resampling
) -> Image.Image:
    """`picture.resize(size).crop(box)` without making the rest."""
    x, y = picture.width / size[0], picture.height / size[1]
    source = (box[0] * x, box[1] * y, min(box[2] * x, picture.width), min(box[3] * y, picture.height))
    return picture.resize((box[2] - box[0], box[3] - box[1]), resample, box=source)


def shortest_edge_size(size: tuple[int, int], edge: int) -> tuple[int, int]:
    """(width, height) after the shorter edge became `edge`; the longer one is floored, as torchvision and transformers
    do it (`int(edge * long / short)`)."""
    width, height = size
    if width <= height:
        return edge, int(edge * height / width)
    return int(edge * width / height), edge


def crop_offset(length: int, crop: int, spec: PictureSpec) -> int:
    """Where a centre crop of `crop` pixels begins."""
    if spec.crop_rounding == "half_even":
        return round((length - crop) / 2)
    return (length - crop) // 2
