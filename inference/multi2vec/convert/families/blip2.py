"""BLIP-2 for retrieval as the transformers library has it: Salesforce/blip2-itm-vit-g.

A picture becomes the vectors of 32 queries (arXiv 2301.12597, section 3.2); the model's own score of a picture and a
text is the largest cosine of the 32 with the text's vector. A database wants one vector: `dense` is the mean of the 32
projected queries as they are, before any of them is brought to unit length, as Intel's Multimodal Embedding Serving
makes it (`Blip2/blip2_transformers`). The 32 are the output `queries`, so that the model's own score can be had too.
A text's vector is that of its first token.

Pictures are prepared by the PIL-backed processor, for the reasons in processors.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertTokenizer,
    Blip2ForImageTextRetrieval,
    Blip2TextModelWithProjection,
    Blip2VisionModelWithProjection,
    BlipImageProcessorPil,
)
from transformers.utils import logging

from multi2vec.convert import checkpoint, options, references, weights
from multi2vec.convert.errors import reading
from multi2vec.convert.model import Lazy, Model, Part, Tower, dense, masked_text_tower, pixel_inputs
from multi2vec.convert.parts import processors, two_towers
from multi2vec.convert.recipe import Recipe
from multi2vec.engine.rows import Row
from multi2vec.specs import DENSE, OutputSpec, TextSpec

QUERIES = "queries"


class TextTower(torch.nn.Module):
    """int64 (rows, length) token ids and mask to float32 (rows, dimensions)."""

    def __init__(self, model: Blip2ForImageTextRetrieval) -> None:
        super().__init__()
        self.embeddings, self.qformer, self.projection = model.embeddings, model.qformer, model.text_projection

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states = self.qformer(self.embeddings(input_ids), query_length=0, attention_mask=attention_mask)
        vectors: torch.Tensor = self.projection(states.last_hidden_state[:, 0])
        return vectors


class PictureTower(torch.nn.Module):
    """float32 (rows, 3, height, width) scaled pixels to float32 (rows, dimensions) and (rows, queries, dimensions)."""

    def __init__(self, model: Blip2ForImageTextRetrieval) -> None:
        super().__init__()
        self.vision, self.qformer, self.projection = model.vision_model, model.qformer, model.vision_projection
        self.query_tokens = model.query_tokens

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        patches = self.vision(pixels).last_hidden_state
        tokens = self.query_tokens.expand(pixels.shape[0], -1, -1)
        queries = self.projection(self.qformer(tokens, encoder_hidden_states=patches).last_hidden_state)
        return queries.mean(dim=1), queries


class Texts(two_towers.Texts):
    """The original: the library's class for texts alone as the model."""

    def rows(self, items: Sequence[str]) -> Mapping[str, Sequence[Row]]:
        inputs = self.tokenizer(
            list(items), padding=True, truncation=True, return_tensors="pt", return_token_type_ids=False
        )
        return references.dense_rows(projected(self.model, self.model.text_projection, **inputs)[:, 0])


class Pictures(two_towers.Pictures):
    """The original: the library's class for pictures alone as the model."""

    def rows(self, items: Sequence[bytes]) -> Mapping[str, Sequence[Row]]:
        inputs = self.processor([self.open(item) for item in items], return_tensors="pt")
        queries = projected(self.model, self.model.vision_projection, **inputs)
        return {DENSE: list(queries.mean(dim=1).numpy()), QUERIES: list(queries.numpy())}


def projected(model: torch.nn.Module, projection: torch.nn.Module, **inputs: torch.Tensor) -> torch.Tensor:
    """What the model's projection gives, float32 (rows, tokens, dimensions): the model brings each to unit length,
    and their mean is of those before."""
    found: list[torch.Tensor] = []
    hook = projection.register_forward_hook(lambda module, given, output: found.append(output))
    try:
        with torch.inference_mode():
            model(**inputs)
    finally:
        hook.remove()
    (vectors,) = found
    return vectors


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when the checkpoint is not BLIP-2 for retrieval, not complete, or cannot be had."""
    found = checkpoint.find(recipe, "model", source)
    folder = found.folder
    with reading(folder, "a BLIP-2 of transformers"):
        weights.check_model_type(folder, "blip-2")
        model = weights.load_proved(Blip2ForImageTextRetrieval, folder).eval().requires_grad_(False)
        parts = {"text": text_part(model, folder, recipe), "image": picture_part(model, folder, recipe)}
    return Model((found.source,), parts)


def half(kind: Any, folder: Path) -> Any:
    """The library's class for one modality, with the checkpoint's weights; those of the other are reported by the
    library, and are no news here."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        model = kind.from_pretrained(folder, dtype=torch.float32)
    finally:
        logging.set_verbosity(before)
    return model.eval().requires_grad_(False)


def text_part(model: Any, folder: Path, recipe: Recipe) -> Part:
    """Everything about texts."""
    tokenizer: Any = BertTokenizer.from_pretrained(folder)
    table = model.embeddings
    # Not every checkpoint says how long texts may be.
    length = min(tokenizer.model_max_length, table.position_embeddings.num_embeddings)
    own = TextSpec(tower="text", max_length=length, pad_id=tokenizer.pad_token_id)
    spec = options.text_spec(own, recipe)
    ids = tokenizer("a photo of a cat")["input_ids"]
    tower = masked_text_tower(TextTower(model), ids, model.text_projection.out_features)

    def original() -> Texts:
        own_tokenizer = BertTokenizer.from_pretrained(folder, model_max_length=spec.max_length)
        return Texts(half(Blip2TextModelWithProjection, folder), own_tokenizer)

    file = tokenizer_json(tokenizer, table.word_embeddings.num_embeddings)
    return Part(spec, tower, Lazy(original), {spec.tokenizer: file})


def tokenizer_json(tokenizer: Any, vocabulary: int) -> str:
    """The tokenizer without the tokens that the model has no vector for.

    `<image>` is one: it only marks where the processor puts the 32 queries, and the library fails on a text that holds
    it. Here it is text like any other.
    """
    table = json.loads(tokenizer.backend_tokenizer.to_str())
    table["added_tokens"] = [token for token in table["added_tokens"] if token["id"] < vocabulary]
    return json.dumps(table, ensure_ascii=False)


def picture_part(model: Any, folder: Path, recipe: Recipe) -> Part:
    """Everything about pictures."""
    processor: Any = BlipImageProcessorPil.from_pretrained(folder)
    own = processors.picture_spec(processor)
    spec = options.picture_spec(own, recipe)
    dimensions, queries = model.vision_projection.out_features, model.query_tokens.shape[1]
    tower = Tower(
        module=PictureTower(model),
        inputs=pixel_inputs(spec.height, spec.width),
        example=(torch.zeros(2, 3, spec.height, spec.width),),
        outputs=(*dense(dimensions), OutputSpec(QUERIES, dimensions, "tokens", vectors=queries)),
        scaling=processors.scaling(processor),
    )

    def original() -> Pictures:
        return Pictures(half(Blip2VisionModelWithProjection, folder), processor, references.opener(own, recipe))

    return Part(spec, tower, Lazy(original))
