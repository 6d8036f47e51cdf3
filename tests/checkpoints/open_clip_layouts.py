"""Models of open_clip, as its `push_to_hf_hub` lays them out."""

from __future__ import annotations

import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from open_clip import CLIP, CustomTextCLIP
from open_clip.model import set_model_preprocess_cfg
from open_clip.push_to_hf_hub import save_for_hf
from open_clip.transform import PreprocessCfg
from transformers import XLMRobertaConfig

from tests.checkpoints.common import spread, xlm_roberta_tokenizer

SMALL_OPEN_CLIP: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 48, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}


def quick_gelu_open_clip(folder: Path) -> Path:
    """The small model of open_clip with QuickGELU, and its configuration says so."""
    return open_clip_folder(folder, {**SMALL_OPEN_CLIP, "quick_gelu": True})


def open_clip_folder(folder: Path, config: dict[str, Any] = SMALL_OPEN_CLIP, *, safetensors: bool | str = True) -> Path:
    """A model of open_clip as its `push_to_hf_hub` lays it out; `safetensors`: False a torch file, "both" both."""
    config = copy.deepcopy(config)
    torch.manual_seed(0)
    made = CustomTextCLIP if "hf_model_name" in config["text_cfg"] else CLIP
    model = spread(made(**_with_folder(config, folder)))
    set_model_preprocess_cfg(model, asdict(PreprocessCfg(size=config["vision_cfg"]["image_size"])))
    save_for_hf(model, _NoTokenizer(), config, str(folder), safe_serialization=safetensors)
    return folder


def xlm_roberta_open_clip(folder: Path) -> Path:
    """A model of open_clip whose text tower is a small XLM-RoBERTa, with a tokenizer of XLM-RoBERTa's kind.

    Its configuration lies in `xlm-roberta-base/` inside the folder.
    """
    tokenizer = xlm_roberta_tokenizer()
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
    # Positions start behind the padding's number, hence 77 + 2.
    XLMRobertaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=79, pad_token_id=1, bos_token_id=0, eos_token_id=2, **sizes
    ).save_pretrained(folder / "xlm-roberta-base")
    names = {"hf_model_name": "xlm-roberta-base", "hf_tokenizer_name": "xlm-roberta-base"}
    text = {**names, "hf_pooler_type": "mean_pooler", "hf_proj_type": "mlp"}
    return open_clip_folder(folder, {**SMALL_OPEN_CLIP, "text_cfg": text})


def _with_folder(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    text = config["text_cfg"]
    if "hf_model_name" not in text:
        return config
    return {
        **config,
        "text_cfg": {**text, "hf_model_name": str(folder / text["hf_model_name"]), "hf_model_pretrained": False},
    }


class _NoTokenizer:
    """The tokenizer is part of the open_clip package, or written already."""

    def save_pretrained(self, folder: Path) -> None:
        pass
