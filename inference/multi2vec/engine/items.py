"""What becomes a vector. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Item:
    """One thing that becomes one vector, or one part of it. The content is what the modality's preparer takes: a string
    is a text, or a file in base64; a fused item's are its parts in their order."""

    modality: str
    content: Any


# The parts of a fused item.
Fused = Sequence[Item]
