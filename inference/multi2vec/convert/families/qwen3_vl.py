"""Embedders out of Qwen3-VL: Qwen3-VL-Embedding (arXiv 2601.04720).

One vector of pictures and texts: the state of the prompt's last token. What several layers of the vision tower saw is
added to the first layers of the language tower (DeepStack, arXiv 2406.04334).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, Qwen2VLImageProcessorPil, Qwen3VLModel

from multi2vec.convert import checkpoint, references, sixteen_bits, weights
from multi2vec.convert.errors import reading
from multi2vec.convert.model import Lazy, Model, Part
from multi2vec.convert.parts import processors, qwen3_vl, qwen3_vl_reference, qwen_vl
from multi2vec.convert.parts.qwen3_vl_reference import Original
from multi2vec.convert.recipe import Recipe
from multi2vec.engine.preparers import shown
from multi2vec.layouts import PatchLayout, Resize
from multi2vec.specs import FusedSpec, VideoSpec


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when the checkpoint is not a Qwen3-VL, not complete, or cannot be had."""
    found = checkpoint.find(recipe, "model", source)
    folder = found.folder
    with reading(folder, "a Qwen3-VL of transformers"):
        weights.check_model_type(folder, "qwen3_vl")
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        dtype = sixteen_bits.stored_dtype(folder)
        model = weights.load_proved(Qwen3VLModel, folder, dtype=dtype, left_out=qwen_vl.LEFT_OUT)
        model = model.eval().requires_grad_(False)
        resize = resize_of(model, recipe)
        pictures = layout(model, resize)
        spec = qwen_vl.spec(model, tokenizer, recipe, pictures, video_spec(recipe, pictures))
        original = references.Shared(lambda: qwen3_vl_reference.read(folder, qwen_vl.rules(spec, resize)))
        part = part_of(model, spec, folder, tokenizer, original)
    return Model((found.source,), dict.fromkeys(spec.modalities, part))


def resize_of(model: Any, recipe: Recipe) -> Resize:
    """How pictures are resized: once, as the library qwen_vl_utils does it, to what the recipe allows."""
    vision, own = model.config.vision_config, qwen_vl.wishes(recipe)
    assert own.least_pixels is not None
    assert own.most_pixels is not None
    return Resize(vision.patch_size * vision.spatial_merge_size, own.least_pixels, own.most_pixels)


def layout(model: Any, resize: Resize) -> PatchLayout:
    """How pictures become patches."""
    vision = model.config.vision_config
    table = int(vision.num_position_embeddings**0.5)
    return PatchLayout(
        vision.patch_size, vision.spatial_merge_size, (resize,), frames=vision.temporal_patch_size, table=table
    )


def video_spec(recipe: Recipe, pictures: PatchLayout) -> VideoSpec | None:
    """How videos become frames, of which the vision tower takes pairs, each behind its time."""
    usual = VideoSpec(pictures, "<|video_pad|>", even=True, together=pictures.frames, says=f"<{shown.SECONDS} seconds>")
    return qwen_vl.video_spec(recipe, pictures, usual)


def part_of(model: Any, spec: FusedSpec, folder: Path, tokenizer: Any, original: Callable[[], Original]) -> Part:
    """Everything about texts, pictures and both."""
    processor: Any = Qwen2VLImageProcessorPil.from_pretrained(folder)
    return Part(
        spec,
        qwen3_vl.language_tower(model),
        Lazy(original),
        {spec.tokenizer: tokenizer.backend_tokenizer.to_str()},
        vision=qwen3_vl.vision_tower(model, processors.scaling(processor)),
        part_rows=lambda item: original().picture_rows(item),
    )
