"""What checkpoints of several layouts share: weights that tell inputs apart, and small tokenizers of each kind."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from open_clip import SimpleTokenizer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer, DistilBertTokenizer, XLMRobertaTokenizer

from multi2vec.convert.samples import TEXTS

GAIN = 1.6
# For real sizes of two dozen layers. With more, such a model is not within parity's floors of itself in torch's bf16
# either: BGE-M3's sparse weights are 5 % longer, ModernBERT's vectors at a cosine of 0.9978.
DEEP_GAIN = 0.7


def spread(model: torch.nn.Module, seed: int = 0, gain: float = GAIN) -> torch.nn.Module:
    """Redraw the weights so that activations keep their size through the layers. Returns the model, in eval mode.

    The larger the `gain`, the further apart inputs are, and the more a number's last bits count.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            continue
        table = ("embedding" in name and "patch" not in name) or name.endswith("embeddings.weight")
        std = 0.5 if table else gain / math.sqrt(parameter[0].numel())
        parameter.data.normal_(0.0, std, generator=generator)
    return model.eval()


def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's own vocabulary and merges (the file that open_clip carries), 49,408 tokens, as transformers has them."""
    original = SimpleTokenizer()
    renamed = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {renamed.get(token, token): number for token, number in original.encoder.items()}
    return CLIPTokenizer(vocab=vocabulary, merges=list(original.bpe_ranks), model_max_length=77)


def xlm_roberta_tokenizer() -> XLMRobertaTokenizer:
    """A small unigram tokenizer of XLM-RoBERTa's kind, trained on a few sentences of many scripts."""
    trained = Tokenizer(models.Unigram())
    trained.normalizer = normalizers.NFKC()
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=600, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False)
    trained.train_from_iterator([text for text in TEXTS if len(text) < 500] * 3, trainer)
    pieces = [tuple(piece) for piece in json.loads(trained.to_str())["model"]["vocab"] if piece[0] != "<unk>"]
    specials = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    return XLMRobertaTokenizer(vocab=[*specials, *pieces, ("<mask>", 0.0)], model_max_length=512)


def bert_tokenizer() -> DistilBertTokenizer:
    """A small cased WordPiece tokenizer, trained on a few sentences of many scripts."""
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=900, special_tokens=specials, show_progress=False)
    trained.train_from_iterator([text for text in TEXTS if len(text) < 500], trainer)
    return DistilBertTokenizer(vocab=trained.get_vocab(), do_lower_case=False, model_max_length=512)


def change_json(path: Path, **changes: Any) -> None:
    """Put these keys into the object that the file holds."""
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
