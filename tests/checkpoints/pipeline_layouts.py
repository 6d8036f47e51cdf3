"""Pipelines of sentence-transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Transformer
from transformers import DistilBertConfig, DistilBertModel

from tests.checkpoints.clip_layouts import TEXT_B32, VISION_B32, as_older_versions, clip
from tests.checkpoints.common import bert_tokenizer, spread

SMALL_TEXTS = {"dim": 48, "hidden_dim": 96, "n_layers": 2, "n_heads": 2}


def sentence_transformers_clip(folder: Path, **sizes: Any) -> Path:
    """A CLIP in `sentence-transformers/clip-ViT-B-32`'s layout: `modules.json` and `0_CLIPModel/`, in older files."""
    folder.mkdir(parents=True)
    as_older_versions(clip(folder.with_name(f"{folder.name}-base"), **sizes), folder / "0_CLIPModel")
    module = {"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}
    (folder / "modules.json").write_text(json.dumps([module]))
    return folder


def sentence_transformers_texts(folder: Path, dimensions: int = 64, **sizes: int) -> Path:
    """Texts in `sentence-transformers/clip-ViT-B-32-multilingual-v1`'s layout: DistilBERT at the root, `1_Pooling/`,
    `2_Dense/`."""
    torch.manual_seed(0)
    base = folder.with_name(f"{folder.name}-base")
    tokenizer = bert_tokenizer()
    tokenizer.save_pretrained(base)
    config = DistilBertConfig(**{"vocab_size": len(tokenizer), "max_position_embeddings": 128, **SMALL_TEXTS, **sizes})
    width = config.dim
    spread(DistilBertModel(config)).save_pretrained(base)
    pipeline = SentenceTransformer(
        modules=[
            Transformer(str(base), max_seq_length=128),
            Pooling(width, pooling_mode="mean"),
            spread(Dense(width, dimensions, bias=False, activation_function=torch.nn.Identity())),
        ],
        device="cpu",
    )
    pipeline.save(str(folder), create_model_card=False)
    _as_published(folder, width)
    return folder


def _as_published(folder: Path, width: int) -> None:
    """The names and keys of the library's versions of that time, which the hub's folder still has."""
    parts = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense")]
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(parts)
    ]
    pooling = {"word_embedding_dimension": width, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    transformer = {"max_seq_length": 128, "do_lower_case": False}
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "sentence_bert_config.json").write_text(json.dumps(transformer))


def multilingual_clip(folder: Path) -> Path:
    """Both halves of the multilingual CLIP, each in a folder named as its repository."""
    sentence_transformers_clip(folder / "clip-ViT-B-32")
    sentence_transformers_texts(folder / "clip-ViT-B-32-multilingual-v1")
    return folder


def multilingual_clip_vit_b32(folder: Path) -> Path:
    """Both halves at their real size (151 and 135 million parameters)."""
    sentence_transformers_clip(folder / "clip-ViT-B-32", text=TEXT_B32, vision=VISION_B32)
    sizes = {"dim": 768, "hidden_dim": 3072, "n_layers": 6, "n_heads": 12, "vocab_size": 119547}
    sentence_transformers_texts(folder / "clip-ViT-B-32-multilingual-v1", 512, max_position_embeddings=512, **sizes)
    return folder
