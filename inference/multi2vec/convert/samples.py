"""What parity runs on, a table by modality: the inputs that preparation gets wrong first, and photographs.

A new modality is one line in `SAMPLES`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from multi2vec.convert import drawings, photographs
from multi2vec.engine.items import Fused, Item
from multi2vec.engine.preparers.fused import written
from multi2vec.specs import Modality

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

EXAMPLE_TEXTS = (
    "a photo of a cat",
    "A red square to the left of a large blue circle.",
    "two dogs playing in the snow at night, long exposure",
    "CAPITALS AND MiXeD cAsE",
    "it's we're I'll they've I'm he'd don't",
    "敏捷的棕色狐狸跳过了懒狗",
    "Съешь ещё этих мягких французских булок",
    "The quick brown fox jumps over the lazy dog. " * 4,
)


@dataclass(frozen=True)
class Sample:
    """One input, as the modality's preparer takes it. An `unusual` one may be too much for the original library."""

    name: str
    item: Any
    unusual: bool = False


@dataclass(frozen=True)
class Samples:
    """One modality's inputs.

    `all` are compared, `examples` go into the manifest with the original's vectors; `content` is how one stands there.
    The original library gets `batch` at a time. With each further prompt only the first `with_prompts` are compared;
    None: all.
    """

    all: Callable[[], Sequence[Sample]]
    examples: Callable[[], Sequence[Any]]
    content: Callable[[Any], str]
    batch: int
    with_prompts: int | None = None


def texts() -> list[Sample]:
    """The texts."""
    return [Sample(repr(text) if len(text) <= 60 else f"{text[:40]!r}… ({len(text)})", text) for text in TEXTS]


@cache
def pictures() -> tuple[Sample, ...]:
    """The pictures, as files."""
    drawn = [Sample(f"{width}×{height}", drawings.scene_file(width, height)) for width, height in drawings.SIZES]
    kinds = [Sample(name, draw(), name in drawings.UNUSUAL) for name, draw in drawings.KINDS.items()]
    return (*drawn, *kinds, *(Sample(name, data) for name, data in photographs.camera_files().items()))


def picture_examples() -> list[bytes]:
    """Files of a few KB: two photographs, a drawing, and one with transparency."""
    return [*photographs.small_files(), drawings.scene_file(24, 16), drawings.scene_file(20, 28, "RGBA")]


def fused() -> list[Sample]:
    """Texts, pictures and videos together, and each alone."""
    tall, wide = Item("image", drawings.scene_file(120, 160)), Item("image", drawings.scene_file(300, 70))
    words, moving = Item("text", "a photo of a cat\nby night"), Item("video", tuple(drawings.moving_files(4, 60, 60)))
    return [
        Sample("picture, text", (tall, words)),
        Sample("text, picture", (words, wide)),
        Sample("picture, picture, text", (tall, wide, words)),
        Sample("text, picture, text", (words, tall, Item("text", "\n\nwhat <|vision_start|> is this?"))),
        Sample("picture, empty text", (wide, Item("text", ""))),
        Sample("picture with transparency, text", (Item("image", drawings.scene_file(90, 90, "RGBA")), words)),
        Sample("pictures", (wide, wide, tall)),
        Sample("text", (words,)),
        Sample("picture", (wide,)),
        Sample("video, text", (moving, words)),
        Sample("picture, video, text", (wide, moving, words)),
        Sample("picture, long text", (wide, Item("text", "lorem ipsum, dolor " * 2500))),
    ]


def fused_examples() -> list[Fused]:
    """A picture with a text, and the other way round; a video with a text."""
    small = Item("image", drawings.scene_file(48, 40))
    words = Item("text", EXAMPLE_TEXTS[1])
    moving = Item("video", tuple(drawings.moving_files(2, 40, 32)))
    return [(small, words), (words, Item("image", drawings.scene_file(40, 56))), (moving, words)]


def videos() -> list[Sample]:
    """Videos by their frames. Which frames of a file are wanted has its own tests."""
    return [
        Sample(f"{count} frames of {width}×{height}", tuple(drawings.moving_files(count, width, height)))
        for count, width, height in ((4, 64, 48), (6, 70, 120), (8, 300, 200))
    ]


def fits(item: Any, modalities: Sequence[Modality]) -> bool:
    """Whether a model of these modalities takes all that is in the item."""
    pieces = item if isinstance(item, tuple) else ()
    return all(piece.modality in modalities for piece in pieces if isinstance(piece, Item))


SAMPLES: dict[Modality, Samples] = {
    "text": Samples(texts, lambda: EXAMPLE_TEXTS, str, batch=16),
    "fused": Samples(fused, fused_examples, written, batch=4, with_prompts=4),
    # Videos alone prove no more at a start than those in fused items.
    "video": Samples(videos, lambda: (), written, batch=2, with_prompts=1),
    "image": Samples(pictures, picture_examples, lambda data: base64.b64encode(data).decode(), batch=4, with_prompts=4),
}
