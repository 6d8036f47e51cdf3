"""Models whose weights stay in the 16 bits of their checkpoint and which compute in float32 all the same.

A copy in float32 would be twice as large, 32 GB for a model of 8 billion parameters. Float32 holds every number of
bfloat16 and of float16, so that the vectors are those of that copy. Traced towers do the same: see `tracing.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16}
SIXTEEN_BITS = tuple(DTYPES.values())


def stored_dtype(folder: Path) -> torch.dtype:
    """The dtype that all weights of a folder have if it is one of 16 bits, and else float32.

    A configuration states one, too, but not always that of the weights.
    """
    safe = [*folder.glob("*.safetensors")]
    found = {dtype for path in safe or folder.glob("*.bin") for dtype in _dtypes(path)}
    return found.pop() if len(found) == 1 and found <= {*SIXTEEN_BITS} else torch.float32


def _dtypes(path: Path) -> set[torch.dtype]:
    if path.suffix == ".bin":
        state: Mapping[str, torch.Tensor] = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        return {each.dtype for each in state.values()}
    with safe_open(path, framework="pt") as file:
        return {DTYPES.get(file.get_slice(name).get_dtype(), torch.float32) for name in file.keys()}  # noqa: SIM118


def widened(model: Any) -> Any:
    """The model, made to compute in float32 whatever its weights are in.

    Linear layers widen their weights while they run, tables of embeddings what was looked up; what else has weights is
    small and becomes float32.
    """
    for module in model.modules():
        forward = next((make for kind, make in WIDENED.items() if isinstance(module, kind)), None)
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.dtype not in SIXTEEN_BITS:
                continue
            if forward is not None and name == "weight":
                module.forward = forward(module)
            else:
                parameter.data = parameter.data.float()
    return model


def _table(table: torch.nn.Embedding) -> Callable[..., torch.Tensor]:
    own = table.forward
    return lambda *inputs: own(*inputs).float()


def _linear(layer: torch.nn.Linear) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda states: torch.nn.functional.linear(states, layer.weight.float(), layer.bias)


WIDENED: Mapping[type[torch.nn.Module], Callable[[Any], Callable[..., torch.Tensor]]] = {
    torch.nn.Linear: _linear,
    torch.nn.Embedding: _table,
}
