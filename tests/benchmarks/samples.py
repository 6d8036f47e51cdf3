"""The work: photographs of 640×640 pixels and texts of 5 to 20 words, all distinct, the same in every run."""

from __future__ import annotations

import base64
import functools
import io
import random
from collections.abc import Iterator
from typing import Literal

import numpy as np
import orjson
from PIL import Image

Modality = Literal["image", "text"]

MODALITIES: tuple[Modality, ...] = ("image", "text")
KEYS: dict[Modality, str] = {"image": "images", "text": "texts"}
ANSWER_KEYS: dict[Modality, str] = {"image": "imageVectors", "text": "textVectors"}

EDGE = 640
QUALITY = 90
# As many as there are clients at most, so that no two requests in flight are equal.
PICTURES = 64
TEXTS = 1024
SEED = 7

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "hubble_deep_field", "immunohistochemistry", "retina", "rocket")

VOCABULARY = """
a an the this that two three several old young small large red green blue yellow black white bright dark wooden metal
glass paper photo picture drawing painting portrait close-up man woman child people crowd dog cat horse bird fish tree
flower grass field forest mountain river lake sea beach snow rain cloud sky sun moon star night morning evening street
road bridge house tower church market kitchen table chair window door car bus train bicycle boat airplane book phone
camera guitar ball cup bottle plate bread apple orange cheese is are sits stands runs walks plays holds eats sleeps
waits looks rides reads smiles on in under over near behind between beside with without through across during before
after while and or but very slowly quickly quietly together alone again
"""


def texts(count: int = TEXTS) -> list[str]:
    """Distinct texts of 5 to 20 words."""
    words, generator = VOCABULARY.split(), random.Random(SEED)
    found: dict[str, None] = {}
    while len(found) < count:
        found[" ".join(generator.choices(words, k=generator.randint(5, 20)))] = None
    return list(found)


def pictures(count: int = PICTURES) -> list[bytes]:
    """Distinct JPEG files: crops of scikit-image's photographs."""
    whole = list(photographs())
    generator = random.Random(SEED)
    return [_jpeg(_crop(whole[index % len(whole)], generator)) for index in range(count)]


@functools.cache
def bodies(modality: Modality) -> list[bytes]:
    """Bodies of `/vectorize` with one item each."""
    if modality == "text":
        return [orjson.dumps({"texts": [text]}) for text in texts()]
    return [orjson.dumps({"images": [base64.b64encode(picture).decode()]}) for picture in pictures()]


def photographs() -> Iterator[Image.Image]:
    """scikit-image's, in RGB."""
    import skimage.data

    for name in PHOTOGRAPHS:
        yield Image.fromarray(np.asarray(getattr(skimage.data, name)())).convert("RGB")
    yield Image.fromarray(np.asarray(skimage.data.stereo_motorcycle()[0])).convert("RGB")


def _crop(photograph: Image.Image, generator: random.Random) -> Image.Image:
    shorter = min(photograph.size)
    edge = generator.randint(shorter * 3 // 4, shorter)
    left = generator.randint(0, photograph.width - edge)
    top = generator.randint(0, photograph.height - edge)
    box = (left, top, left + edge, top + edge)
    return photograph.resize((EDGE, EDGE), Image.Resampling.LANCZOS, box=box)


def _jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
