"""How a picture becomes what a vision tower takes, for models whose language tower reads the picture's rows among its
tokens. Standard library only.

One dataclass for each way; `engine/preparers/layouts/` has what does it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Resize:
    """A picture's sides become the nearest multiples of `multiple` (half to even), and the picture so large that it has
    from `least` to `most` pixels.

    `at_least_one`: a side is one multiple at least before the limits are looked at, else only when it shrinks. A
    picture whose longer side is more than `ratio` times the shorter one is refused, or its longer side clamped.
    """

    multiple: int
    least: int
    most: int
    at_least_one: bool = True
    ratio: int = 200
    beyond: Literal["refuse", "clamp"] = "refuse"


@dataclass(frozen=True)
class PatchLayout:
    """Qwen-VL's: the picture is resized, step by step, and becomes patches of `patch` × `patch` pixels, of which
    `merge` × `merge` become one row.

    The vision tower takes the patches' pixels and places. `frames`: 2 for a tower that takes pairs of frames, a
    picture being its own second one; 1 where the tower repeats it. `table`: the side of the tower's square table of
    places, for a tower that is told between which of its entries a patch lies.
    """

    patch: int
    merge: int
    resizes: tuple[Resize, ...]
    frames: int = 1
    table: int | None = None


@dataclass(frozen=True)
class GemmaLayout:
    """Gemma 4's: the picture becomes as large as `most` rows allow, larger or smaller, and patches of `edge` × `edge`
    pixels, of which `pooled` × `pooled` become one row.

    The vision tower takes the patches' pixels and places.
    """

    edge: int
    pooled: int
    most: int

    @property
    def side(self) -> int:
        """How many pixels a row stands for in width and height."""
        return self.edge * self.pooled


@dataclass(frozen=True)
class HdLayout:
    """Phi-3-V's: the picture becomes whole tiles in about its own proportions, at most `crops` of them.

    The vision tower takes them as one picture, and makes the whole of it at a tile's size by itself.
    """

    crops: int


# A manifest does not say which of them it has: each is told by the fields that it must have.
Layout = PatchLayout | GemmaLayout | HdLayout
