"""Low-rank adapters (LoRA, https://arxiv.org/abs/2106.09685) in one graph with the model that they adapt.

Each layer holds those of all tasks, and each row of a batch has the number of the one that it takes, so that rows of
different tasks share a batch. To the layer's own output comes `up(down(x))`, where `down` and `up` are those of all
adapters side by side, and what is between them is zero but for the row's own: two narrow multiplications by constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Pair:
    """The two matrices of each adapter of one layer, float32: `down` (adapters, rank, in) and `up` (adapters, out,
    rank). The adapter adds `scale · up · down` to a weight (out, in)."""

    down: torch.Tensor
    up: torch.Tensor


class Choice(torch.nn.Module):
    """Which adapter each row takes; shared by all layers of a tower, which sets it before they run."""

    numbers: torch.Tensor

    def __init__(self, adapters: int, rank: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("numbers", torch.arange(adapters).repeat_interleave(rank))
        self.kept: torch.Tensor | None = None

    def take(self, adapter: torch.Tensor) -> None:
        """int64 (rows,), -1 for rows that no adapter computes."""
        self.kept = (adapter[:, None] == self.numbers[None]).to(torch.float32)[:, None] * self.scale

    def of(self, narrow: torch.Tensor) -> torch.Tensor:
        """What stays of all adapters' float32 (rows, length, adapters · rank)."""
        assert self.kept is not None
        return narrow * self.kept


class AdaptedLinear(torch.nn.Module):
    """A linear layer with adapters."""

    def __init__(self, own: torch.nn.Linear, pair: Pair, choice: Choice) -> None:
        super().__init__()
        self.own, self.choice = own, choice
        self.down, self.up = _linear(pair.down.flatten(0, 1)), _linear(_side_by_side(pair.up))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        adapted: torch.Tensor = self.own(states) + self.up(self.choice.of(self.down(states)))
        return adapted


class AdaptedEmbedding(torch.nn.Module):
    """A table with adapters: its weight is (ids, dimensions), so `down` of the pair is (adapters, rank, ids) and `up`
    (adapters, dimensions, rank)."""

    def __init__(self, own: torch.nn.Embedding, pair: Pair, choice: Choice) -> None:
        super().__init__()
        self.own, self.choice = own, choice
        narrow = pair.down.flatten(0, 1).T.contiguous()
        self.down = torch.nn.Embedding(narrow.shape[0], narrow.shape[1], _weight=narrow, _freeze=True)
        self.up = _linear(_side_by_side(pair.up))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        adapted: torch.Tensor = self.own(ids) + self.up(self.choice.of(self.down(ids)))
        return adapted


def adapt(model: torch.nn.Module, pairs: Mapping[str, Pair], choice: Choice) -> None:
    """Put adapters around the model's layers, by their names. Raises `TypeError` for layers of another kind."""
    for name, pair in pairs.items():
        layer = model.get_submodule(name)
        kinds = {torch.nn.Linear: AdaptedLinear, torch.nn.Embedding: AdaptedEmbedding}
        if type(layer) not in kinds:
            raise TypeError(f"{name} is a {type(layer).__name__}, which cannot be adapted")
        model.set_submodule(name, kinds[type(layer)](layer, pair, choice))


def _side_by_side(up: torch.Tensor) -> torch.Tensor:
    return up.permute(1, 0, 2).flatten(1)


def _linear(weight: torch.Tensor) -> torch.nn.Linear:
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = torch.nn.Parameter(weight.contiguous(), requires_grad=False)
    return layer
