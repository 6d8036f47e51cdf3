"""The texts and pictures that parity runs on: the ones that preparation gets wrong first.

Pictures are drawn here, from fixed formulas, so that a conversion needs no data and always measures the same.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

TEXTS: tuple[str, ...] = (
    "a photo of a cat",
    "A red square to the left of a large blue circle.",
    "two dogs playing in the snow at night, long exposure",
    "",
    " ",
    " \t\n  ",
    "  leading and trailing  ",
    "tabs\tand\nnew\r\nlines",
    "no\u00a0break\u2003em\u3000ideographic\u1680ogham\u2028line\u2029paragraph\u0085next",
    "\x1cfile\x1dgroup\x1erecord\x1funit",
    "nul\x00bell\x07escape\x1b[31mred\x7f",
    "zero\u200bwidth\u200cnon\u200djoiner\u2060word\ufeffbom",
    "soft\u00adhyphen, bidi \u202eoverride\u202c and \u2066isolate\u2069",
    "CAPITALS AND MiXeD cAsE",
    "İstanbul ILIK ığdır STRASSE ẞ ß ﬁ ﬂ ŉ ǰ",
    "ſhort ſ, K kelvin, Å angstrom, Ω ohm",
    "café naïve Ångström",
    "cafe\u0301 nai\u0308ve A\u030angstro\u0308m",
    "Z\u0335\u0321a\u0324\u0301l\u0334\u0300g\u0338o\u0328\u0302",
    "ÃƒÂ© mojibake Ã©tÃ© â€œquotesâ€\u009d",
    "fish &amp; chips &lt;b&gt; &quot;x&quot; &#39;y&#39; &nbsp; &eacute;",
    "twice &amp;amp; thrice &amp;amp;amp; broken &amp &notanentity; &#x1F600;",
    "<b>bold</b> <script>alert(1)</script>",
    "😀😃 smile 🐱 cat 🏳️ flag",
    "👩‍👩‍👧‍👦 family 🏳️‍🌈 rainbow 👍🏽 thumb 🇩🇪 flag ❤️ heart ☺︎",
    "敏捷的棕色狐狸跳过了懒狗",
    "一只猫坐在垫子上。两只狗！",
    "素早い茶色の狐がのろまな犬を飛び越える ｶﾀｶﾅ ﾊﾟ",
    "다람쥐 헌 쳇바퀴에 타고파 \u1112\u1161\u11ab",
    "قِفَا نَبْكِ مِنْ ذِكْرَى حَبِيبٍ ومَنْزِلِ ٱلْعَرَبِيَّة ١٢٣",
    "שָׁלוֹם עולם",
    "แมวนั่งอยู่บนเสื่อ กำลังหลับ",
    "बिल्ली चटाई पर बैठी है क्‍ष",
    "Съешь ещё этих мягких французских булок",
    "Ξεσκεπάζω τὴν ψυχοφθόρα βδελυγμία ΟΔΥΣΣΕΥΣ",
    "ｆｕｌｌ ｗｉｄｔｈ ＡＢＣ１２３",
    "𝔉𝔯𝔞𝔨𝔱𝔲𝔯 𝐛𝐨𝐥𝐝 ⓒⓘⓡⓒⓛⓔⓓ ⅷ ½ ² ₃",
    "0123456789 3.14159 1,000,000 1e-9 ٣٤ Ⅷ ¾",
    "it's we're I'll they've I'm he'd don't",
    "IT'S WE'RE I'LL THEY'VE I'M HE'D DON'T 'S 'LL 'ſ",
    "’curly’ apostrophe it’s “quotes” — dash … dots",
    "!!!???...,,,;;;:::---___***///\\\\|||",
    "a.b.c@example.com https://example.com/cat.jpg?size=large#top",
    "snake_case camelCase kebab-case $100 50% #tag @user",
    "(){}[]<>«»‹›「」『』",
    "<start_of_text> a cat <end_of_text> and a dog",
    "<|startoftext|> a cat <|endoftext|> and a dog",
    "a cat<end_of_text>a dog!!<end_of_text>?<END_OF_TEXT> <ſtart_of_text>",
    "<s> a cat </s> <pad> <mask> <unk> [CLS] [SEP] [PAD] [MASK] [UNK]",
    "&lt;end_of_text&gt; &lt;|endoftext|&gt;",
    "query: a cat",
    "\u2581a\u2581cat\u2581",
    "private \ue000 use, unassigned \u0378, noncharacter \ufffe, replacement \ufffd",
    "new letters \U00010570 \U00011f02 \U0001e4d0 \U00031350",
    "x" * 76,
    "cat " * 75,
    "cat " * 76,
    "The quick brown fox jumps over the lazy dog. " * 20,
    "a" * 10_000,
    "lorem ipsum, dolor " * 526 + "tail!!",
    "猫" * 10_000,
    "😀" * 2_500,
)


@dataclass(frozen=True)
class Picture:
    """A picture file and what is special about it."""

    name: str
    data: bytes


def pictures() -> list[Picture]:
    """The pictures, drawn anew."""
    drawn = [Picture(f"{width}×{height}", _file(_scene(width, height))) for width, height in SIZES]
    return drawn + [Picture(name, draw()) for name, draw in KINDS.items()]


ORDINARY = ((224, 224), (64, 64), (225, 223), (227, 341), (341, 227), (333, 501), (640, 479))
EXTREME = ((1, 1), (2, 3), (33, 47), (640, 120), (2000, 90), (9, 401))
SIZES = (*ORDINARY, *EXTREME)


def small_png() -> bytes:
    """A picture of a few hundred bytes, for the examples in the manifest."""
    return _file(_scene(24, 16))


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


def _file(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _palette(*, transparent: bool) -> bytes:
    image = _scene(150, 101).quantize(32)
    return _file(image, transparency=3) if transparent else _file(image)


def _grey_alpha() -> bytes:
    alpha = _scene(97, 130, "RGBA").getchannel("A")
    image = Image.merge("LA", (_scene(97, 130, "L"), alpha))
    return _file(image)


def _colour_key() -> bytes:
    image = _scene(60, 80)
    corner = image.getpixel((0, 0))
    return _file(image, transparency=corner)


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
