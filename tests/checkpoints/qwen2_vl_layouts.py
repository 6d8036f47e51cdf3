"""Embedders out of Qwen2-VL, as their repositories lay them out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import Qwen2VLConfig, Qwen2VLImageProcessorPil, Qwen2VLModel

from tests.checkpoints.common import change_json, spread
from tests.checkpoints.text_tokenizers import vl_tokenizer

SMALL_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 32768,
}
SMALL_VISION = {"depth": 2, "embed_dim": 64, "num_heads": 2, "mlp_ratio": 2}
SMALL_SECTIONS = (4, 6, 6)


def qwen2_vl(
    folder: Path,
    *,
    text: dict[str, Any] = SMALL_TEXT,
    vision: dict[str, Any] = SMALL_VISION,
    sections: tuple[int, int, int] = SMALL_SECTIONS,
    gain: float = 1.2,
    dtype: torch.dtype = torch.float32,
    as_torch_file: bool = False,
) -> Path:
    """A Qwen2-VL without the head that writes; the defaults make a small one. `as_torch_file`: `pytorch_model.bin`."""
    torch.manual_seed(0)
    tokenizer = vl_tokenizer()
    numbers = {
        name: tokenizer.convert_tokens_to_ids(f"<|{token}|>")
        for name, token in {
            "image_token_id": "image_pad",
            "video_token_id": "video_pad",
            "vision_start_token_id": "vision_start",
            "vision_end_token_id": "vision_end",
            "bos_token_id": "endoftext",
            "eos_token_id": "im_end",
        }.items()
    }
    settings = {
        "vocab_size": text.get("vocab_size", len(tokenizer)),
        "rope_theta": 1000000.0,
        "rope_scaling": {"type": "mrope", "mrope_section": list(sections)},
        **text,
        **numbers,
    }
    looks = {"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, **vision}
    config = Qwen2VLConfig(**settings, vision_config={"hidden_size": text["hidden_size"], **looks})
    model = spread(Qwen2VLModel(config), gain=gain).to(dtype)
    folder.mkdir(parents=True, exist_ok=True)
    _save(folder, model, as_torch_file=as_torch_file)
    # The files of that time have the text's settings side by side with the others.
    flat = {"architectures": ["Qwen2VLForConditionalGeneration"], "model_type": "qwen2_vl", **settings}
    flat["vision_config"] = {"model_type": "qwen2_vl", "hidden_size": text["hidden_size"], **looks}
    (folder / "config.json").write_text(json.dumps({**flat, "tie_word_embeddings": True}))
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessorPil().save_pretrained(folder)
    pixels = {"min_pixels": 3136, "max_pixels": 12845056}
    change_json(folder / "preprocessor_config.json", image_processor_type="Qwen2VLImageProcessor", **pixels)
    return folder


def gme(folder: Path) -> Path:
    """As Alibaba-NLP/gme-Qwen2-VL-2B-Instruct."""
    return qwen2_vl(folder)


def dse(folder: Path) -> Path:
    """As MrLight/dse-qwen2-2b-mrl-v1."""
    return qwen2_vl(folder, dtype=torch.bfloat16, as_torch_file=True)


def gme_2b(folder: Path) -> Path:
    """A model of the size of Alibaba-NLP/gme-Qwen2-VL-2B-Instruct (2.2 billion parameters)."""
    text = {
        "vocab_size": 151936,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32768,
    }
    vision = {"depth": 32, "embed_dim": 1280, "num_heads": 16, "mlp_ratio": 4}
    return qwen2_vl(folder, text=text, vision=vision, sections=(16, 24, 24))


def _save(folder: Path, model: torch.nn.Module, *, as_torch_file: bool) -> None:
    """The names of the version of transformers that wrote the published files."""
    state = {
        name.replace("language_model.", "model.", 1): tensor.contiguous() for name, tensor in model.state_dict().items()
    }
    if as_torch_file:
        torch.save(state, folder / "pytorch_model.bin")
    else:
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
