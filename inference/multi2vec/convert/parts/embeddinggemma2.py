"""EmbeddingGemma 2 (google/embeddinggemma-2) as two graphs: one that sees a picture, one that reads tokens.

The layers are those of `EmbeddingGemma2Model` of transformers, whose vision tower is Gemma 4's. Its attention has no
scale: the one that `attention` computes with is taken back on the queries. Nothing is causal, and positions are those
of tokens in a row, so that the graph counts them itself; padding comes last.
"""

from __future__ import annotations

from typing import Any

import torch

from multi2vec.convert.parts import masks


class Vision(torch.nn.Module):
    """One picture: uint8 (n, edge * edge * 3) patches and int64 (n, 2) their places, x before y, to float32 (tokens,
    hidden). Patches come in the order of `Gemma4ImageProcessorPil`, without those that it fills up with."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.tower, self.connector = model.vision_tower, model.embed_vision

    def forward(self, pixels: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
        tower, places = self.tower, position_ids.unsqueeze(0)
        filling = torch.zeros_like(places[..., 0], dtype=torch.bool)
        states = tower.patch_embedder(pixels.unsqueeze(0).float() / 255, places, filling)
        turns = tower.encoder.rotary_emb(states, places)
        for layer in tower.encoder.layers:
            states = layer(states, position_embeddings=turns, attention_mask=None, position_ids=places)
        tokens, _ = tower.pooler(states, places, filling, pixels.shape[0] // tower.config.pooling_kernel_size**2)
        if tower.config.standardize:
            tokens = (tokens - tower.std_bias) * tower.std_scale
        rows: torch.Tensor = self.connector(tokens[0])
        return rows


class Language(torch.nn.Module):
    """int64 (rows, length) token ids, mask and index, and float32 (r, hidden) `rows` of pictures, to float32 (rows,
    dimensions), unit length. Where the index is not 0, that row stands in place of the token."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.text = model.language_model
        table = self.text.embed_tokens
        # The library's own kind of table multiplies by a scale, in the precision of its weights.
        self.table = torch.nn.Embedding(table.num_embeddings, table.embedding_dim, _weight=table.weight)
        self.scale = table.scalar_embed_scale

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, rows: torch.Tensor, index: torch.Tensor
    ) -> torch.Tensor:
        words = self.table(input_ids) * self.scale
        words = torch.where(index.unsqueeze(-1) > 0, rows[index], words)
        hidden = {
            "full_attention": masks.everywhere(attention_mask),
            "sliding_attention": masks.nearby(attention_mask, self.text.config.sliding_window),
        }
        states = self.text(inputs_embeds=words, attention_mask=hidden).last_hidden_state
        kept = attention_mask.unsqueeze(-1).to(states.dtype)
        return torch.nn.functional.normalize((states * kept).sum(dim=1) / kept.sum(dim=1), dim=-1)
