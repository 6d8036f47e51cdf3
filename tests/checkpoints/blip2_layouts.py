"""BLIP-2 for retrieval, in `Salesforce/blip2-itm-vit-g`'s layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import BertTokenizer, Blip2Config, Blip2ForImageTextRetrieval, BlipImageProcessorPil

from tests.checkpoints.common import bert_tokenizer, spread

SMALL_VISION = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 42,
    "patch_size": 14,
}
SMALL_QFORMER = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}
QUERIES = 4


def blip2(
    folder: Path,
    *,
    vision: dict[str, Any] = SMALL_VISION,
    qformer: dict[str, Any] = SMALL_QFORMER,
    queries: int = QUERIES,
    dimensions: int = 64,
) -> Path:
    """BLIP-2 for retrieval; the defaults make a small one (42 px, 64 wide, 4 queries).

    The tokenizer is BERT's, lower case, with two tokens more: [DEC], which the model has a vector for, and <image>,
    which it has none for.
    """
    torch.manual_seed(0)
    tokenizer = blip2_tokenizer(qformer["max_position_embeddings"])
    words = tokenizer.convert_tokens_to_ids("<image>")
    config = Blip2Config(
        vision_config=vision,
        qformer_config={"use_qformer_text_input": True, "vocab_size": words, **qformer},
        text_config={"model_type": "opt"},
        num_query_tokens=queries,
        image_text_hidden_size=dimensions,
        image_token_index=words,
    )
    spread(Blip2ForImageTextRetrieval(config)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    size = {"height": vision["image_size"], "width": vision["image_size"]}
    BlipImageProcessorPil(size=size).save_pretrained(folder)
    _as_published(folder, queries)
    return folder


def blip2_tokenizer(max_length: int) -> BertTokenizer:
    """A small WordPiece tokenizer with the special tokens of the published one."""
    tokenizer = BertTokenizer(vocab=bert_tokenizer().get_vocab(), do_lower_case=True, model_max_length=max_length)
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    return tokenizer


def _as_published(folder: Path, queries: int) -> None:
    """The picture processor's class without the name of what it runs on, and a file of the whole processor."""
    path = folder / "preprocessor_config.json"
    settings = json.loads(path.read_text())
    settings.update(image_processor_type="BlipImageProcessor", processor_class="Blip2Processor")
    path.write_text(json.dumps(settings))
    processor = {"num_query_tokens": queries, "processor_class": "Blip2Processor"}
    (folder / "processor_config.json").write_text(json.dumps(processor))


def blip2_itm_vit_g(folder: Path) -> Path:
    """A model of the published one's size (1.17 billion parameters, 4.7 GB)."""
    vision = {**SMALL_VISION, "hidden_size": 1408, "intermediate_size": 6144, "num_hidden_layers": 39}
    qformer = {**SMALL_QFORMER, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}
    vision.update(num_attention_heads=16, image_size=224)
    qformer.update(num_attention_heads=12, max_position_embeddings=512, vocab_size=30523)
    return blip2(folder, vision=vision, qformer=qformer, queries=32, dimensions=256)
