"""What tests of several dialects ask with."""

from __future__ import annotations

from tests import toy

PICTURE = toy.picture(1)
URI = f"data:image/png;base64,{toy.b64(toy.png(PICTURE))}"
PICTURE_PART = {"type": "image_url", "image_url": {"url": URI}}
TEXTS = ["the dog", "a red cat", "sun", "the dog"]
# Ten words are all that the toy takes; the last ones are others.
LONG = " ".join(["cat"] * 10 + ["dog"] * 10)
CATS, DOGS = " ".join(["cat"] * 10), " ".join(["dog"] * 10)


def to_picture(text: str) -> float:
    """The cosine of the text and the picture."""
    return float(toy.text_vector(text) @ toy.picture_vector(PICTURE))
