"""Chinese CLIP as OFA-Sys/chinese-clip-vit-* lay it out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cn_clip.clip
import torch
from transformers import (
    BertTokenizer,
    ChineseCLIPConfig,
    ChineseCLIPImageProcessorPil,
    ChineseCLIPModel,
)

from tests.checkpoints.common import change_json, spread

SMALL_TEXT = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL_VISION = {**SMALL_TEXT, "image_size": 48, "patch_size": 16}
VOCABULARY = Path(cn_clip.clip.__file__).with_name("vocab.txt")


def chinese_clip(
    folder: Path,
    *,
    text: dict[str, Any] = SMALL_TEXT,
    vision: dict[str, Any] = SMALL_VISION,
    dimensions: int = 64,
) -> Path:
    """A Chinese CLIP with the real vocabulary, 21,128 words; the defaults make a small one, 48 px."""
    torch.manual_seed(0)
    words = VOCABULARY.read_text(encoding="utf-8")
    tokenizer = BertTokenizer(vocab={word.strip(): number for number, word in enumerate(words.splitlines())})
    config: Any = ChineseCLIPConfig(
        text_config={"vocab_size": len(tokenizer), "max_position_embeddings": 512, "pad_token_id": 0, **text},
        vision_config=vision,
        projection_dim=dimensions,
    )
    spread(ChineseCLIPModel(config)).save_pretrained(folder)
    # Nothing but the words themselves.
    (folder / "vocab.txt").write_text(words, encoding="utf-8")
    size = {"height": vision["image_size"], "width": vision["image_size"]}
    ChineseCLIPImageProcessorPil(size=size, do_center_crop=False).save_pretrained(folder)
    names = {"feature_extractor_type": "ChineseCLIPFeatureExtractor"}
    change_json(folder / "preprocessor_config.json", image_processor_type="ChineseCLIPFeatureExtractor", **names)
    return folder


def cn_clip_vit_b_16(folder: Path) -> Path:
    """A ViT-B/16 with RoBERTa base of real size (188 million parameters)."""
    text = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    return chinese_clip(folder, text=text, vision={**text, "image_size": 224, "patch_size": 16}, dimensions=512)
