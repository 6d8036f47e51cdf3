"""The two towers of Qwen3-VL (arXiv 2511.21631) as an embedder: pictures to rows, and rows among tokens to a vector.

Layers and weights are those of transformers' `Qwen3VLModel`. What it computes from sizes (where patches lie, between
which entries of its table of places, which tokens stand for pictures, where tokens are counted) comes in as numbers;
attention over one picture needs no mask.

DeepStack (arXiv 2406.04334): the vision tower also gives what some of its inner layers see, and the language tower adds
that to the picture's tokens behind its first layers. Here these levels stand beside the picture's rows, in the same
row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from multi2vec.convert.model import Scaling, Tower, dense, token_inputs
from multi2vec.convert.parts import attention, masks
from multi2vec.convert.parts.qwen2_vl import attended
from multi2vec.convert.parts.text_towers import POOLINGS
from multi2vec.engine.preparers.protocol import ROWS
from multi2vec.specs import OutputSpec, TensorSpec

Angles = tuple[torch.Tensor, torch.Tensor]


class Vision(torch.nn.Module):
    """From one picture, or one pair of a video's frames, to its rows.

    Takes uint8 (patches, 3 · 2 · patch²) pixels, by channel, frame and row; int64 (patches, 2) rows and columns; int64
    (patches, 4) the entries of the table of places that a patch lies between, and float32 (patches, 4) how much it has
    of each. Gives float32 (patches / merge², (1 + levels) · dimensions).
    """

    def __init__(self, visual: Any, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.visual = visual
        self.mean = torch.nn.Buffer(torch.tensor(mean).view(1, 3, 1), persistent=False)
        self.std = torch.nn.Buffer(torch.tensor(std).view(1, 3, 1), persistent=False)

    def forward(
        self,
        pixels: torch.Tensor,
        position_ids: torch.Tensor,
        interp_indices: torch.Tensor,
        interp_weights: torch.Tensor,
    ) -> torch.Tensor:
        visual = self.visual
        states = self.embedded(pixels) + self.placed(interp_indices, interp_weights)
        angles = visual.rotary_pos_emb(states, position_ids)
        mergers = dict(zip(visual.deepstack_visual_indexes, visual.deepstack_merger_list, strict=True))
        levels = []
        for number, block in enumerate(visual.blocks):
            states = states + attended(block.attn, block.norm1(states), angles)
            states = states + block.mlp(block.norm2(states))
            if number in mergers:
                levels.append(mergers[number](states))
        return torch.cat([visual.merger(states), *levels], dim=-1)

    def embedded(self, pixels: torch.Tensor) -> torch.Tensor:
        """The patches through the first layer: float32 (patches, vision's dimensions)."""
        first = self.visual.patch_embed.proj
        scaled = (pixels.float().view(-1, 3, first.weight[0, 0].numel()) / 255 - self.mean) / self.std
        return torch.nn.functional.linear(scaled.flatten(1), first.weight.flatten(1), first.bias)

    def placed(self, indices: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Where the patches are: float32 (patches, vision's dimensions). One corner after the other, so that the four
        entries of all patches are not in memory at once."""
        table = self.visual.pos_embed
        found: torch.Tensor = table(indices[:, 0]) * weights[:, 0:1]
        for corner in range(1, 4):
            found = found + table(indices[:, corner]) * weights[:, corner : corner + 1]
        return found


class Language(torch.nn.Module):
    """From tokens, and rows for some of them, to vectors: the last token's state, of any length.

    Takes int64 (items, length) token ids and mask; float32 (rows + 1, (1 + levels) · dimensions) what `Vision` gave,
    behind a row of zeros; int64 (items, length) the number of the row that stands for a token (0: none); int64 (items,
    3, length) positions. Gives float32 (items, dimensions).
    """

    def __init__(self, text: Any) -> None:
        super().__init__()
        attention.use(text)
        self.text = text
        self.axes = torch.nn.Buffer(interleaved(text.rotary_emb), persistent=False)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        rows: torch.Tensor,
        index: torch.Tensor,
        position_ids: torch.Tensor,
    ) -> torch.Tensor:
        words = self.text.embed_tokens(input_ids)
        first, *levels = torch.split(rows, self.text.config.hidden_size, dim=-1)
        states = torch.where((index > 0).unsqueeze(-1), first[index], words)
        angles, before = self.angles(position_ids), masks.before(input_ids.shape[1])
        for number, layer in enumerate(self.text.layers):
            states = layer(states, attention_mask=before, position_embeddings=angles)
            if number < len(levels):
                # Texts' tokens get the row of zeros.
                states = states + levels[number][index]
        # The norm is of each token alone.
        last: torch.Tensor = self.text.norm(POOLINGS["lasttoken"](states, attention_mask))
        return last

    def angles(self, position_ids: torch.Tensor) -> Angles:
        """Cosines and sines, float32 (items, length, size of a head)."""
        rotary = self.text.rotary_emb
        angles = position_ids[:, self.axes].transpose(1, 2).float() * rotary.inv_freq
        both = torch.cat([angles, angles], dim=-1)
        return both.cos() * rotary.attention_scaling, both.sin() * rotary.attention_scaling


def interleaved(rotary: Any) -> torch.Tensor:
    """Which of a token's three positions (time, row, column) each frequency turns by, int64 (half the size of a head).

    They take turns, from the highest frequency on, until rows and columns have as many as they should; the rest is
    time's (`recomposition_frequencies` of transformers' Qwen3-VL).
    """
    axes = torch.zeros(len(rotary.inv_freq), dtype=torch.int64)
    for axis in (1, 2):
        axes[axis : 3 * rotary.mrope_section[axis] : 3] = axis
    return axes


def vision_tower(model: Any, scaling: Scaling) -> Tower:
    """From one picture's patches to its rows, of a `Qwen3VLModel`."""
    vision = model.config.vision_config
    pixels = 3 * vision.temporal_patch_size * vision.patch_size**2
    places = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    return Tower(
        Vision(model.visual, scaling.mean, scaling.std).eval(),
        (
            TensorSpec("pixels", "u8", (None, pixels)),
            TensorSpec("position_ids", "i64", (None, 2)),
            TensorSpec("interp_indices", "i64", (None, 4)),
            TensorSpec("interp_weights", "f32", (None, 4)),
        ),
        (
            torch.zeros(8, pixels, dtype=torch.uint8),
            torch.cat([places, places + 2]),
            torch.arange(4).expand(8, 4),
            torch.full((8, 4), 0.25),
        ),
        (OutputSpec(ROWS, width(model)),),
    )


def language_tower(model: Any) -> Tower:
    """From tokens and rows to vectors, of a `Qwen3VLModel`."""
    ids = torch.ones(2, 8, dtype=torch.int64)
    return Tower(
        Language(model.language_model).eval(),
        (
            *token_inputs("input_ids", "attention_mask"),
            TensorSpec(ROWS, "f32", (None, width(model))),
            *token_inputs("index"),
            TensorSpec("position_ids", "i64", (None, 3, None)),
        ),
        (
            ids,
            ids,
            torch.zeros(3, width(model)),
            torch.tensor([[0, 1, 2, 0, 0, 0, 0, 0]] * 2),
            torch.arange(8).expand(2, 3, 8),
        ),
        dense(model.config.text_config.hidden_size),
    )


def width(model: Any) -> int:
    """How long a row is: the picture's own numbers and those of each level."""
    levels = len(model.config.vision_config.deepstack_visual_indexes)
    return int((1 + levels) * model.config.text_config.hidden_size)
