"""Attention of transformers' models in a form that OpenVINO computes right, for towers of any of its architectures.

The library's own masks are true and false. In OpenVINO a row that sees nothing (padding beyond the reach of a sliding
window) becomes NaN and spreads to all others, so these masks hide by a finite number that is added. A causal mask is
one that all layers and rows share: told that attention is causal, OpenVINO makes a mask for each layer, gigabytes for a
long text. What is grouped is repeated, and a scale of its own is multiplied into the queries, since OpenVINO ignores
it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import bidirectional_mask_function, causal_mask_function, sdpa_mask

from multi2vec.convert.errors import SourceError
from multi2vec.convert.parts import masks

# The name that transformers knows it by.
NAME = "multi2vec"


def use(model: Any) -> None:
    """Let a model of transformers compute its attention in this way."""
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, mask)
    model.set_attn_implementation(NAME)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """What the queries (rows, heads, length, size) take from the values (rows, groups, length, size): float32 (rows,
    length, heads, size). Raises `SourceError` for a model whose attention has more to it."""
    if any(others.get(name) is not None for name in ("position_bias", "softcap", "s_aux")):
        raise SourceError("the model's attention has a bias, a cap or sinks, which is not supported")
    usual = query.shape[-1] ** -0.5
    if scaling is not None and abs(scaling / usual - 1) > 1e-6:
        query = query * (scaling / usual)
    groups = query.shape[1] // key.shape[1]
    is_causal = attention_mask is None and bool(getattr(module, "is_causal", True))
    found = torch.nn.functional.scaled_dot_product_attention(
        query, repeated(key, groups), repeated(value, groups), attn_mask=attention_mask, is_causal=is_causal
    )
    return found.transpose(1, 2).contiguous(), None


def repeated(grouped: torch.Tensor, times: int) -> torch.Tensor:
    """Each of (rows, groups, length, size) so many times, one after another: (rows, groups * times, length, size)."""
    if times == 1:
        return grouped
    rows, groups, length, size = grouped.shape
    return grouped[:, :, None].expand(rows, groups, times, length, size).reshape(rows, groups * times, length, size)


def half_turned(states: torch.Tensor) -> torch.Tensor:
    """(…, size): the second half, negative, and then the first, as rotary positions take them (arXiv 2104.09864)."""
    first, second = states.chunk(2, dim=-1)
    return torch.cat([-second, first], dim=-1)


def mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    mask_function: Callable[..., Any] = causal_mask_function,
    attention_mask: torch.Tensor | None = None,
    device: torch.device | str = "cpu",
    **others: Any,
) -> torch.Tensor:
    """Numbers to add to the scores, float32 (1 or rows, 1, 1 or length, length).

    The signature is that of transformers' `masking_utils`; `attention_mask` is true for what is no padding, (rows,
    length).
    """
    if mask_function is causal_mask_function:
        return masks.before(q_length, device)
    if mask_function is bidirectional_mask_function:
        seen = torch.ones(batch_size, kv_length, device=device) if attention_mask is None else attention_mask
        return masks.everywhere(seen)
    sees = sdpa_mask(
        batch_size=batch_size,
        q_length=q_length,
        kv_length=kv_length,
        mask_function=mask_function,
        attention_mask=attention_mask,
        allow_is_causal_skip=False,
        device=device,
        use_vmap=others.get("use_vmap", False),
    )
    assert sees is not None
    return (1 - sees.to(torch.float32)) * masks.HIDDEN
