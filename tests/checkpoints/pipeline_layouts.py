"""Pipelines of sentence-transformers."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Transformer
from transformers import DistilBertConfig, DistilBertModel

from tests.checkpoints.clip_layouts import as_older_versions, clip
from tests.checkpoints.common import bert_tokenizer, spread


def sentence_transformers_clip(folder: Path) -> Path:
    """A CLIP in `sentence-transformers/clip-ViT-B-32`'s layout: `modules.json` and `0_CLIPModel/`, in older files."""
    folder.mkdir(parents=True)
    as_older_versions(clip(folder.with_name(f"{folder.name}-base")), folder / "0_CLIPModel")
    module = {"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}
    (folder / "modules.json").write_text(json.dumps([module]))
    return folder


def sentence_transformers_texts(folder: Path, dimensions: int = 64) -> Path:
    """Texts in `sentence-transformers/clip-ViT-B-32-multilingual-v1`'s layout: DistilBERT at the root, `1_Pooling/`,
    `2_Dense/`."""
    torch.manual_seed(0)
    base = folder.with_name(f"{folder.name}-base")
    tokenizer = bert_tokenizer()
    tokenizer.save_pretrained(base)
    sizes = {"dim": 48, "hidden_dim": 96, "n_layers": 2, "n_heads": 2}
    config = DistilBertConfig(vocab_size=len(tokenizer), max_position_embeddings=128, **sizes)
    spread(DistilBertModel(config)).save_pretrained(base)
    pipeline = SentenceTransformer(
        modules=[
            Transformer(str(base), max_seq_length=128),
            Pooling(48, pooling_mode="mean"),
            spread(Dense(48, dimensions, bias=False, activation_function=torch.nn.Identity())),
        ],
        device="cpu",
    )
    pipeline.save(str(folder), create_model_card=False)
    _as_published(folder)
    return folder


def _as_published(folder: Path) -> None:
    """The names and keys of the library's versions of that time, which the hub's folder still has."""
    parts = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense")]
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(parts)
    ]
    pooling = {"word_embedding_dimension": 48, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    transformer = {"max_seq_length": 128, "do_lower_case": False}
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "sentence_bert_config.json").write_text(json.dumps(transformer))


def multilingual_clip(folder: Path) -> Path:
    """Both halves of the multilingual CLIP, each in a folder named as its repository."""
    sentence_transformers_clip(folder / "clip-ViT-B-32")
    sentence_transformers_texts(folder / "clip-ViT-B-32-multilingual-v1")
    return folder
