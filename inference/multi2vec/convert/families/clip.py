"""CLIP as the transformers library has it (arXiv 2103.00020), for instance openai/clip-vit-base-patch32, and MetaCLIP 2
(arXiv 2507.22062), for instance facebook/metaclip-2-worldwide-b32-384, which is a CLIP with XLM-V's vocabulary.

Pictures are prepared by the PIL-backed processor, for the reasons in processors.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer, MetaClip2Model, XLMRobertaTokenizer

from multi2vec.convert import options
from multi2vec.convert.errors import SourceError
from multi2vec.convert.model import Lazy, Model, Part, Reference, Tower, dense, measured_dimensions, token_inputs
from multi2vec.convert.parts import two_towers, vocabulary
from multi2vec.convert.parts.two_towers import Kind, Texts, TextTower
from multi2vec.convert.recipe import Recipe
from multi2vec.engine.rows import Array
from multi2vec.specs import TextSpec


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when the checkpoint is neither a CLIP nor a MetaCLIP 2, not complete, or cannot be
    had."""
    return two_towers.load(recipe, source, CLIP, METACLIP_2)


def limit_length(tokenizer: Any, model: Any) -> None:
    """Not every checkpoint says how long texts may be; without a limit the original would fail on a long one."""
    tokenizer.model_max_length = min(tokenizer.model_max_length, model.config.text_config.max_position_embeddings)


def original_texts(original: Callable[[], Any], tokenizer: Any, folder: Path, spec: TextSpec) -> Lazy:
    """The reference, with a tokenizer of its own, of the same kind as `tokenizer`."""
    own = type(tokenizer).from_pretrained(folder, model_max_length=spec.max_length)
    return Lazy(lambda: Texts(original(), own))


def own_text_part(model: Any, original: Callable[[], Any], folder: Path, recipe: Recipe) -> Part:
    """Everything about texts of a CLIP's own folder."""
    tokenizer: Any = CLIPTokenizer.from_pretrained(folder)
    limit_length(tokenizer, model)
    return text_part(model, tokenizer, folder, recipe, lambda spec: original_texts(original, tokenizer, folder, spec))


def text_part(
    model: Any, tokenizer: Any, folder: Path, recipe: Recipe, reference: Callable[[TextSpec], Reference]
) -> Part:
    """Everything about texts; `folder` has the vocabulary."""
    spec = text_spec(tokenizer, recipe)
    words = vocabulary.read(folder)
    start, end = tokenizer.bos_token, tokenizer.eos_token

    def slow(text: str) -> Mapping[str, Array] | None:
        ids = words.encode(text, start, end, spec.max_length)
        return None if ids is None else {"input_ids": np.array(ids, dtype=np.int64)}

    return Part(
        spec=spec,
        tower=text_tower(model, tokenizer),
        reference=reference(spec),
        files={spec.tokenizer: tokenizer.backend_tokenizer.to_str()},
        further={"vocabulary": slow},
    )


def metaclip_text_part(model: Any, original: Callable[[], Any], folder: Path, recipe: Recipe) -> Part:
    """Everything about texts of a MetaCLIP 2. Raises `SourceError` when the model takes its vectors at another token
    than the one that ends texts."""
    tokenizer: Any = XLMRobertaTokenizer.from_pretrained(folder)
    limit_length(tokenizer, model)
    end = model.config.text_config.eos_token_id
    if end != tokenizer.eos_token_id:
        raise SourceError(
            f"{folder}: the tokenizer ends texts with the token {tokenizer.eos_token_id}, the model expects {end}"
        )
    spec = text_spec(tokenizer, recipe)
    file = tokenizer.backend_tokenizer.to_str()
    reference = original_texts(original, tokenizer, folder, spec)
    return Part(spec, text_tower(model, tokenizer), reference, {spec.tokenizer: file})


def text_spec(tokenizer: Any, recipe: Recipe) -> TextSpec:
    """Padding may have any length, and needs no mask: attention is causal, and the vector is taken at the first
    end-of-text token, so that nothing after it can matter."""
    own = TextSpec(tower="text", max_length=tokenizer.model_max_length, pad_id=tokenizer.pad_token_id)
    return options.text_spec(own, recipe)


def text_tower(model: Any, tokenizer: Any) -> Tower:
    """The tower for texts."""
    example = torch.tensor([tokenizer("a photo of a cat")["input_ids"]] * 2)
    module = TextTower(model.eval().requires_grad_(False))
    return Tower(module, token_inputs("input_ids"), (example,), dense(measured_dimensions(module, [example])))


CLIP = Kind("CLIP", "clip", CLIPModel, CLIPImageProcessorPil.from_pretrained, own_text_part)
METACLIP_2 = Kind("MetaCLIP 2", "metaclip_2", MetaClip2Model, CLIPImageProcessorPil.from_pretrained, metaclip_text_part)
