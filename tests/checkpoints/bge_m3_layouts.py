"""BGE-M3 in the layout of its repository."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from transformers import XLMRobertaConfig, XLMRobertaModel

from tests.checkpoints.common import DEEP_GAIN, GAIN, spread, xlm_roberta_tokenizer
from tests.checkpoints.text_layouts import SMALL, pipeline

LENGTH = 8192


def bge_m3(folder: Path, gain: float = GAIN, **sizes: int) -> Path:
    """`BAAI/bge-m3`: XLM-RoBERTa in a torch file, first token, normalised, and two heads in float16 beside it."""
    torch.manual_seed(0)
    tokenizer = xlm_roberta_tokenizer()
    tokenizer.model_max_length = LENGTH
    tokenizer.save_pretrained(folder)
    base = {"vocab_size": len(tokenizer), "max_position_embeddings": LENGTH + 2, "type_vocab_size": 1}
    config = XLMRobertaConfig(architectures=["XLMRobertaModel"], dtype="float32", **{**base, **SMALL, **sizes})
    config.save_pretrained(folder)
    torch.save(spread(XLMRobertaModel(config), gain=gain).state_dict(), folder / "pytorch_model.bin")
    size = config.hidden_size
    # Most weights are above zero, as the real model's are: of a text that has none, rounding decides.
    for name, out, shift in (("sparse_linear.pt", 1, 2.0), ("colbert_linear.pt", size, 0.0)):
        head = torch.nn.Linear(size, out)
        head.weight.data.normal_(0.0, 1 / math.sqrt(size))
        head.bias.data += shift
        torch.save(head.half().state_dict(), folder / name)
    return pipeline(folder, "cls_token", size, LENGTH)


def bge_m3_real(folder: Path) -> Path:
    """`BAAI/bge-m3` at its real size, 2.3 GB."""
    sizes = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
    return bge_m3(folder, DEEP_GAIN, **sizes, vocab_size=250002)
