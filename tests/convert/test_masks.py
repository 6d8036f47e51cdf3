"""Masks to add, against those of transformers."""

from __future__ import annotations

import pytest
import torch
from transformers import ModernBertConfig, Qwen3Config
from transformers.masking_utils import (
    create_bidirectional_mask,
    create_bidirectional_sliding_window_mask,
    create_causal_mask,
)

from multi2vec.convert.parts import masks

MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]])


@pytest.fixture
def settings() -> dict[str, object]:
    config = ModernBertConfig(local_attention=4, hidden_size=8, num_attention_heads=2, num_hidden_layers=1)
    config._attn_implementation = "sdpa"
    return {"config": config, "inputs_embeds": torch.zeros(2, 6, 8), "attention_mask": MASK}


def test_they_hide_what_the_librarys_hide(settings: dict[str, object]) -> None:
    seen = create_bidirectional_mask(**settings)
    assert torch.equal((masks.everywhere(MASK) == 0).expand(2, 1, 6, 6), seen.expand(2, 1, 6, 6))
    nearby = create_bidirectional_sliding_window_mask(**settings)
    assert torch.equal(masks.nearby(MASK, 2) == 0, nearby)


def test_a_row_that_sees_nothing_is_finite() -> None:
    """And stays so in 16 bits, where scores of any size are added."""
    nearby = masks.nearby(MASK, 1)
    assert not (nearby[1, 0, 5] == 0).any()
    for kind in (torch.float32, torch.bfloat16, torch.float16):
        scores = (nearby + 500).to(kind)
        assert torch.isfinite(torch.softmax(scores, dim=-1)).all()


def test_a_causal_mask_is_the_librarys_and_one_for_all_rows(settings: dict[str, object]) -> None:
    config = Qwen3Config(hidden_size=8, num_attention_heads=2, num_hidden_layers=1)
    config._attn_implementation = "sdpa"
    seen = create_causal_mask(**{**settings, "config": config}, past_key_values=None)
    before = masks.before(6)
    assert before.shape == (1, 1, 6, 6)
    # It sees padding, too, but only from padding.
    real = MASK[:, None, :, None].bool()
    assert torch.equal((before == 0) & real, seen & real)
