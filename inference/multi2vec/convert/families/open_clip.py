"""Models of open_clip's catalogue: CLIP with its own text tower, or with one of the transformers library.

A local checkpoint (`--source DIR`) is a folder as open_clip writes it for the hub: `open_clip_config.json`, weights,
tokenizer files. Where the text tower is one of transformers, `DIR/<its name>/config.json` describes it, as in
`DIR/xlm-roberta-base/config.json`; without that its configuration comes from the hub.

`open_clip_loading.py` finds and loads it; here it becomes towers and references.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from open_clip import tokenizer as tokenizers
from open_clip.hf_model import HFTextEncoder
from open_clip.model import CLIP
from open_clip.transformer import text_global_pool

from multi2vec.convert import checkpoint, open_clip_loading, options, references
from multi2vec.convert.errors import ConversionError, SourceError, one_line
from multi2vec.convert.model import (
    Model,
    Part,
    Scaling,
    Tower,
    dense,
    measured_dimensions,
    pixel_inputs,
    token_inputs,
)
from multi2vec.convert.open_clip_loading import Loaded
from multi2vec.convert.recipe import OpenClipSource, Recipe
from multi2vec.convert.simple_tokenizer import tokenizer_json
from multi2vec.engine.rows import Array, Row
from multi2vec.manifest import PictureSpec, TextSpec

CLEANING: dict[Any, tuple[str, ...]] = {
    tokenizers._clean_lower: ("fix_text", "unescape_html", "collapse_whitespace", "lower"),
    tokenizers._clean_whitespace: ("fix_text", "unescape_html", "collapse_whitespace"),
}


class CausalTextTower(torch.nn.Module):
    """open_clip's own text tower, int64 (rows, length ≤ context) to float32 (rows, dimensions).

    The original takes full context length only. Attention is causal and the vector is taken at the end-of-text token,
    so that the positions after the longest text can be left away.
    """

    def __init__(self, model: CLIP) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        model, length = self.model, input_ids.shape[1]
        states = model.token_embedding(input_ids) + model.positional_embedding[:length]
        states = model.transformer(states, attn_mask=model.attn_mask[:length, :length])
        states = model.ln_final(states)
        vectors: torch.Tensor = text_global_pool(states, input_ids, model.text_pool_type, model.text_eos_id)
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
            (real,) = np.nonzero(ids != self.padding)
        else:
            # Padding is 0, which is a token too; the last end of text is where the text ends.
            (real,) = np.nonzero(ids == self.tokenizer.eot_token_id)
        return {"input_ids": ids[: real.max() + 1]}

    def rows(self, items: Sequence[str]) -> Mapping[str, Sequence[Row]]:
        ids = self.tokenizer(list(items), context_length=self.max_length)
        rest = self.tokenizer.context_length - self.max_length
        with torch.inference_mode():
            vectors = self.model.encode_text(torch.nn.functional.pad(ids, (0, rest), value=self.padding))
        return references.dense_rows(vectors)

    @property
    def padding(self) -> int:
        """The number that follows a text."""
        is_hf = isinstance(self.tokenizer, tokenizers.HFTokenizer)
        return int(self.tokenizer.tokenizer.pad_token_id) if is_hf else 0


@dataclass(frozen=True)
class Pictures:
    """The original: its transforms and picture tower."""

    model: Any
    preprocess: Any
    open: references.Opener

    def prepare(self, item: bytes) -> Mapping[str, Array]:
        picture = self.open(item)
        # The last two turn it into a tensor and scale it.
        for transform in self.preprocess.transforms[:-2]:
            picture = transform(picture)
        return {"pixels": np.asarray(picture)}

    def rows(self, items: Sequence[bytes]) -> Mapping[str, Sequence[Row]]:
        rows = [self.preprocess(self.open(item)) for item in items]
        with torch.inference_mode():
            vectors = self.model.encode_image(torch.stack(rows))
        return references.dense_rows(vectors)


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when the checkpoint is of a kind that is not supported, or cannot be had."""
    wanted = recipe.sources["model"]
    if not isinstance(wanted, OpenClipSource):
        raise SourceError("the family open_clip takes an architecture and a pretrained name as its source")
    folder = checkpoint.local_folder(recipe, "model", source)
    try:
        loaded = open_clip_loading.from_hub(wanted) if folder is None else open_clip_loading.from_folder(wanted, folder)
        parts = {"text": text_part(loaded, recipe), "image": picture_part(loaded, recipe)}
    except ConversionError:
        raise
    except Exception as error:
        raise SourceError(
            f"{folder or wanted.name} cannot be read as a model of open_clip: {one_line(error)}"
        ) from error
    return Model(loaded.sources, parts)


def text_part(loaded: Loaded, recipe: Recipe) -> Part:
    """Everything about texts. Raises `SourceError` for towers and tokenizers of other kinds."""
    model, tokenizer = loaded.model, loaded.tokenizer
    clean = CLEANING.get(tokenizer.clean_fn)
    if clean is None:
        raise SourceError("the tokenizer cleans texts in a way that is not supported")
    if isinstance(tokenizer, tokenizers.HFTokenizer):
        module, pad, file = hf_text_tower(model, tokenizer)
    else:
        module, pad, file = causal_text_tower(model, tokenizer), 0, tokenizer_json(tokenizer)
    own = TextSpec(tower="text", max_length=tokenizer.context_length, pad_id=pad, clean=clean)  # type: ignore[arg-type]
    spec = options.text_spec(own, recipe)
    reference = Texts(loaded.original, tokenizer, spec.max_length)
    example = torch.from_numpy(np.stack([reference.prepare("a photo of a cat")["input_ids"]] * 2))
    outputs = dense(measured_dimensions(module, [example]))
    return Part(spec, Tower(module, token_inputs("input_ids"), (example,), outputs), reference, {spec.tokenizer: file})


def causal_text_tower(model: Any, tokenizer: Any) -> torch.nn.Module:
    """The tower for open_clip's own text transformer."""
    plain = isinstance(model, CLIP) and model.attn_mask is not None and model.text_pool_type in ("argmax", "eos")
    if not plain or getattr(tokenizer, "reduction_fn", None) is not None:
        raise SourceError("only causal text towers that end at the end-of-text token are supported")
    return CausalTextTower(model)


def hf_text_tower(model: Any, tokenizer: Any) -> tuple[torch.nn.Module, int, str]:
    """The tower of the transformers library (it makes its mask from the padding), padding token, `tokenizer.json`."""
    text = getattr(model, "text", None)
    if not isinstance(text, HFTextEncoder) or tokenizer.strip_sep_token or tokenizer.tokenizer_mode:
        raise SourceError("this combination of text tower and tokenizer is not supported")
    return text, text.config.pad_token_id, tokenizer.tokenizer.backend_tokenizer.to_str()


def picture_part(loaded: Loaded, recipe: Recipe) -> Part:
    """Everything about pictures."""
    settings = loaded.original.visual.preprocess_cfg
    own = own_picture_spec(settings)
    spec = options.picture_spec(own, recipe)
    module, example = loaded.model.visual, torch.zeros(2, 3, spec.height, spec.width)
    tower = Tower(
        module=module,
        inputs=pixel_inputs(spec.height, spec.width),
        example=(example,),
        outputs=dense(measured_dimensions(module, [example])),
        scaling=Scaling(tuple(settings["mean"]), tuple(settings["std"])),
    )
    return Part(spec, tower, Pictures(loaded.original, loaded.preprocess, references.opener(own, recipe)))


def own_picture_spec(settings: dict[str, Any]) -> PictureSpec:
    """The settings of open_clip's transforms. Raises `SourceError` for those that the engine does not know."""
    size = settings["size"]
    height, width = (size, size) if isinstance(size, int) else size
    mode = settings.get("resize_mode") or "shortest"
    if mode not in ("shortest", "squash") or (mode == "shortest" and height != width):
        raise SourceError(f"the resize mode {mode!r} to {width}×{height} is not supported")
    return PictureSpec(
        tower="image",
        height=height,
        width=width,
        resize=mode,  # type: ignore[arg-type]
        interpolation="bilinear" if settings.get("interpolation") == "bilinear" else "bicubic",
        crop_rounding="half_even",
        convert_rgb="after_resize",
        transparency="drop",
    )
