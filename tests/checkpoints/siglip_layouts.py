"""SigLIP and SigLIP 2 as google/siglip* lay them out."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel

from tests.checkpoints.catalogue_layouts import gemma_tokenizer
from tests.checkpoints.common import SHORT, change_json, spread

SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
SO400M = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
BILINEAR, BICUBIC = 2, 3


def siglip(folder: Path) -> Path:
    """A small SigLIP of many languages, 48 px, with a vocabulary of sentencepiece's and its table of characters."""
    folder.mkdir()
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text.lower() for text in SHORT if text] * 3),
        model_writer=written,
        vocab_size=700,
        hard_vocab_limit=False,
        model_type="unigram",
        normalization_rule_name="nmt_nfkc",
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(written.getvalue())
    settings = {"tokenizer_class": "SiglipTokenizer", "do_lower_case": True, "model_input_names": ["input_ids"]}
    settings |= {"model_max_length": 64, "pad_token": "</s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return _siglip(folder, SMALL, 48, 800, BICUBIC, seed=2)


def siglip2(folder: Path, *, sizes: Mapping[str, int] = SMALL, edge: int = 48, vocabulary: int = 0) -> Path:
    """A fixed-size SigLIP 2, which is a SigLIP with Gemma's vocabulary; the defaults make a small one, 48 px."""
    tokenizer = gemma_tokenizer(folder)
    change_json(folder / "tokenizer_config.json", do_lower_case=True, model_input_names=["input_ids"])
    return _siglip(folder, sizes, edge, vocabulary or len(tokenizer), BILINEAR)


def siglip2_so400m_patch16_384(folder: Path) -> Path:
    """A SigLIP 2 SO400M/16, 384 px (1.14 billion parameters, 4.5 GB)."""
    return siglip2(folder, sizes=SO400M, edge=384, vocabulary=256000)


def _siglip(folder: Path, sizes: Mapping[str, int], edge: int, vocabulary: int, resample: int, seed: int = 0) -> Path:
    """Everything but the tokenizer."""
    torch.manual_seed(0)
    text = {**sizes, "vocab_size": vocabulary, "projection_size": sizes["hidden_size"]}
    config: Any = SiglipConfig(
        text_config=text, vision_config={**sizes, "image_size": edge, "patch_size": 16, "vision_use_head": True}
    )
    spread(SiglipModel(config), seed).save_pretrained(folder)
    size = {"height": edge, "width": edge}
    SiglipImageProcessorPil(size=size, resample=resample).save_pretrained(folder)
    # The published files were written by a version that left it open whether pictures become RGB.
    change_json(folder / "preprocessor_config.json", do_convert_rgb=None, processor_class="SiglipProcessor")
    return folder
