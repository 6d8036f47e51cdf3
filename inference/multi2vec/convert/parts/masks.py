"""Attention masks to add to the scores, for towers out of transformers' models.

The library's own masks are true and false, and a row that sees nothing (padding, beyond the reach of the last token)
becomes NaN in OpenVINO and spreads to all others. These hide what they hide by a finite number: a row that sees nothing
gets some numbers, which nothing reads.
"""

from __future__ import annotations

import torch

# Far below any score, and finite in 16 bits when added twice.
HIDDEN = -1e4


def everywhere(mask: torch.Tensor) -> torch.Tensor:
    """Each token sees all that int64 (rows, length) has as 1: float32 (rows, 1, 1, length)."""
    return (1 - mask[:, None, None, :].to(torch.float32)) * HIDDEN


def before(length: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Each token sees itself and those before it: float32 (1, 1, length, length).

    Padding on the right needs no mask then: it comes after all that counts.
    """
    places = torch.arange(length, device=device)
    return (places[None, None, :, None] < places[None, None, None, :]).to(torch.float32) * HIDDEN


def nearby(mask: torch.Tensor, distance: int) -> torch.Tensor:
    """Each token sees those of them that are no further away than `distance`: float32 (rows, 1, length, length)."""
    places = torch.arange(mask.shape[1], device=mask.device)
    far = (places[:, None] - places[None, :]).abs() > distance
    return everywhere(mask) + far.to(torch.float32) * HIDDEN
