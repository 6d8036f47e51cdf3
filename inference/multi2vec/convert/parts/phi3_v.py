"""The two towers of Phi-3-V as an embedder (VLM2Vec, arXiv 2410.05160): pictures to rows, and rows among tokens to a
vector.

What the authors' processor does with floats is inside the vision tower: scaling, and the whole picture made small,
which is cubic without antialiasing, so that it is of what the tiles are of. Positions are "su" (LongRoPE, arXiv
2402.13753) with the short factors, which are for up to 4,096 tokens; the library's own choice between short and long
looks at numbers and cannot be traced.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from transformers import Phi3Config

from multi2vec.convert.parts import attention
from multi2vec.convert.parts.phi3_v_checkpoint import Phi3V
from multi2vec.convert.parts.text_towers import POOLINGS

# As the authors' processor has them: CLIP's.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class Vision(torch.nn.Module):
    """uint8 (height, width, 3) pixels of one picture, whole tiles, to float32 (rows, dimensions): the tiles' rows, line
    by line over all of them, then those of the whole picture as one tile."""

    def __init__(self, model: Phi3V, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> None:
        super().__init__()
        attention.use(model.clip)
        clip: Any = model.clip
        self.embeddings, self.norm = clip.embeddings, clip.pre_layrnorm
        # The rows are what the layer before the last one gives.
        self.layers = clip.encoder.layers[:-1]
        self.separators, self.projection = model.separators, model.projection
        self.tile: int = clip.config.image_size
        # Patches along a tile's side; two by two become one row.
        self.side = self.tile // clip.config.patch_size
        self.mean = torch.nn.Buffer(torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.std = torch.nn.Buffer(torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        scaled = (pixels.permute(2, 0, 1).float() / 255 - self.mean) / self.std
        high, wide = pixels.shape[0] // self.tile, pixels.shape[1] // self.tile
        seen = self.seen(torch.cat([self.whole(scaled), self.tiles(scaled, high, wide)]))
        blocks = self.merged(seen)
        whole, tiles = blocks[0], self.joined(blocks[1:], high, wide)
        rows: torch.Tensor = self.projection(
            torch.cat([self.ended(tiles), self.separators.glb_GN[0], self.ended(whole)])
        )
        return rows

    def whole(self, scaled: torch.Tensor) -> torch.Tensor:
        """The whole picture at a tile's size: float32 (1, 3, tile, tile)."""
        return torch.nn.functional.interpolate(scaled[None], size=(self.tile, self.tile), mode="bicubic")

    def tiles(self, scaled: torch.Tensor, high: int, wide: int) -> torch.Tensor:
        """float32 (tiles, 3, tile, tile), row by row."""
        cut = scaled.reshape(3, high, self.tile, wide, self.tile).permute(1, 3, 0, 2, 4)
        return cut.reshape(-1, 3, self.tile, self.tile)

    def seen(self, tiles: torch.Tensor) -> torch.Tensor:
        """What CLIP makes of float32 (tiles, 3, tile, tile): (tiles, side², size), without the class token."""
        states = self.norm(self.embeddings(tiles))
        for layer in self.layers:
            states = layer(states, None)
        patches: torch.Tensor = states[:, 1:]
        return patches

    def merged(self, patches: torch.Tensor) -> torch.Tensor:
        """Blocks of 2 × 2 patches, one after another in one: (tiles, side / 2, side / 2, 4 · size)."""
        half, size = self.side // 2, patches.shape[-1]
        blocks = patches.reshape(-1, half, 2, half, 2, size).permute(0, 1, 3, 2, 4, 5)
        return blocks.reshape(-1, half, half, 4 * size)

    def joined(self, blocks: torch.Tensor, high: int, wide: int) -> torch.Tensor:
        """The tiles side by side, as they lie in the picture: (high · side / 2, wide · side / 2, 4 · size)."""
        half, size = self.side // 2, blocks.shape[-1]
        lines = blocks.reshape(high, wide, half, half, size).permute(0, 2, 1, 3, 4)
        return lines.reshape(high * half, wide * half, size)

    def ended(self, lines: torch.Tensor) -> torch.Tensor:
        """Each line with the separator behind it, one after another: (lines · (columns + 1), 4 · size)."""
        ends = self.separators.sub_GN[0].expand(lines.shape[0], 1, lines.shape[-1])
        return torch.cat([lines, ends], dim=1).flatten(0, 1)


class ShortRope(torch.nn.Module):
    """Cosines and sines of int64 (1, length) positions, float32 (1, length, size of a head) each, in the form of the
    library's rotary embeddings.

    Frequencies are divided by the short factors, and all is multiplied by sqrt(1 + ln(s) / ln(n)), where n is the
    length that the model was first trained with, and s how many times longer it can be (LongRoPE).
    """

    def __init__(self, config: Phi3Config) -> None:
        super().__init__()
        rope: Any = config.rope_parameters
        factors = torch.tensor(rope["short_factor"])
        exponents = torch.arange(len(factors)) / len(factors)
        self.frequencies = torch.nn.Buffer(1 / (factors * rope["rope_theta"] ** exponents), persistent=False)
        trained = config.original_max_position_embeddings
        stretch = max(1.0, config.max_position_embeddings / trained)
        self.factor = math.sqrt(1 + math.log(stretch) / math.log(trained))

    def forward(self, states: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        angles = position_ids[..., None].float() * self.frequencies
        both = torch.cat([angles, angles], dim=-1)
        return both.cos() * self.factor, both.sin() * self.factor


class Language(torch.nn.Module):
    """int64 (items, length) token ids and mask, float32 (rows + 1, dimensions) pictures' rows behind a row of zeros,
    int64 (items, length) numbers of the row that stands for a token (0: none), to float32 (items, dimensions): the last
    token's state after the last norm, of any length."""

    def __init__(self, model: Phi3V) -> None:
        super().__init__()
        text: Any = model.text
        attention.use(text)
        self.text = text
        self.text.rotary_emb = ShortRope(self.text.config)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, rows: torch.Tensor, index: torch.Tensor
    ) -> torch.Tensor:
        words = self.text.embed_tokens(input_ids)
        mixed = torch.where((index > 0).unsqueeze(-1), rows[index], words)
        states = self.text(inputs_embeds=mixed, attention_mask=attention_mask).last_hidden_state
        return POOLINGS["lasttoken"](states, attention_mask)
