"""Pictures with titles: scenes whose colour-shape pairs the demo model never saw in training."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import cache

from PIL import Image

from images.demo.scenes import candidates, render

EDGE = 224


@dataclass(frozen=True)
class Picture:
    """A PNG file and the sentence that describes it, unlike any other of its set."""

    title: str
    png: bytes

    @property
    def image(self) -> str:
        """The file in base64."""
        return base64.b64encode(self.png).decode()

    @property
    def properties(self) -> dict[str, str]:
        """As a Weaviate object."""
        return {"title": self.title, "image": self.image}


@cache
def scenes(count: int, seed: int = 0) -> tuple[Picture, ...]:
    """The first `count` scenes of a seed; the same ones each time."""
    return tuple(Picture(title, _png(render(scene, EDGE))) for scene, title in candidates(seed, count))


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
