"""CLIP as transformers writes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    MetaClip2Config,
    MetaClip2Model,
)

from tests.checkpoints.common import clip_tokenizer, spread, xlm_roberta_tokenizer

SMALL_TEXT = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}


SMALL_VISION = {**SMALL_TEXT, "image_size": 48, "patch_size": 16}

TEXT_B32 = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8}
VISION_B32 = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
}


def clip(
    folder: Path, *, text: dict[str, Any] = SMALL_TEXT, vision: dict[str, Any] = SMALL_VISION, **save: Any
) -> Path:
    """A CLIP in `openai/clip-vit-base-patch32`'s layout; the defaults make a small one (48 px, 64 wide)."""
    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = CLIPConfig(
        text_config={"vocab_size": len(tokenizer), "pad_token_id": 1, **ends, **text},
        vision_config=vision,
        projection_dim=min(text["hidden_size"], 512),
    )
    edge = vision["image_size"]
    pictures = CLIPImageProcessor(size={"shortest_edge": edge}, crop_size={"height": edge, "width": edge})
    model = spread(CLIPModel(config))
    model.save_pretrained(folder, **save)
    CLIPProcessor(image_processor=pictures, tokenizer=tokenizer).save_pretrained(folder)
    return folder


def clip_as_openai(folder: Path) -> Path:
    """The same with OpenAI's own numbers for the ends of a text, which are not the tokenizer's: transformers then takes
    the vector at the largest token id."""
    clip(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["text_config"].update(bos_token_id=0, eos_token_id=2, pad_token_id=1)
    path.write_text(json.dumps(config))
    return folder


def metaclip_2(
    folder: Path, *, text: dict[str, Any] = SMALL_TEXT, vision: dict[str, Any] = SMALL_VISION, vocabulary: int = 0
) -> Path:
    """A MetaCLIP 2 in `facebook/metaclip-2-worldwide-*`'s layout, with a tokenizer of XLM-V's kind and a processor that
    squashes; the defaults make a small one (48 px, 64 wide)."""
    torch.manual_seed(0)
    tokenizer = xlm_roberta_tokenizer()
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    sizes = {"vocab_size": vocabulary or len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    dimensions = min(text["hidden_size"], 512)
    config: Any = MetaClip2Config(
        text_config={**sizes, **ends, "max_position_embeddings": 77, "projection_dim": dimensions, **text},
        vision_config={"projection_dim": dimensions, **vision},
        projection_dim=dimensions,
    )
    edge = {"height": vision["image_size"], "width": vision["image_size"]}
    spread(MetaClip2Model(config)).save_pretrained(folder)
    CLIPProcessor(CLIPImageProcessor(size=edge, crop_size=edge), tokenizer).save_pretrained(folder)
    return folder


def metaclip_2_worldwide_b32_384(folder: Path) -> Path:
    """A MetaCLIP 2 ViT-B/32 of real size (589 million parameters, of which 462 are the table of 901,629 tokens)."""
    return metaclip_2(folder, text=TEXT_B32, vision={**VISION_B32, "image_size": 384}, vocabulary=901629)


def clip_vit_b32(folder: Path) -> Path:
    """A ViT-B/32 of real size (151 M parameters) in `openai/clip-vit-base-patch32`'s layout."""
    return clip(folder, text=TEXT_B32, vision=VISION_B32)


def as_older_versions(checkpoint: Path, folder: Path) -> Path:
    """A CLIP checkpoint once more, in the files that transformers wrote before 2023."""
    folder.mkdir()
    shutil.copy(checkpoint / "config.json", folder)
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    merges = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in tokenizer["merges"])])
    (folder / "vocab.json").write_text(json.dumps(tokenizer["vocab"]), encoding="utf-8")
    (folder / "merges.txt").write_text(merges + "\n", encoding="utf-8")
    settings = {"model_max_length": 77, "tokenizer_class": "CLIPTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    pictures = json.loads((checkpoint / "processor_config.json").read_text())["image_processor"]
    pictures.update(size=pictures["size"]["shortest_edge"], crop_size=pictures["crop_size"]["height"])
    pictures["feature_extractor_type"] = "CLIPFeatureExtractor"
    del pictures["image_processor_type"]
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures))
    torch.save(load_file(checkpoint / "model.safetensors"), folder / "pytorch_model.bin")
    return folder
