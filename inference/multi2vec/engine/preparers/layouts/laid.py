"""What a layout gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from multi2vec.engine.rows import Array


@dataclass(frozen=True)
class Laid:
    """One picture: the vision tower's inputs by name, how many rows the tower will make of it, and their grid (height,
    width) where positions follow it. `size`: how much work that is, in patches."""

    arrays: Mapping[str, Array]
    rows: int
    grid: tuple[int, int] | None
    size: int
