"""Preparers, a table by modality. A new modality is one file, one line here, and its spec in the manifest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multi2vec.engine.preparers.protocol import Prepared, Preparer
from multi2vec.engine.preparers.texts import TextPreparer
from multi2vec.engine.preparers.tiles import picture_preparer
from multi2vec.engine.work import Budget, Limits
from multi2vec.specs import Modality, TowerSpec

__all__ = ["PREPARERS", "Entry", "Prepared", "Preparer"]


@dataclass(frozen=True)
class Entry:
    """How one modality is prepared and batched.

    `make` gets the model folder, the modality's spec, its tower and the limits. `wide`: one item is work enough for
    several threads, so that a batch had better have them all.
    """

    make: Callable[[Path, Any, TowerSpec, Limits], Preparer[Any]]
    budget: Budget
    wide: bool = False


# The slack is about what it costs, in padded tokens, to run one more batch of texts. A picture counts as many as it has
# tiles.
PREPARERS: dict[Modality, Entry] = {
    "text": Entry(TextPreparer, Budget(32, padded=1024, slack=96)),
    "image": Entry(picture_preparer, Budget(32, padded=32), wide=True),
}
