"""What a caller wants of its vectors, and what it gets: the same for every API. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from multi2vec.engine.rows import Row

Truncation = Literal["end", "start", "refuse"]


@dataclass(frozen=True)
class Wanted:
    """What a caller wants of its vectors. The default is what the original library does by itself.

    `prompt` names one of the manifest's prompts; None is the model's default, "" no prompt at all. `task` is free text
    for a prompt that has a place for it. A text of more tokens than `max_tokens` (and than the model takes) loses its
    end or its start, or is refused. Without `special_tokens` a text gets none of them. `output` names one of the
    manifest's outputs. `dimensions` cuts dense vectors to one of the lengths that the manifest allows, before they are
    normalised. `normalise` None: as the model does. `is_search`: somebody waits to search with the vectors; otherwise
    they are an import's, of which more will come. None: a single item is a search.
    """

    prompt: str | None = None
    task: str | None = None
    truncate: Truncation = "end"
    max_tokens: int | None = None
    special_tokens: bool = True
    output: str = "dense"
    dimensions: int | None = None
    normalise: bool | None = None
    is_search: bool | None = None


@dataclass(frozen=True)
class Spent:
    """Where the time of one item went, in seconds: its preparation, waiting for a worker, and its whole batch."""

    prepare: float
    wait: float
    encode: float


@dataclass(frozen=True)
class PictureFile:
    """What a picture was before it was prepared: width and height in pixels, the format of its file in small letters
    ("" for pixels), bits per pixel."""

    width: int
    height: int
    format: str
    bit_depth: int


@dataclass(frozen=True)
class Embedded:
    """One row per item, in the order of the items.

    Dense vectors are one float32 array (items, dimensions). Token vectors are a list of float32 arrays
    (tokens, dimensions), sparse ones a list of `Sparse`. `tokens` are true counts: special tokens included, padding
    not, after truncation; 0 for a picture that becomes no tokens. `truncated` is how many items were cut. `spent` has
    equal items' time once for each. `files` has None for what is no picture.
    """

    rows: Sequence[Row]
    tokens: Sequence[int]
    truncated: int
    spent: Sequence[Spent]
    files: Sequence[PictureFile | None]
