"""The published checkpoint of jina-embeddings-v3, for transformers' own class of the model.

Its `config.json` names code in a repository (https://huggingface.co/jinaai/xlm-roberta-flash-implementation), which is
not run. transformers has the architecture as `jina_embeddings_v3`, and knows the published names of the weights but for
the adapters': beside each weight, also that of a table of embeddings, lie the matrices of all tasks, in one tensor
`lora_A` and one `lora_B`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import JinaEmbeddingsV3Config, JinaEmbeddingsV3Model

from multi2vec.convert import weights
from multi2vec.convert.errors import SourceError
from multi2vec.convert.parts.adapters import Pair
from multi2vec.convert.weights import State
from multi2vec.engine.preparers.texts import NO_ADAPTER

FILE = "model.safetensors"
# What transformers' class always does; a configuration that says otherwise is of another model.
FIXED = {
    "position_embedding_type": "rotary",
    "rotary_emb_scale_base": None,
    "rotary_emb_interleaved": False,
    "emb_pooler": None,
}
KEPT = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act"),
    *("max_position_embeddings", "type_vocab_size", "layer_norm_eps", "pad_token_id", "bos_token_id", "eos_token_id"),
)
# Over the states, for training; vectors are made without it.
POOLER = "roberta.pooler."
OWN, DOWN, UP = (f".parametrizations.weight.{each}" for each in ("original", "0.lora_A", "0.lora_B"))
QKV = "mixer.Wqkv"


@dataclass(frozen=True)
class Lora:
    """The adapters: their tasks in order, the instruction that stands before a task's texts, and their rank; `alpha` ÷
    rank is what they count."""

    tasks: tuple[str, ...]
    instructions: Mapping[str, str]
    rank: int
    alpha: float

    @property
    def scale(self) -> float:
        """What the product of an adapter's matrices is multiplied by."""
        return self.alpha / self.rank


@dataclass(frozen=True)
class Checkpoint:
    """A folder's configuration, and its tensors by their published names."""

    config: Any
    lora: Lora
    state: State = field(repr=False)

    def model(self, adapter: int = NO_ADAPTER) -> Any:
        """transformers' model in float32, with that adapter merged into its weights. Raises `SourceError`."""
        merged = {name.replace(OWN, ".weight"): tensor for name, tensor in self._merged(adapter)}
        kind: Any = JinaEmbeddingsV3Model
        model, info = kind.from_pretrained(
            None,
            config=self.config,
            state_dict=merged,
            add_pooling_layer=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
        weights.check_loading(info, FILE)
        return model.eval().requires_grad_(False)

    def pairs(self) -> dict[str, Pair]:
        """The adapters of each layer, by transformers' name of it."""
        found: dict[str, Pair] = {}
        for name in self.state:
            if not name.endswith(OWN):
                continue
            down, up = (self.state[name.replace(OWN, each)].float() for each in (DOWN, UP))
            layer = name.removeprefix("roberta.").removesuffix(OWN).replace("encoder.", "")
            if _is_table(name):
                found[layer] = Pair(down.transpose(1, 2), up.transpose(1, 2))
            elif layer.endswith(QKV):
                # The three lie one under another.
                for letter, part in zip("qkv", up.chunk(3, dim=1), strict=True):
                    found[layer.replace(QKV, f"self_attn.{letter}_proj")] = Pair(down, part)
            else:
                found[layer.replace("mixer.out_proj", "self_attn.o_proj")] = Pair(down, up)
        return found

    def _merged(self, adapter: int) -> Iterator[tuple[str, torch.Tensor]]:
        for name, tensor in self.state.items():
            if name.endswith(OWN) and adapter != NO_ADAPTER:
                down, up = (self.state[name.replace(OWN, each)][adapter].float() for each in (DOWN, UP))
                first, second = (down, up) if _is_table(name) else (up, down)
                # In place: the table of words alone is a gigabyte.
                yield name, tensor.to(torch.float32, copy=True).addmm_(first, second, alpha=self.lora.scale)
            elif not name.endswith((DOWN, UP)):
                yield name, tensor


def read(folder: Path) -> Checkpoint:
    """The checkpoint in that folder. Raises `SourceError` unless it holds exactly the weights of such a model."""
    weights.check_model_type(folder, "xlm-roberta")
    published = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "position_embedding_type" not in published or "lora_adaptations" not in published:
        raise SourceError(f"{folder} has no rotary positions or no adapters; is the recipe's family right?")
    for name, value in FIXED.items():
        if published.get(name, value) != value:
            raise SourceError(f"{folder} is a model with {name} = {published[name]!r}, which is not supported")
    lora = Lora(
        tasks=tuple(published["lora_adaptations"]),
        instructions=published["task_instructions"],
        rank=published["lora_rank"],
        alpha=published["lora_alpha"],
    )
    rope = {"rope_type": "default", "rope_theta": float(published["rotary_emb_base"])}
    config = JinaEmbeddingsV3Config(**{name: published[name] for name in KEPT}, rope_parameters=rope)
    if not (folder / FILE).is_file():
        raise SourceError(f"{folder / FILE} is missing")
    state = {name: tensor for name, tensor in load_file(folder / FILE).items() if not name.startswith(POOLER)}
    weights.check_state(state, dict(_needed(config, lora)), str(folder))
    return Checkpoint(config, lora, state)


def _needed(config: Any, lora: Lora) -> Iterator[tuple[str, torch.Tensor]]:
    """All tensors but the pooler's, without their numbers."""
    size, wide = config.hidden_size, config.intermediate_size
    tables = {"word_embeddings": config.vocab_size, "token_type_embeddings": config.type_vocab_size}
    layers = {QKV: (3 * size, size), "mixer.out_proj": (size, size), "mlp.fc1": (wide, size), "mlp.fc2": (size, wide)}
    shapes: dict[str, tuple[int, ...]] = {"roberta.emb_ln.weight": (size,), "roberta.emb_ln.bias": (size,)}
    for name, rows in tables.items():
        shapes |= _adapted(f"roberta.embeddings.{name}", (rows, size), lora)
    for number in range(config.num_hidden_layers):
        layer = f"roberta.encoder.layers.{number}"
        for name, (rows, columns) in layers.items():
            shapes |= _adapted(f"{layer}.{name}", (rows, columns), lora) | {f"{layer}.{name}.bias": (rows,)}
        shapes |= {f"{layer}.{norm}.{each}": (size,) for norm in ("norm1", "norm2") for each in ("weight", "bias")}
    for name, shape in shapes.items():
        yield name, torch.empty(shape, device="meta")


def _adapted(name: str, shape: tuple[int, int], lora: Lora) -> dict[str, tuple[int, ...]]:
    tasks, rows, columns = len(lora.tasks), *shape
    first, second = (rows, lora.rank), (lora.rank, columns)
    down, up = (first, second) if _is_table(name) else (second, first)
    return {f"{name}{OWN}": shape, f"{name}{DOWN}": (tasks, *down), f"{name}{UP}": (tasks, *up)}


def _is_table(name: str) -> bool:
    """Whether it is a table of embeddings, whose adapters are the other way round: A·B instead of B·A."""
    return "embeddings." in name
