"""What a checkpoint of EmbeddingGemma 2 holds: its weights but for sound, and settings that the engine has to know.

Beside towers for pictures and texts there is one for sound, `audio_tower` and `embed_audio`. It is left out, since the
engine has no sound; every other tensor is used.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import EmbeddingGemma2Config, EmbeddingGemma2Model, EmbeddingGemma2VideoProcessor

from multi2vec.convert import sixteen_bits, weights
from multi2vec.convert.errors import SourceError
from multi2vec.convert.parts import attention, processors
from multi2vec.convert.parts import sentence_pipelines as pipelines
from multi2vec.layouts import GemmaLayout
from multi2vec.specs import VideoSpec

# What the names of tensors for sound begin with.
LEFT_OUT = ("audio_tower.", "embed_audio.")
# By what sentence-transformers calls them.
STEPS = ["Transformer", "Pooling", "Normalize"]


class SeeingModel(EmbeddingGemma2Model):  # type: ignore[no-untyped-call]
    """The library's model without sound. The library's own does not report tensors for pictures either when the
    configuration has no tower for them; this one keeps silent on sound alone."""

    def __init__(self, config: EmbeddingGemma2Config) -> None:
        config.audio_config = None
        super().__init__(config)
        silent = {f"^{re.escape(name)}" for name in LEFT_OUT}
        self._keys_to_ignore_on_load_unexpected = silent  # type: ignore[assignment]


def load(folder: Path) -> Any:
    """The model with exactly the checkpoint's weights, those for sound aside, in the precision that they are stored in.
    Raises `SourceError`."""
    weights.check_model_type(folder, "embedding_gemma2")
    model = weights.load_proved(SeeingModel, folder, dtype=sixteen_bits.stored_dtype(folder))
    if model.vision_tower is None:
        raise SourceError(f"{folder} has no tower for pictures")
    attention.use(model)
    return model.eval().requires_grad_(False)


def check_pipeline(folder: Path) -> None:
    """Refuse a folder whose vectors are made otherwise than by the mean over all tokens at unit length. Raises
    `SourceError`."""
    found = pipelines.modules(folder)
    if [module.kind for module in found] != STEPS:
        kinds = ", ".join(module.kind for module in found)
        raise SourceError(f"{folder} is a pipeline of {kinds}, not of {', '.join(STEPS)}")
    pooling = Pooling.load(str(found[1].folder), local_files_only=True)
    if pooling.pooling_mode != "mean" or not pooling.include_prompt:
        raise SourceError(f"{found[1].folder} does not take the mean over all tokens, which is not supported")


def layout(processor: Any, model: Any) -> GemmaLayout:
    """How pictures are cut, from the library's picture processor. Raises `SourceError` for settings that the engine
    does not know, or that the model was not made for."""
    if missing := [name for name in ("do_resize", "do_rescale", "do_convert_rgb") if not getattr(processor, name)]:
        raise SourceError(f"the picture processor has {missing[0]} off, which is not supported")
    resample = processors.INTERPOLATIONS[int(processor.resample)]
    if processor.do_normalize or resample != "bicubic" or abs(processor.rescale_factor * 255 - 1) > 1e-9:
        raise SourceError("the picture processor does not scale by 1/255 alone, or does not resize bicubically")
    config = model.config.vision_config
    found = processor.patch_size, processor.pooling_kernel_size
    if found != (config.patch_size, config.pooling_kernel_size):
        raise SourceError(
            f"processor and model do not fit: patches of {found[0]} pixels, {found[1]} to a token's side, "
            f"but {config.patch_size} and {config.pooling_kernel_size}"
        )
    return GemmaLayout(edge=found[0], pooled=found[1], most=processor.max_soft_tokens)


def video(folder: Path, pictures: GemmaLayout, model: Any, tokenizer: Any) -> VideoSpec:
    """How videos become frames, from the library's processor. Raises `SourceError` for settings that the engine does
    not know."""
    found: Any = EmbeddingGemma2VideoProcessor.from_pretrained(folder)
    if not found.do_sample_frames or found.overflow_strategy != "uniform" or found.add_timestamps:
        raise SourceError("the video processor takes all frames, cuts a long video or tells times; none is supported")
    place = tokenizer.convert_ids_to_tokens(model.config.video_token_id)
    layout = replace(pictures, most=found.max_soft_tokens)
    return VideoSpec(layout, place, at="ticks", fps=float(found.fps), most=found.max_frames)


def marks(tokenizer: Any, model: Any) -> tuple[str, str, str]:
    """The tokens before a picture, for each of its rows, and after it. Raises `SourceError` when tokenizer and model do
    not mean the same."""
    config = model.config
    found = tokenizer.boi_token, tokenizer.image_token, tokenizer.eoi_token
    numbers = tuple(tokenizer.convert_tokens_to_ids(token) for token in found)
    if numbers != (config.boi_token_id, config.image_token_id, config.eoi_token_id):
        raise SourceError(f"tokenizer and model do not fit: {', '.join(found)} are {numbers} in one of them only")
    return found


def frame(tokenizer: Any) -> str:
    """The template of an item without a prompt. Raises `SourceError` for a tokenizer that does not put a token of its
    own at either end."""
    ends = tokenizer.bos_token_id, tokenizer.eos_token_id
    if tuple(tokenizer("")["input_ids"]) != ends:
        raise SourceError("the tokenizer does not put <bos> before and <eos> after a text, which is not supported")
    return f"{tokenizer.bos_token}{{text}}{tokenizer.eos_token}"
