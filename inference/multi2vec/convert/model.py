"""What a family hands over, by modality: the tower, how its inputs are prepared, and the original to compare with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch

from multi2vec.convert.errors import ConversionError, SourceError, one_line
from multi2vec.convert.sixteen_bits import SIXTEEN_BITS
from multi2vec.engine.rows import Array, Row
from multi2vec.manifest import Source
from multi2vec.specs import DENSE, Modality, OutputSpec, Spec, TensorSpec, word


@dataclass(frozen=True)
class Scaling:
    """From uint8 pixels to what the module takes: `(pixel / 255 - mean) / std`, per channel (red, green, blue)."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Tower:
    """One graph.

    `module` takes the inputs in order and returns one tensor, or a tuple of them, as `outputs` say. Where there is a
    `scaling` its first input is float pixels (rows, 3, height, width), and the graph's own is uint8 (rows, height,
    width, 3). `example` is what the module is traced on: two rows at least, so that nothing is fixed at one.
    """

    module: torch.nn.Module
    inputs: tuple[TensorSpec, ...]
    example: tuple[torch.Tensor, ...]
    outputs: tuple[OutputSpec, ...]
    scaling: Scaling | None = None


class Reference(Protocol):
    """The original library, loaded a second time by its own loader: never the module that is exported.

    Items are what people give to that library: texts with their prompt, picture files.
    """

    def prepare(self, item: Any) -> Mapping[str, Array]:
        """What the library makes of one item before its model: the tower's inputs by name, without the dimension of the
        batch, without padding, and pixels before they are scaled to floats (uint8)."""

    def rows(self, items: Sequence[Any]) -> Mapping[str, Sequence[Row]]:
        """Every output by its name, one row per item. Dense vectors are not normalised unless the library does."""


class Lazy:
    """A reference that is loaded when it is first asked, and can be let go again.

    So the original is not in memory while the towers are exported, nor when they are run. Only a small part of what
    `load` makes may be kept elsewhere; what several references share is for `references.Shared`.
    """

    def __init__(self, load: Callable[[], Reference]) -> None:
        self._load = load
        self._loaded: Reference | None = None

    @property
    def original(self) -> Reference:
        """The reference itself. Raises `SourceError` when the library cannot load it."""
        if self._loaded is None:
            try:
                self._loaded = self._load()
            except ConversionError:
                raise
            except Exception as error:
                raise SourceError(f"the original library cannot load the checkpoint: {one_line(error)}") from error
        return self._loaded

    def release(self) -> None:
        """Let it go."""
        self._loaded = None

    def prepare(self, item: Any) -> Mapping[str, Array]:
        return self.original.prepare(item)

    def rows(self, items: Sequence[Any]) -> Mapping[str, Sequence[Row]]:
        return self.original.rows(items)


@dataclass(frozen=True)
class Part:
    """Everything about one modality; `files` are the texts of the spec's files, by name. A reference that is large had
    better be `Lazy`.

    `vision` is the tower that the spec names so, and `part_rows` what the original makes in its place of all pictures
    of an item: float32 (rows, width). `further` are other ways to what the reference's `prepare` gives, by name: each
    is a stage of its own in parity. One that returns None says nothing about that item.
    """

    spec: Spec
    tower: Tower
    reference: Reference
    files: Mapping[str, str] = field(default_factory=dict)
    further: Mapping[str, Callable[[Any], Mapping[str, Array] | None]] = field(default_factory=dict)
    vision: Tower | None = None
    part_rows: Callable[[Any], Array] | None = None

    @property
    def towers(self) -> dict[str, Tower]:
        """The towers by name, in the order in which inputs go through them."""
        first = {self.spec.vision: self.vision} if self.spec.vision and self.vision else {}
        return {**first, self.spec.tower: self.tower}

    def exported(self) -> Part:
        """The same without the towers' modules."""
        return replace(self, tower=_bare(self.tower), vision=self.vision and _bare(self.vision))


def _bare(tower: Tower) -> Tower:
    return replace(tower, module=torch.nn.Module())


@dataclass(frozen=True)
class Model:
    """What conversion works on. Raises `SourceError` when the modalities' dense vectors have different lengths."""

    sources: tuple[Source, ...]
    parts: Mapping[Modality, Part]

    def __post_init__(self) -> None:
        lengths = {modality: _dimensions(part.tower) for modality, part in self.parts.items()}
        if len(set(lengths.values())) != 1:
            shown = ", ".join(f"{word(modality)} vectors have {length}" for modality, length in lengths.items())
            raise SourceError(f"vectors of different lengths cannot be compared: {shown} dimensions")

    @property
    def dimensions(self) -> int:
        """The length of dense vectors."""
        return _dimensions(next(iter(self.parts.values())).tower)

    @property
    def towers(self) -> dict[str, Tower]:
        """The towers by name."""
        return {name: tower for part in self.parts.values() for name, tower in part.towers.items()}

    def exported(self) -> Model:
        """The same without the towers' modules: when their graphs are written, the memory is for others.

        Weights of 16 bits are gone for whoever still has a module: OpenVINO's tracer keeps those for ever.
        """
        for tower in self.towers.values():
            for weights in tower.module.parameters():
                if weights.dtype in SIXTEEN_BITS:
                    weights.data = weights.data.new_empty(0)
        return replace(self, parts={modality: part.exported() for modality, part in self.parts.items()})

    def release(self) -> None:
        """Let the references go that can be loaded again."""
        for part in self.parts.values():
            if isinstance(part.reference, Lazy):
                part.reference.release()


def _dimensions(tower: Tower) -> int:
    return next(output.dimensions for output in tower.outputs if output.name == DENSE)


def measured_dimensions(module: torch.nn.Module, example: Sequence[torch.Tensor]) -> int:
    """The length of the vectors that a module with one dense output gives."""
    with torch.inference_mode():
        return int(module.eval()(*example).shape[-1])


def dense(dimensions: int) -> tuple[OutputSpec, ...]:
    """The outputs of a tower that gives one vector per row."""
    return (OutputSpec(DENSE, dimensions),)


def token_inputs(*names: str) -> tuple[TensorSpec, ...]:
    """The inputs of a text tower: int64 (rows, length) each."""
    return tuple(TensorSpec(name, "i64", (None, None)) for name in names)


def masked_text_tower(module: torch.nn.Module, ids: Sequence[int], dimensions: int) -> Tower:
    """The tower of a module that takes token ids and a mask; `ids` are those of some text."""
    example = torch.tensor([ids] * 2)
    inputs = token_inputs("input_ids", "attention_mask")
    return Tower(module.eval(), inputs, (example, torch.ones_like(example)), dense(dimensions))


def pixel_inputs(height: int, width: int) -> tuple[TensorSpec, ...]:
    """The input of a picture tower: uint8 (rows, height, width, 3)."""
    return (TensorSpec("pixels", "u8", (None, height, width, 3)),)
