"""TIPSv2 as google/tipsv2-* lay it out: the authors' names of tensors, and a vocabulary of sentencepiece."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import Tipsv2Config, Tipsv2ImageProcessor, Tipsv2Model

from tests.checkpoints.common import SHORT, spread
from tests.checkpoints.sentencepiece_models import BPE, BYTE, CONTROL, NORMAL, UNKNOWN, write

SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
# In this order, before a piece for each byte.
SPECIALS = ("<pad>", "<unk>", "</s>", "<s>")
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))


def tipsv2(folder: Path, *, sizes: Mapping[str, int] = SMALL, edge: int = 42, vocabulary: int = 900) -> Path:
    """A TIPSv2 with patches of 14 px; the defaults make a small one, 42 px."""
    torch.manual_seed(0)
    folder.mkdir()
    write_vocabulary(folder / "tokenizer.model")
    config: Any = Tipsv2Config(
        text_config={**sizes, "intermediate_size": 4 * sizes["hidden_size"], "vocab_size": vocabulary},
        vision_config={**sizes, "image_size": edge, "patch_size": 14},
    )
    _centred(spread(Tipsv2Model(config))).save_pretrained(folder)
    Tipsv2ImageProcessor(size={"height": edge, "width": edge}).save_pretrained(folder)
    settings = {"tokenizer_class": "Tipsv2Tokenizer", "model_max_length": 64, "processor_class": "Tipsv2Processor"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    _without_temperature(folder / "model.safetensors")
    return folder


def tipsv2_b14(folder: Path) -> Path:
    """A TIPSv2 B/14 of real size, 448 px (196 million parameters)."""
    sizes = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
    return tipsv2(folder, sizes=sizes, edge=448, vocabulary=32000)


@cache
def trained() -> Tokenizer:
    """A small BPE of whole words, in lower case, with bytes for what it does not know."""
    made = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    specials = [*SPECIALS, *BYTES]
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=specials, show_progress=False)
    made.train_from_iterator(SHORT * 3, trainer)
    return made


def write_vocabulary(path: Path) -> None:
    """The same in the file that is published."""
    numbers = trained().get_vocab()
    kinds = {"<unk>": UNKNOWN, **dict.fromkeys(("<pad>", "</s>", "<s>"), CONTROL), **dict.fromkeys(BYTES, BYTE)}
    pieces = [(text, 0.0 if text in kinds else -float(rank), kinds.get(text, NORMAL)) for text, rank in numbers.items()]
    write(path, BPE, sorted(pieces, key=lambda piece: numbers[piece[0]]))


def _centred(model: Any) -> Any:
    """Grey becomes nothing: pixels from 0 to 1 would make all pictures alike, and nothing else takes their mean off."""
    projection = model.vision_model.embeddings.patch_embeddings.projection
    projection.bias.data = -0.5 * projection.weight.data.sum(dim=(1, 2, 3))
    return model


def _without_temperature(path: Path) -> None:
    """The published files have none."""
    tensors = load_file(path)
    del tensors["temperature"]
    save_file(tensors, path, metadata={"format": "pt"})
