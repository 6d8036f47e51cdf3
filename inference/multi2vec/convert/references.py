"""What references of several families share: opening a picture, putting a text into its prompt, and dense rows.

Written without the engine's own code, which is held against it.
"""

from __future__ import annotations

import io
import re
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from PIL import Image, ImageOps

from multi2vec.convert.recipe import PictureOptions, Recipe
from multi2vec.engine.items import Item
from multi2vec.engine.rows import Row
from multi2vec.specs import DENSE, FusedSpec, PictureSpec, Prompt

Original = TypeVar("Original")

_PLACES = re.compile(r"(\{text\}|\{task\})")


class Shared(Generic[Original]):
    """What several references share: loaded for the first that asks, the same for all, and gone with the last."""

    def __init__(self, load: Callable[[], Original]) -> None:
        self._load = load
        self._alive: Callable[[], Original | None] = lambda: None

    def __call__(self) -> Original:
        """What `load` made."""
        found = self._alive()
        if found is None:
            found = self._load()
            self._alive = weakref.ref(found)
        return found


@dataclass(frozen=True)
class InPrompt:
    """Texts and pictures together in a prompt; `task` is the caller's own, where there is one."""

    pieces: Sequence[Item]
    prompt: Prompt
    task: str | None = None


class NoRoom(Exception):
    """A reference's: the pictures of an item are more than its model is made for."""


@dataclass(frozen=True)
class Adapted:
    """A text in its prompt, and the number of the adapter that computes it."""

    text: str
    adapter: int


@dataclass(frozen=True)
class Opener:
    """Opens pictures for the original library. `transparency` None: the library gets the picture as the file has it."""

    exif_orientation: bool = False
    transparency: Literal["drop", "white"] | None = None

    def __call__(self, data: bytes) -> Image.Image:
        """The picture in a file's bytes."""
        picture: Image.Image = Image.open(io.BytesIO(data))
        if self.exif_orientation:
            picture = ImageOps.exif_transpose(picture)
        if self.transparency is None:
            return picture
        picture = on_white(picture) if self.transparency == "white" else picture.convert("RGB")
        # A colour that counts as transparent outlives `convert`, and transformers 5 would put white in its place.
        picture.info.pop("transparency", None)
        return picture


def opener(own: PictureSpec | FusedSpec, recipe: Recipe) -> Opener:
    """How a recipe wants pictures opened for a library that treats them as `own` says."""
    options = recipe.picture or PictureOptions()
    is_own = options.transparency == own.transparency
    return Opener(options.exif_orientation, None if is_own else options.transparency)


def on_white(picture: Image.Image) -> Image.Image:
    """The picture in RGB, with white behind whatever is transparent."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    ground = Image.new("RGBA", layer.size, "white")
    ground.alpha_composite(layer)
    return ground.convert("RGB")


def dense_rows(vectors: Any) -> dict[str, Sequence[Row]]:
    """The rows of a library's only output: a tensor or an array (items, dimensions) as float32."""
    return {DENSE: list(np.asarray(vectors, dtype=np.float32))}


def prompted(text: str, prompt: Prompt) -> str:
    """The text in its prompt; without a place for it, the prompt stands in front."""
    values = {"{text}": text, "{task}": prompt.task or ""}
    pieces = [values.get(piece, piece) for piece in _PLACES.split(prompt.template)]
    return "".join(pieces) if "{text}" in prompt.template else "".join([*pieces, text])
