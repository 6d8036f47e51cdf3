"""Modules of several branches in training that become one convolution each for inference.

MobileOne (arXiv 2206.04040) and FastViT (arXiv 2303.14189), of which MobileCLIP's picture towers are made, are trained
with parallel convolutions, each followed by a batch normalisation, and skip connections. All of it is linear, so that
it can be folded into one convolution with the same result.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.utils.model import reparameterize_model


class Reparameterised(torch.nn.Module):
    """Computes with the folded copy of a module of timm; input and output are those of the module.

    Its state is that of the module as it was trained: the hash of the weights must not follow the rounding of the
    folding.
    """

    def __init__(self, trained: torch.nn.Module) -> None:
        super().__init__()
        self.trained = trained
        # In a tuple its tensors are no part of the state.
        self._folded = (reparameterize_model(trained.eval()).requires_grad_(False),)

    def forward(self, *inputs: Any) -> Any:
        return self._folded[0](*inputs)


def reparameterised(module: torch.nn.Module) -> torch.nn.Module:
    """The module with what can be folded folded; itself where there is nothing."""
    foldable = any(hasattr(each, "reparameterize") for each in module.modules())
    return Reparameterised(module) if foldable else module
