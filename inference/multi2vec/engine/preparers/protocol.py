"""What every preparer does: from one raw item to arrays, and from several of those to a tower's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from multi2vec.engine.rows import Array
from multi2vec.engine.wanted import PictureFile, Wanted

# The output of a tower for parts of items, and the input of the tower that takes it.
ROWS = "rows"

Raw = TypeVar("Raw", contravariant=True)


@dataclass(frozen=True)
class Prepared:
    """One item: the tower's inputs by name, without the dimension of the batch and without padding.

    `size` is what padding follows and batches are budgeted by: tokens, patches, or 1. `tokens` is what a bill counts.
    `file` is what a picture was. `parts` run one by one through a tower of their own first, and what it makes of them
    stands in `arrays` as `ROWS` then. A part with a `key` is the same as each other one with it.
    """

    arrays: Mapping[str, Array]
    size: int = 1
    tokens: int = 0
    truncated: bool = False
    file: PictureFile | None = None
    parts: Sequence[Prepared] = ()
    key: str = ""


class Preparer(Protocol[Raw]):
    """One modality of one model. Used by several threads at a time."""

    def prepare(self, item: Raw, wanted: Wanted) -> Prepared:
        """Raises `ClientError` for an item that cannot be used, or for a wish that the model cannot fulfil."""

    def collate(self, items: Sequence[Prepared]) -> Mapping[str, Array]:
        """The tower's inputs, by name, for several items."""

    def is_quick(self, item: Raw) -> bool:
        """Whether `prepare` takes far less than a millisecond, so that it may run on the event loop."""
