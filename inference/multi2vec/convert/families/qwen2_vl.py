"""Embedders out of Qwen2-VL (arXiv 2409.12191): GME (arXiv 2412.16855), dse-qwen2-2b-mrl-v1 (arXiv 2406.11251),
Ops-MM-embedding-v1.

One vector of texts and pictures: the state of the prompt's last token. The recipe says what their authors do
differently: prompts, sizes of pictures, how tokens are counted, what stands for a missing text or picture.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, Qwen2VLImageProcessorPil, Qwen2VLModel

from multi2vec.convert import checkpoint, references, sixteen_bits, weights
from multi2vec.convert.errors import reading
from multi2vec.convert.model import Lazy, Model, Part, Scaling, Tower, dense, token_inputs
from multi2vec.convert.parts import processors, qwen2_vl, qwen_vl
from multi2vec.convert.parts.qwen_vl_reference import Original
from multi2vec.convert.recipe import FusedOptions, Recipe
from multi2vec.engine.preparers.protocol import ROWS
from multi2vec.layouts import PatchLayout, Resize
from multi2vec.specs import FusedSpec, OutputSpec, TensorSpec, VideoSpec

# The limits of qwen_vl_utils: 4 to 16,384 times 28² pixels.
UTILS_PIXELS = (3136, 12845056)


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when the checkpoint is not a Qwen2-VL, not complete, or cannot be had."""
    found = checkpoint.find(recipe, "model", source)
    folder = found.folder
    with reading(folder, "a Qwen2-VL of transformers"):
        weights.check_model_type(folder, "qwen2_vl")
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = read_model(folder)
        looks = model.config.vision_config
        layout = PatchLayout(looks.patch_size, looks.spatial_merge_size, resizes(qwen_vl.wishes(recipe), looks))
        video = qwen_vl.video_spec(recipe, layout, VideoSpec(layout, qwen_vl.PLACE))
        spec = qwen_vl.spec(model, tokenizer, recipe, layout, video)
        shared = references.Shared(lambda: read_original(folder, spec))
        part = part_of(model, spec, folder, tokenizer, shared)
    return Model((found.source,), dict.fromkeys(spec.modalities, part))


def read_model(folder: Path) -> Any:
    """The model with exactly the checkpoint's weights, in the precision that they are stored in."""
    dtype = sixteen_bits.stored_dtype(folder)
    return (
        weights.load_proved(Qwen2VLModel, folder, dtype=dtype, left_out=qwen_vl.LEFT_OUT).eval().requires_grad_(False)
    )


def read_original(folder: Path, spec: FusedSpec) -> Original:
    """The original, loaded by its own loader, in float32 arithmetic."""
    model: Any = Qwen2VLModel.from_pretrained(folder, dtype=sixteen_bits.stored_dtype(folder))
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    assert isinstance(spec.layout, PatchLayout)
    first, *others = spec.layout.resizes
    last = others[-1] if others else first
    processor: Any = Qwen2VLImageProcessorPil.from_pretrained(folder, min_pixels=last.least, max_pixels=last.most)
    rules = qwen_vl.rules(spec, first if others else None)
    return Original(sixteen_bits.widened(model.eval().requires_grad_(False)), tokenizer, processor, rules)


def resizes(own: FusedOptions, vision: Any) -> tuple[Resize, ...]:
    """How pictures are resized: by qwen_vl_utils first, where the recipe says so, then by transformers' processor."""
    assert own.least_pixels is not None
    assert own.most_pixels is not None
    unit = vision.patch_size * vision.spatial_merge_size
    last = Resize(unit, own.least_pixels, own.most_pixels, at_least_one=False)
    if own.first_resize is None:
        return (last,)
    return (Resize(unit, *UTILS_PIXELS, beyond=own.first_resize), last)


def part_of(model: Any, spec: FusedSpec, folder: Path, tokenizer: Any, original: Callable[[], Original]) -> Part:
    """Everything about texts, pictures and both."""
    processor: Any = Qwen2VLImageProcessorPil.from_pretrained(folder)
    return Part(
        spec,
        language_tower(model),
        Lazy(original),
        {spec.tokenizer: tokenizer.backend_tokenizer.to_str()},
        vision=vision_tower(model, processors.scaling(processor)),
        part_rows=lambda item: original().picture_rows(item),
    )


def vision_tower(model: Any, scaling: Scaling) -> Tower:
    """From one picture's patches to its rows."""
    patch = model.config.vision_config.patch_size
    places = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    return Tower(
        qwen2_vl.Vision(model.visual, scaling.mean, scaling.std).eval(),
        (TensorSpec("pixels", "u8", (None, 3 * patch**2)), TensorSpec("position_ids", "i64", (None, 2))),
        (torch.zeros(8, 3 * patch**2, dtype=torch.uint8), torch.cat([places, places + 2])),
        (OutputSpec(ROWS, model.config.text_config.hidden_size),),
    )


def language_tower(model: Any) -> Tower:
    """From tokens and rows to vectors."""
    size = model.config.text_config.hidden_size
    ids = torch.ones(2, 8, dtype=torch.int64)
    return Tower(
        qwen2_vl.Language(model.language_model).eval(),
        (
            *token_inputs("input_ids", "attention_mask"),
            TensorSpec(ROWS, "f32", (None, size)),
            *token_inputs("index"),
            TensorSpec("position_ids", "i64", (None, 3, None)),
        ),
        (ids, ids, torch.zeros(3, size), torch.tensor([[0, 1, 2, 0, 0, 0, 0, 0]] * 2), torch.arange(8).expand(2, 3, 8)),
        dense(size),
    )
