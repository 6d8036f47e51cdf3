"""What a general test of conversion needs to know of a kind of checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from multi2vec.convert import recipe
from multi2vec.convert.recipe import Recipe


@dataclass(frozen=True)
class Layout:
    """A kind of checkpoint: `write` makes a small one with random weights.

    `tag` is that of a recipe, used by no other layout. `tensors` are names of several kinds, by the files that hold
    them: a checkpoint without one of them, or with it renamed or in another shape, must be refused. `calls` is what the
    library calls those of them that it has other names for. `ignorable` are names that older versions of the library
    wrote besides, by file; they are allowed. `inputs` are what the reference prepares, by modality. `files` are those
    of the model folder that others have not; `towers` are the towers, where they are not called as the modalities.
    `configurations` says which of the checkpoint's files describe the model.
    """

    tag: str
    write: Callable[[Path], Path]
    tensors: Mapping[str, tuple[str, ...]]
    ignorable: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    inputs: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {"text": ("input_ids",), "image": ("pixels",)}
    )
    calls: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    towers: tuple[str, ...] = ()
    configurations: str = "*config.json"

    @property
    def recipe(self) -> Recipe:
        """The tag's recipe, without what it says of the real model's sizes."""
        return small(recipe.read(self.tag))


def small(read: Recipe) -> Recipe:
    """The recipe for a small model of the same kind, whose pictures are of few tiles."""
    fused = read.fused
    if fused is not None and fused.crops is not None:
        fused = dataclasses.replace(fused, crops=2)
    return dataclasses.replace(
        read, dimensions=None, context=None, cut_dimensions=(), smallest_dimensions=None, fused=fused
    )
