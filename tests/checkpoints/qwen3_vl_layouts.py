"""Embedders out of Qwen3-VL, as their repositories lay them out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2VLImageProcessorPil, Qwen3VLConfig, Qwen3VLForConditionalGeneration, Qwen3VLVideoProcessor

from tests.checkpoints.common import DEEP_GAIN, change_json, spread
from tests.checkpoints.text_tokenizers import vl_tokenizer

SMALL_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
SMALL_VISION = {
    "depth": 4,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_heads": 2,
    "deepstack_visual_indexes": [0, 1, 2],
}
# Of 8 frequencies: how many turn by time, row and column.
SMALL_SECTIONS = (4, 2, 2)
THETA = 5000000
SCALING = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
PATCHES = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, **SCALING}
# What a conversation becomes: texts as they are, and one mark for each picture or video.
TEMPLATE = (
    "{%- for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}"
    "{%- for part in message.content %}"
    "{%- if part.type == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- elif part.type == 'video' %}{{ '<|vision_start|><|video_pad|><|vision_end|>' }}"
    "{%- else %}{{ part.text }}{%- endif %}"
    "{%- endfor %}{{ '<|im_end|>\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}"
)


def qwen3_vl(
    folder: Path,
    *,
    text: dict[str, Any] = SMALL_TEXT,
    vision: dict[str, Any] = SMALL_VISION,
    sections: tuple[int, int, int] = SMALL_SECTIONS,
    tied: bool = True,
    gain: float = 1.2,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """A Qwen3-VL without the head that writes, which is the table of words if they are `tied`; the defaults make a
    small one."""
    torch.manual_seed(0)
    tokenizer = vl_tokenizer()
    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>")
        for name, token in {
            "image": "image_pad",
            "video": "video_pad",
            "vision_start": "vision_start",
            "vision_end": "vision_end",
        }.items()
    }
    turning = {"mrope_interleaved": True, "mrope_section": list(sections), "rope_type": "default"}
    words = {"vocab_size": len(tokenizer), "max_position_embeddings": 262144, "tie_word_embeddings": True, **text}
    looks = {"patch_size": 16, "num_position_embeddings": 2304, **vision, "out_hidden_size": words["hidden_size"]}
    config = Qwen3VLConfig(
        text_config={**words, "rope_parameters": {**turning, "rope_theta": THETA}},
        vision_config=looks,
        tie_word_embeddings=True,
        **ids,
    )
    model = spread(Qwen3VLForConditionalGeneration(config), gain=gain).to(dtype)
    model.save_pretrained(folder, max_shard_size="5GB")
    _describe(folder, words | {"rope_scaling": turning, "rope_theta": THETA}, tied=tied)
    tokenizer.save_pretrained(folder)
    _save_processors(folder)
    return folder


def _describe(folder: Path, words: dict[str, Any], *, tied: bool) -> None:
    """`config.json` in the words of the version of transformers that wrote the published files."""
    path = folder / "config.json"
    written = json.loads(path.read_text(encoding="utf-8"))
    text = {**written["text_config"], **words, "tie_word_embeddings": tied}
    del text["rope_parameters"]
    written["vision_config"].pop("rope_parameters", None)
    written["vision_config"]["model_type"] = "qwen3_vl"
    change_json(path, text_config=text, vision_config=written["vision_config"], tie_word_embeddings=tied)


def _save_processors(folder: Path) -> None:
    """How pictures and videos are prepared where nothing else is said, and how conversations are written."""
    Qwen2VLImageProcessorPil(size={"shortest_edge": 65536, "longest_edge": 16777216}, **PATCHES).save_pretrained(folder)
    kind = {"image_processor_type": "Qwen2VLImageProcessorFast", "processor_class": "Qwen3VLProcessor"}
    change_json(folder / "preprocessor_config.json", **kind)
    Qwen3VLVideoProcessor(size={"shortest_edge": 4096, "longest_edge": 25165824}, **PATCHES).save_pretrained(folder)
    change_json(folder / "video_preprocessor_config.json", processor_class="Qwen3VLProcessor")
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}))


def qwen3_vl_embedding(folder: Path) -> Path:
    """As Qwen/Qwen3-VL-Embedding-2B, in bfloat16."""
    return qwen3_vl(folder, dtype=torch.bfloat16)


def qwen3_vl_embedding_2b(folder: Path) -> Path:
    """A model of the size of Qwen/Qwen3-VL-Embedding-2B (2.1 billion parameters)."""
    text = {
        "vocab_size": 151936,
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
    }
    vision = {
        "depth": 24,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_heads": 16,
        "deepstack_visual_indexes": [5, 11, 17],
    }
    return qwen3_vl(folder, text=text, vision=vision, sections=(24, 20, 20), gain=DEEP_GAIN, dtype=torch.bfloat16)
