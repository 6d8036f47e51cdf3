"""jina-embeddings-v3 (https://arxiv.org/abs/2409.10173): an encoder with rotary positions, mean pooling, and an adapter
for each of five tasks. A prompt names a task, and so its instruction and its adapter; without a prompt a text has
neither. All tasks are in one tower, and texts of several tasks may be in one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from multi2vec.convert import options, references
from multi2vec.convert.errors import RecipeError, reading
from multi2vec.convert.model import Lazy, Model, Part, Tower, dense, token_inputs
from multi2vec.convert.parts import attention, jina_v3_checkpoint, text_towers
from multi2vec.convert.parts import sentence_pipelines as pipelines
from multi2vec.convert.parts.adapters import Choice, adapt
from multi2vec.convert.parts.jina_v3_checkpoint import Checkpoint, Lora
from multi2vec.convert.parts.text_towers import EXAMPLE, TextTower
from multi2vec.convert.recipe import Recipe, TextOptions
from multi2vec.convert.references import Adapted
from multi2vec.engine.preparers.texts import ADAPTER, NO_ADAPTER
from multi2vec.engine.rows import Array, Row
from multi2vec.specs import Prompt, TensorSpec, TextSpec


class AdaptedTower(TextTower):
    """int64 (rows, length) token ids and mask, and (rows,) numbers of adapters, to float32 (rows, dimensions)."""

    def __init__(self, encoder: Any, heads: Sequence[torch.nn.Module], choice: Choice) -> None:
        super().__init__(encoder, heads)
        self.choice = choice

    def forward(  # type: ignore[override]
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, adapter: torch.Tensor
    ) -> torch.Tensor:
        self.choice.take(adapter)
        return super().forward(input_ids, attention_mask)


class Original:
    """transformers' model with one adapter at a time, merged into its weights; then what the repository's `encode`
    does: the mean of a text's states, at unit length. One text at a time, so that nothing is padded."""

    def __init__(self, checkpoint: Checkpoint, tokenizer: Any, length: int) -> None:
        self.checkpoint, self.tokenizer, self.length = checkpoint, tokenizer, length
        self.adapter = NO_ADAPTER
        self.model: Any = checkpoint.model()

    def prepare(self, item: str | Adapted) -> Mapping[str, Array]:
        text, adapter = _parts(item)
        ids = self.tokenizer(text, truncation=True, max_length=self.length)["input_ids"]
        return {"input_ids": np.array(ids, dtype=np.int64), ADAPTER: np.array(adapter, dtype=np.int64)}

    def rows(self, items: Sequence[str | Adapted]) -> Mapping[str, Sequence[Row]]:
        return references.dense_rows(np.stack([self._vector(item) for item in items]))

    @torch.inference_mode()
    def _vector(self, item: str | Adapted) -> Array:
        adapter = _parts(item)[1]
        if adapter != self.adapter:
            # The one before is let go first: both would be several gigabytes.
            self.model = None
            self.adapter, self.model = adapter, self.checkpoint.model(adapter)
        ids = torch.from_numpy(self.prepare(item)["input_ids"])[None]
        states = self.model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
        return np.asarray(torch.nn.functional.normalize(states.mean(dim=0), dim=0))


def _parts(item: str | Adapted) -> tuple[str, int]:
    return (item, NO_ADAPTER) if isinstance(item, str) else (item.text, item.adapter)


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when the checkpoint is not complete, of another kind of model, or not there."""
    found = pipelines.find(recipe, "model", source)
    with reading(found.folder, "a jina-embeddings-v3"):
        part = _part(found.folder, recipe)
    return Model((found.source,), {"text": part})


def _part(folder: Path, recipe: Recipe) -> Part:
    checkpoint = jina_v3_checkpoint.read(folder)
    tokenizer = text_towers.read_tokenizer(folder)
    tower = _tower(checkpoint, text_towers.read(folder).heads, tokenizer)
    own = TextSpec(
        tower="text",
        max_length=text_towers.length(
            folder, tokenizer, tower.module.encoder, (recipe.text or TextOptions()).max_length
        ),
        pad_id=tokenizer.pad_token_id,
        prompts=prompts(checkpoint.lora),
    )
    spec = options.text_spec(own, recipe)
    for name, prompt in spec.prompts.items():
        if prompt.adapter is not None and not 0 <= prompt.adapter < len(checkpoint.lora.tasks):
            known = f"0 to {len(checkpoint.lora.tasks) - 1}"
            raise RecipeError(f"{recipe.tag}: the prompt {name!r} has adapter {prompt.adapter}; there are {known}")

    def original() -> Original:
        return Original(jina_v3_checkpoint.read(folder), text_towers.read_tokenizer(folder), spec.max_length)

    return Part(spec, tower, Lazy(original), {spec.tokenizer: tokenizer.backend_tokenizer.to_str()})


def prompts(lora: Lora) -> dict[str, Prompt]:
    """One for each task, with its instruction and its adapter."""
    return {task: Prompt(lora.instructions[task], adapter=number) for number, task in enumerate(lora.tasks)}


def _tower(checkpoint: Checkpoint, heads: Sequence[torch.nn.Module], tokenizer: Any) -> Tower:
    lora, encoder = checkpoint.lora, checkpoint.model()
    choice = Choice(len(lora.tasks), lora.rank, lora.scale)
    adapt(encoder, checkpoint.pairs(), choice)
    attention.use(encoder)
    ids = tokenizer(EXAMPLE, return_tensors="pt")["input_ids"].repeat(2, 1)
    return Tower(
        module=AdaptedTower(encoder, heads, choice).eval(),
        inputs=(*token_inputs("input_ids", "attention_mask"), TensorSpec(ADAPTER, "i64", (None,))),
        example=(ids, torch.ones_like(ids), torch.tensor([0, NO_ADAPTER])),
        outputs=dense(encoder.config.hidden_size),
    )
