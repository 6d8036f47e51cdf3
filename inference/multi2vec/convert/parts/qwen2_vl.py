"""The two towers of Qwen2-VL (arXiv 2409.12191) as an embedder: pictures to rows, and rows among tokens to a vector.

Layers and weights are those of transformers' `Qwen2VLModel`. What it computes from sizes (where patches lie, which
tokens stand for pictures, where tokens are counted) comes in as numbers; attention over one picture needs no mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from multi2vec.convert.parts import attention
from multi2vec.convert.parts.text_towers import POOLINGS


class Vision(torch.nn.Module):
    """uint8 (patches, 3 · patch²) pixels of one picture and int64 (patches, 2) rows and columns to float32 (patches /
    merge², dimensions)."""

    def __init__(self, visual: Any, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.visual = visual
        self.mean = torch.nn.Buffer(torch.tensor(mean).view(1, 3, 1), persistent=False)
        self.std = torch.nn.Buffer(torch.tensor(std).view(1, 3, 1), persistent=False)

    def forward(self, pixels: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
        visual = self.visual
        states = self.embedded(pixels)
        angles = visual.rotary_pos_emb(states, position_ids)
        for block in visual.blocks:
            states = states + attended(block.attn, block.norm1(states), angles)
            states = states + block.mlp(block.norm2(states))
        rows: torch.Tensor = visual.merger(states)
        return rows

    def embedded(self, pixels: torch.Tensor) -> torch.Tensor:
        """The patches through the first layer, which takes two frames: a picture is its own second one."""
        first = self.visual.patch_embed
        scaled = (pixels.float().view(-1, 3, first.patch_size**2) / 255 - self.mean) / self.std
        frames = torch.stack([scaled] * first.temporal_patch_size, dim=2)
        return torch.nn.functional.linear(frames.flatten(1), first.proj.weight.flatten(1))


def attended(layer: Any, states: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """The attention layer over float32 (patches, dimensions) of one picture; `angles` are cosines and sines, (patches,
    size of a head)."""
    count = states.shape[0]
    query, key, value = layer.qkv(states).view(count, 3, layer.num_heads, -1).permute(1, 2, 0, 3).unsqueeze(1).unbind(0)
    cos, sin = angles
    query, key = (each * cos + attention.half_turned(each) * sin for each in (query, key))
    found = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    mixed: torch.Tensor = layer.proj(found.squeeze(0).transpose(0, 1).reshape(count, -1))
    return mixed


class Language(torch.nn.Module):
    """int64 (items, length) token ids and mask, float32 (rows + 1, dimensions) pictures' rows behind a row of zeros,
    int64 (items, length) numbers of the row that stands for a token (0: none), int64 (items, 3, length) positions, to
    float32 (items, dimensions): the last token's state, of any length."""

    def __init__(self, text: Any) -> None:
        super().__init__()
        attention.use(text)
        self.text = text

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        rows: torch.Tensor,
        index: torch.Tensor,
        position_ids: torch.Tensor,
    ) -> torch.Tensor:
        words = self.text.embed_tokens(input_ids)
        mixed = torch.where((index > 0).unsqueeze(-1), rows[index], words)
        states = self.text(
            inputs_embeds=mixed, attention_mask=attention_mask, position_ids=position_ids.transpose(0, 1)
        ).last_hidden_state
        return POOLINGS["lasttoken"](states, attention_mask)
