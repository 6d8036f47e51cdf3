"""Texts by a transformer and what sentence-transformers puts after it: pooling, dense layers, normalisation.

The tower is made of the encoder and of modules that are read one by one; the reference is the library's whole pipeline.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling
from tokenizers import normalizers
from transformers import AutoTokenizer

from multi2vec.convert import options, references
from multi2vec.convert.errors import SourceError
from multi2vec.convert.model import Lazy, Part, Tower, masked_text_tower
from multi2vec.convert.parts import attention, tokenizer_files
from multi2vec.convert.parts import sentence_pipelines as pipelines
from multi2vec.convert.parts.sentence_pipelines import Module
from multi2vec.convert.recipe import Recipe, TextOptions
from multi2vec.engine.rows import Array, Row
from multi2vec.specs import Prompt, TextSpec

EXAMPLE = "a photo of a cat"
PLACES = ("{text}", "{task}")


def _first(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return states[:, 0]


def _mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    kept = mask.unsqueeze(-1).to(states.dtype)
    return (states * kept).sum(dim=1) / kept.sum(dim=1)


def _last(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    place = (mask.sum(dim=1) - 1).view(-1, 1, 1).expand(-1, 1, states.shape[-1])
    return states.gather(1, place).squeeze(1)


# By sentence-transformers' names: from float32 (rows, length, dimensions) and mask, padded on the right, to (rows,
# dimensions). The library's own first and last search for the mask's ends, which OpenVINO may find elsewhere.
POOLINGS: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cls": _first,
    "mean": _mean,
    "lasttoken": _last,
}


class Pooled(torch.nn.Module):
    """The pooling of that name, in sentence-transformers' form of a module."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.pool = POOLINGS[mode]

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        features["sentence_embedding"] = self.pool(features["token_embeddings"], features["attention_mask"])
        return features


class TextTower(torch.nn.Module):
    """int64 (rows, length) token ids and mask to float32 (rows, dimensions)."""

    def __init__(self, encoder: Any, heads: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = torch.nn.ModuleList(heads)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.pooled(self.states(input_ids, attention_mask), attention_mask)

    def states(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """The encoder's last states, float32 (rows, length, dimensions)."""
        states: torch.Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return states

    def pooled(self, states: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """What comes after the encoder: from its states to float32 (rows, dimensions)."""
        features = {"token_embeddings": states, "attention_mask": attention_mask}
        for head in self.heads:
            features = head(features)
        vectors: torch.Tensor = features["sentence_embedding"]
        return vectors


@dataclass(frozen=True)
class Texts:
    """The original. `end`: a token that it should have put behind each text, done here by hand.

    Only texts of the same length run together, so that nothing is padded.
    """

    pipeline: SentenceTransformer
    end: int | None = None

    def prepare(self, item: str) -> Mapping[str, Array]:
        if self.end is None:
            ids = self.pipeline.preprocess([{"text": item}])["input_ids"][0]
        else:
            length = int(self.pipeline.max_seq_length or 0)
            cut = self.pipeline.tokenizer(item, truncation=True, max_length=length - 1)["input_ids"]
            ids = [*cut, self.end]
        return {"input_ids": np.asarray(ids, dtype=np.int64)}

    def rows(self, items: Sequence[str]) -> Mapping[str, Sequence[Row]]:
        ids = [self.prepare(item)["input_ids"] for item in items]
        found: dict[int, Array] = {}
        for places in same_length(ids):
            together = [items[place] for place in places]
            found |= zip(places, self._vectors(together, np.stack([ids[place] for place in places])), strict=True)
        return references.dense_rows([found[place] for place in range(len(items))])

    def _vectors(self, items: Sequence[str], ids: Array) -> Array:
        if self.end is None:
            # As objects: of a bare string that looks like a picture's address the library would fetch the picture.
            objects: list[Any] = [{"text": item} for item in items]
            return np.asarray(self.pipeline.encode(objects, show_progress_bar=False))
        tokens = torch.from_numpy(ids)
        features: dict[str, Any] = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "modality": "text"}
        with torch.inference_mode():
            return np.asarray(self.pipeline(features)["sentence_embedding"])


def same_length(ids: Sequence[Array]) -> Iterable[list[int]]:
    """The places of rows that are equally long."""
    by_length: dict[int, list[int]] = {}
    for place, row in enumerate(ids):
        by_length.setdefault(len(row), []).append(place)
    return by_length.values()


@dataclass(frozen=True)
class Pipeline:
    """A folder with an encoder, and what comes after it. `load` gives the original library's whole pipeline."""

    folder: Path
    heads: Sequence[torch.nn.Module]
    load: Callable[[], SentenceTransformer]


def read(folder: Path) -> Pipeline:
    """The pipeline that `modules.json` describes. Raises `SourceError` for modules that are not supported."""
    first, *others = pipelines.modules(folder)
    if first.kind != "Transformer":
        raise SourceError(f"{folder} begins with a module {first.kind}, not with a Transformer")
    return Pipeline(first.folder, [_head(module) for module in others], lambda: pipelines.load(folder))


def plain(folder: Path, mode: str) -> Pipeline:
    """An encoder's folder without a pipeline, and a pooling by sentence-transformers' name."""
    return Pipeline(folder, [Pooled(mode)], lambda: pipelines.load_plain(folder, mode))


def _head(module: Module) -> torch.nn.Module:
    if module.kind == "Pooling":
        return _pooling(module.folder)
    if module.kind == "Normalize":
        return Normalize.load(str(module.folder)) if module.folder.is_dir() else Normalize()
    if module.kind == "Dense":
        layer = Dense.load(str(module.folder), local_files_only=True).eval().requires_grad_(False)
        pipelines.prove(layer, module.folder)
        return layer
    raise SourceError(f"{module.folder} is a module {module.kind}, which is not supported")


def _pooling(folder: Path) -> torch.nn.Module:
    found: Any = Pooling.load(str(folder), local_files_only=True)
    if not found.include_prompt:
        raise SourceError(f"{folder} leaves prompts out of the pooling, which is not supported")
    return Pooled(found.pooling_mode) if found.pooling_mode in POOLINGS else found


def part(folder: Path, pipeline: Pipeline, recipe: Recipe, *, knows: Sequence[str] = ()) -> Part:
    """Everything about texts; `knows` are options of the recipe that are followed. Raises `ConversionError`."""
    wishes = recipe.text or TextOptions()
    encoder = pipelines.load_encoder(pipeline.folder)
    if wishes.is_causal is not None:
        encoder.config.is_causal = wishes.is_causal
    tokenizer = read_tokenizer(pipeline.folder)
    file, end = tokenizer.backend_tokenizer.to_str(), None
    if wishes.append_eos and tokenizer(EXAMPLE)["input_ids"][-1] != tokenizer.eos_token_id:
        file, end = tokenizer_files.ending_with(file, tokenizer.eos_token), tokenizer.eos_token_id
    prompts, default = own_prompts(folder)
    own = TextSpec(
        tower="text",
        max_length=length(pipeline.folder, tokenizer, encoder, wishes.max_length),
        pad_id=tokenizer.pad_token_id or 0,
        prompts=prompts,
        default_prompt=default,
    )
    spec = options.text_spec(own, recipe, knows=knows)

    def original() -> Texts:
        loaded = pipeline.load()
        loaded.max_seq_length = spec.max_length
        if wishes.is_causal is not None:
            _transformer(loaded).config.is_causal = wishes.is_causal
        return Texts(loaded, end)

    return Part(spec, _tower(encoder, pipeline.heads, tokenizer), Lazy(original), {spec.tokenizer: file})


def _transformer(pipeline: SentenceTransformer) -> Any:
    """The model of transformers that a pipeline begins with."""
    first: Any = pipeline[0]
    return first.model


def _tower(encoder: Any, heads: Sequence[torch.nn.Module], tokenizer: Any) -> Tower:
    attention.use(encoder)
    encoded = tokenizer(EXAMPLE)
    if any(encoded.get("token_type_ids", ())):
        raise SourceError("the tokenizer gives texts another type than 0, which is not supported")
    dimensions = [each.out_features for each in heads if isinstance(each, Dense)]
    dimensions = dimensions or [each.pooling_output_dimension for each in heads if isinstance(each, Pooling)]
    dimensions = dimensions or [encoder.config.hidden_size]
    return masked_text_tower(TextTower(encoder, heads), encoded["input_ids"], dimensions[-1])


def read_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer, lower case where sentence-transformers' settings say so."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if encoder_settings(folder).get("do_lower_case"):
        backend = tokenizer.backend_tokenizer
        steps = [normalizers.Lowercase(), *([backend.normalizer] if backend.normalizer is not None else [])]
        backend.normalizer = normalizers.Sequence(steps)
    return tokenizer


def encoder_settings(folder: Path) -> dict[str, Any]:
    """What sentence-transformers notes beside an encoder; empty without it."""
    path = folder / "sentence_bert_config.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def length(folder: Path, tokenizer: Any, encoder: Any, wished: int | None) -> int:
    """How many tokens a text may have: as sentence-transformers sets it, or if more are wished, as the model can."""
    positions = getattr(encoder.config, "max_position_embeddings", None) or tokenizer.model_max_length
    table = getattr(getattr(encoder, "embeddings", None), "position_embeddings", None)
    # RoBERTa's kind counts positions from behind the padding's.
    positions -= (getattr(table, "padding_idx", None) or -1) + 1
    usual: int = encoder_settings(folder).get("max_seq_length") or min(tokenizer.model_max_length, positions)
    return usual if wished is None or wished <= usual else max(usual, min(wished, positions))


def own_prompts(folder: Path) -> tuple[dict[str, Prompt], str | None]:
    """The prompts that a pipeline carries, by name, and which it uses by default. Raises `SourceError`."""
    found = pipelines.settings(folder)
    prompts: dict[str, str] = found.get("prompts") or {}
    for name, prompt in prompts.items():
        if any(place in prompt for place in PLACES):
            raise SourceError(f"{folder} has a prompt {name!r} with {{text}} or {{task}} in it, which is not supported")
    default = found.get("default_prompt_name")
    kept = {name: Prompt(prompt) for name, prompt in prompts.items() if prompt}
    return kept, default if default in kept else None
