"""Text towers of open_clip, and what it makes of texts itself.

There are three kinds. A causal tower that takes its vector at the end of the text needs no padding at all. A tower
without a causal mask has no mask for padding either (SigLIP, arXiv 2303.15343; most MobileCLIP, arXiv 2311.17049):
padding is part of what it was trained on, and each text must have the full length. A tower of the transformers library
makes its mask from the padding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from open_clip import tokenizer as tokenizers
from open_clip.hf_model import HFTextEncoder
from open_clip.model import CLIP
from open_clip.transformer import TextTransformer, text_global_pool

from multi2vec.convert import options, references
from multi2vec.convert.errors import SourceError
from multi2vec.convert.model import Part, Tower, dense, measured_dimensions, token_inputs
from multi2vec.convert.parts.open_clip_loading import Loaded
from multi2vec.convert.parts.simple_tokenizer import tokenizer_json
from multi2vec.convert.recipe import Recipe
from multi2vec.engine.rows import Array, Row
from multi2vec.specs import TensorSpec, TextSpec

CLEANING: dict[Any, tuple[str, ...]] = {
    tokenizers._clean_lower: ("fix_text", "unescape_html", "collapse_whitespace", "lower"),
    tokenizers._clean_whitespace: ("fix_text", "unescape_html", "collapse_whitespace"),
    tokenizers._clean_canonicalize: (
        "fix_text",
        "unescape_html",
        "spaces_for_underscores",
        "remove_punctuation",
        "lower",
        "collapse_whitespace",
    ),
}
AT_THE_END = ("argmax", "eos")
EXAMPLE = "a photo of a cat"


class OwnTextTower(torch.nn.Module):
    """open_clip's own text transformer, int64 (rows, length ≤ context) to float32 (rows, dimensions).

    The original takes full context length only. Where attention is causal and the vector is taken at the end of the
    text, the positions after the longest text are left away; else `padding` fills what lacks.
    """

    def __init__(self, model: CLIP | TextTransformer, missing: int, padding: int) -> None:
        super().__init__()
        self.model, self.missing, self.padding = model, missing, padding
        self.pool_type, self.eos_id = pooling(model)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        model = self.model
        ids = torch.nn.functional.pad(input_ids, (0, self.missing), value=self.padding) if self.missing else input_ids
        length = ids.shape[1]
        mask = None if model.attn_mask is None else model.attn_mask[:length, :length]
        states = model.token_embedding(ids) + model.positional_embedding[:length]
        states = model.ln_final(model.transformer(states, attn_mask=mask))
        vectors: torch.Tensor = text_global_pool(states, ids, self.pool_type, self.eos_id)
        if isinstance(model.text_projection, torch.nn.Linear):
            vectors = model.text_projection(vectors)
        elif model.text_projection is not None:
            vectors = vectors @ model.text_projection
        return vectors


@dataclass(frozen=True)
class Texts:
    """The original: tokenizer and text tower, at full context length. Texts are cut at `max_length` tokens."""

    model: Any
    tokenizer: Any
    max_length: int

    def prepare(self, item: str) -> Mapping[str, Array]:
        ids = self.tokenizer([item], context_length=self.max_length)[0].numpy()
        if isinstance(self.tokenizer, tokenizers.HFTokenizer):
            (real,) = np.nonzero(ids != padding_id(self.tokenizer))
        else:
            # Padding is 0, which is a token too; the last end of text is where the text ends.
            (real,) = np.nonzero(ids == self.tokenizer.eot_token_id)
        return {"input_ids": ids[: real.max() + 1]}

    def rows(self, items: Sequence[str]) -> Mapping[str, Sequence[Row]]:
        ids = self.tokenizer(list(items), context_length=self.max_length)
        missing = self.tokenizer.context_length - self.max_length
        ids = torch.nn.functional.pad(ids, (0, missing), value=padding_id(self.tokenizer))
        with torch.inference_mode():
            return references.dense_rows(self.model.encode_text(ids))


def text_part(loaded: Loaded, recipe: Recipe) -> Part:
    """Everything about texts. Raises `SourceError` for towers and tokenizers of other kinds."""
    tokenizer = loaded.tokenizer
    check_tokenizer(tokenizer)
    text = getattr(loaded.model, "text", loaded.model)
    is_hf_tower = isinstance(text, HFTextEncoder)
    is_fixed = not is_hf_tower and needs_full_length(text)
    own = TextSpec(
        tower="text",
        max_length=tokenizer.context_length,
        padding="fixed" if is_fixed else "longest",
        pad_id=text.config.pad_token_id if is_hf_tower else padding_id(tokenizer),
        clean=CLEANING[tokenizer.clean_fn],  # type: ignore[arg-type]
    )
    spec = options.text_spec(own, recipe)
    missing = own.max_length - spec.max_length if is_fixed else 0
    module = text if is_hf_tower else own_text_tower(text, tokenizer, missing)
    reference = Texts(loaded.original, tokenizer, spec.max_length)
    length = spec.max_length if is_fixed else None
    inputs = (TensorSpec("input_ids", "i64", (None, length)),) if is_fixed else token_inputs("input_ids")
    ids = reference.prepare(EXAMPLE)["input_ids"]
    if is_fixed:
        ids = np.pad(ids, (0, spec.max_length - len(ids)), constant_values=spec.pad_id)
    example = torch.from_numpy(np.stack([ids] * 2))
    outputs = dense(measured_dimensions(module, [example]))
    file = serving_tokenizer(tokenizer)
    return Part(spec, Tower(module, inputs, (example,), outputs), reference, {spec.tokenizer: file})


def own_text_tower(text: CLIP | TextTransformer, tokenizer: Any, missing: int) -> OwnTextTower:
    """The tower for open_clip's own text transformer. Raises `SourceError` when its vector would be taken at a token
    that texts do not have."""
    pool_type, eos_id = pooling(text)
    if isinstance(tokenizer, tokenizers.HFTokenizer):
        last = tokenizer.tokenizer(EXAMPLE)["input_ids"][-1]
        wanted = eos_id if pool_type == "eos" else tokenizer.tokenizer.eos_token_id
        if last != wanted:
            raise SourceError(f"the tokenizer ends texts with the token {last}, the text tower expects {wanted}")
    return OwnTextTower(text, missing, padding_id(tokenizer))


def needs_full_length(text: Any) -> bool:
    """Whether padding changes the vectors of open_clip's own text transformer. Raises `SourceError` for those that add
    a token of their own, mask padding, or do not pool."""
    is_plain = isinstance(text, CLIP) or (
        isinstance(text, TextTransformer) and text.cls_emb is None and not text.use_pad_mask and not text.output_tokens
    )
    pool_type, _ = pooling(text) if is_plain else ("none", None)
    if pool_type not in (*AT_THE_END, "first", "last"):
        raise SourceError("this kind of text tower is not supported")
    return text.attn_mask is None or pool_type not in AT_THE_END


def pooling(text: CLIP | TextTransformer) -> tuple[str, int]:
    """Where the text's vector is taken, and the token that ends a text."""
    if isinstance(text, CLIP):
        return text.text_pool_type, text.text_eos_id
    return text.pool_type, text.eos_id


def check_tokenizer(tokenizer: Any) -> None:
    """Raise `SourceError` for a tokenizer that does what the engine does not."""
    if tokenizer.clean_fn not in CLEANING:
        raise SourceError("the tokenizer cleans texts in a way that is not supported")
    is_hf = isinstance(tokenizer, tokenizers.HFTokenizer)
    special = tokenizer.strip_sep_token or tokenizer.tokenizer_mode if is_hf else tokenizer.reduction_fn
    if special:
        raise SourceError("the tokenizer changes tokens in a way that is not supported")


def padding_id(tokenizer: Any) -> int:
    """The number that follows a text."""
    return int(tokenizer.tokenizer.pad_token_id) if isinstance(tokenizer, tokenizers.HFTokenizer) else 0


def serving_tokenizer(tokenizer: Any) -> str:
    """The text of the `tokenizer.json` that does the same."""
    if isinstance(tokenizer, tokenizers.HFTokenizer):
        return str(tokenizer.tokenizer.backend_tokenizer.to_str())
    return tokenizer_json(tokenizer)
