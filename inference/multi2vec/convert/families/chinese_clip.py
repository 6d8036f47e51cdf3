"""Chinese CLIP (arXiv 2211.01335) as transformers has it, for instance OFA-Sys/chinese-clip-vit-base-patch16.

A text's vector is the projection of its first token in a BERT, a picture's that of a ViT. The authors' package
`cn_clip` cuts texts at 52 tokens, which transformers leaves to the caller: 52 it is here too. That package then fills
all texts up to 52 and masks what it filled, which changes no vector.

Pictures are prepared by the PIL-backed processor, for the reasons in processors.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import BertTokenizer, ChineseCLIPImageProcessorPil, ChineseCLIPModel

from multi2vec.convert import options
from multi2vec.convert.model import Lazy, Model, Part, masked_text_tower
from multi2vec.convert.parts import attention, two_towers
from multi2vec.convert.parts.two_towers import Kind, Texts, TextTower
from multi2vec.convert.recipe import Recipe
from multi2vec.specs import TextSpec

# The default `context_length` of cn_clip.tokenize: "all baseline models use 52".
CONTEXT = 52


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when the checkpoint is not a Chinese CLIP, not complete, or cannot be had."""
    return two_towers.load(recipe, source, KIND)


def text_part(model: Any, original: Callable[[], Any], folder: Path, recipe: Recipe) -> Part:
    """Everything about texts."""
    length = min(CONTEXT, model.config.text_config.max_position_embeddings)
    tokenizer: Any = BertTokenizer.from_pretrained(folder, model_max_length=length)
    spec = options.text_spec(TextSpec(tower="text", max_length=length, pad_id=tokenizer.pad_token_id), recipe)
    tower = masked_text_tower(TextTower(model), tokenizer("一只猫的照片")["input_ids"], model.config.projection_dim)
    own = BertTokenizer.from_pretrained(folder, model_max_length=spec.max_length)
    return Part(
        spec, tower, Lazy(lambda: Texts(original(), own)), {spec.tokenizer: tokenizer.backend_tokenizer.to_str()}
    )


KIND = Kind(
    name="Chinese CLIP",
    model_type="chinese_clip",
    model=ChineseCLIPModel,
    processor=ChineseCLIPImageProcessorPil.from_pretrained,
    text_part=text_part,
    adjust=lambda model: attention.use(model.text_model),
)
