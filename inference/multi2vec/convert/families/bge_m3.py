"""BGE-M3 (https://arxiv.org/abs/2402.03216): one encoder, and three answers for each text.

`dense` is the first token's state at unit length, `sparse` a weight for each token id, `colbert` a vector at unit
length for each token but the first. The repository is a folder of sentence-transformers, which knows the dense vector
only; the two other heads lie beside it, for the library of their authors, FlagEmbedding
(https://github.com/FlagOpen/FlagEmbedding).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from multi2vec.convert import checkpoint, weights
from multi2vec.convert.errors import SourceError, reading
from multi2vec.convert.model import Lazy, Model, Part, Tower
from multi2vec.convert.parts import sentence_pipelines as pipelines
from multi2vec.convert.parts import text_towers
from multi2vec.convert.parts.text_towers import TextTower
from multi2vec.convert.recipe import HubSource, Recipe
from multi2vec.engine.rows import Array, Row, Sparse
from multi2vec.specs import DENSE, OutputSpec

SPARSE, COLBERT = "sparse", "colbert"
SPARSE_FILE, COLBERT_FILE = "sparse_linear.pt", "colbert_linear.pt"
# Tokens whose weights say nothing, by their names in a tokenizer.
UNWEIGHTED = ("cls_token", "eos_token", "pad_token", "unk_token")


@dataclass(frozen=True)
class Heads:
    """What makes weights (to 1) and token vectors (to as many dimensions) of the encoder's states."""

    sparse: torch.nn.Linear
    colbert: torch.nn.Linear


class ThreeTower(torch.nn.Module):
    """int64 (rows, length) token ids and mask to float32 dense vectors (rows, dimensions), weights (rows, length), and
    token vectors (rows, length, dimensions)."""

    unweighted: torch.Tensor

    def __init__(self, dense: TextTower, heads: Heads, unweighted: Sequence[int]) -> None:
        super().__init__()
        self.dense, self.sparse, self.colbert = dense, heads.sparse, heads.colbert
        self.register_buffer("unweighted", torch.tensor(unweighted))

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        states = self.dense.states(input_ids, attention_mask)
        counts = (input_ids.unsqueeze(-1) != self.unweighted).to(torch.float32).prod(dim=-1)
        # No product of matrices: of one column of compressed weights, on one thread, OpenVINO 2026.4 makes zeros.
        token_weights = torch.relu((states * self.sparse.weight[0]).sum(dim=-1) + self.sparse.bias) * counts
        vectors = torch.nn.functional.normalize(self.colbert(states), dim=-1)
        return self.dense.pooled(states, attention_mask), token_weights, vectors


@dataclass(frozen=True)
class Original:
    """The pipeline of sentence-transformers, and the heads as FlagEmbedding applies them; one text at a time."""

    pipeline: SentenceTransformer
    heads: Heads

    def prepare(self, item: str) -> Mapping[str, Array]:
        return text_towers.Texts(self.pipeline).prepare(item)

    def rows(self, items: Sequence[str]) -> Mapping[str, Sequence[Row]]:
        found = [self._answers(item) for item in items]
        return {name: [each[name] for each in found] for name in (DENSE, SPARSE, COLBERT)}

    @torch.inference_mode()
    def _answers(self, item: str) -> dict[str, Row]:
        # As an object: of a bare string that looks like a picture's address the library would fetch the picture.
        objects: list[Any] = [{"text": item}]
        features: Any = self.pipeline.encode(objects, output_value=None, show_progress_bar=False)[0]
        states = features["token_embeddings"]
        vectors = torch.nn.functional.normalize(self.heads.colbert(states[1:]), dim=-1)
        return {
            DENSE: features["sentence_embedding"].numpy(),
            SPARSE: self._weights(self.prepare(item)["input_ids"], states),
            COLBERT: vectors.numpy(),
        }

    def _weights(self, ids: Array, states: torch.Tensor) -> Sparse:
        """The largest weight of each token id, where it is above zero."""
        token_weights = torch.relu(self.heads.sparse(states)).squeeze(-1).tolist()
        unweighted = unweighted_ids(self.pipeline.tokenizer)
        largest: dict[int, float] = {}
        for number, weight in zip(ids.tolist(), token_weights, strict=True):
            if number not in unweighted and weight > largest.get(number, 0.0):
                largest[number] = weight
        rising = sorted(largest)
        return Sparse(
            np.array(rising, dtype=np.int64), np.array([largest[number] for number in rising], dtype=np.float32)
        )


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when the checkpoint is not complete, of another kind of model, or not there."""
    found = pipelines.find(recipe, "model", source)
    if source is None and isinstance(recipe.sources["model"], HubSource):
        checkpoint.fetch(found.source.name, found.source.revision, (SPARSE_FILE, COLBERT_FILE))
    with reading(found.folder, "a BGE-M3"):
        part = _part(found.folder, recipe)
    return Model((found.source,), {"text": part})


def _part(folder: Path, recipe: Recipe) -> Part:
    weights.check_model_type(folder, "xlm-roberta")
    part = text_towers.part(folder, text_towers.read(folder), recipe)
    encoder: Any = part.tower.module.encoder
    dimensions = encoder.config.hidden_size
    unweighted = unweighted_ids(text_towers.read_tokenizer(folder))

    def original() -> Original:
        pipeline = pipelines.load(folder)
        pipeline.max_seq_length = part.spec.max_length  # type: ignore[attr-defined]
        return Original(pipeline, read_heads(folder, dimensions))

    outputs = (
        *part.tower.outputs,
        OutputSpec(SPARSE, encoder.config.vocab_size, "sparse"),
        OutputSpec(COLBERT, dimensions, "tokens", skipped=1),
    )
    module: Any = part.tower.module
    tower: Tower = replace(
        part.tower, module=ThreeTower(module, read_heads(folder, dimensions), unweighted).eval(), outputs=outputs
    )
    return replace(part, tower=tower, reference=Lazy(original))


def read_heads(folder: Path, dimensions: int) -> Heads:
    """The two heads over states of so many dimensions. Raises `SourceError`."""
    return Heads(_head(folder / SPARSE_FILE, dimensions, 1), _head(folder / COLBERT_FILE, dimensions, dimensions))


def _head(path: Path, dimensions: int, out: int) -> torch.nn.Linear:
    if not path.is_file():
        raise SourceError(f"{path} is missing")
    layer = torch.nn.Linear(dimensions, out).eval().requires_grad_(False)
    state = torch.load(path, map_location="cpu", weights_only=True)
    weights.check_state(state, layer.state_dict(), str(path))
    layer.load_state_dict(state)
    return layer


def unweighted_ids(tokenizer: Any) -> list[int]:
    """The ids of the tokens whose weights say nothing, of those that the tokenizer has."""
    tokens = [tokenizer.special_tokens_map[name] for name in UNWEIGHTED if name in tokenizer.special_tokens_map]
    return sorted({int(tokenizer.convert_tokens_to_ids(token)) for token in tokens})
