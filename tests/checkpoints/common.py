"""What checkpoints of several layouts share: weights that tell inputs apart, and small tokenizers of each kind."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from open_clip import SimpleTokenizer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer, DistilBertTokenizer, XLMRobertaTokenizer

from multi2vec.convert.samples import TEXTS

GAIN = 1.6
# For real sizes of two dozen layers. With more, such a model is not within parity's floors of itself in torch's bf16
# either: BGE-M3's sparse weights are 5 % longer, ModernBERT's vectors at a cosine of 0.9978.
DEEP_GAIN = 0.7
# What small tokenizers are trained on.
SHORT = [text for text in TEXTS if len(text) < 500]


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
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text for text in SHORT if text] * 3),
        model_writer=written,
        vocab_size=600,
        hard_vocab_limit=False,
        model_type="unigram",
        normalization_rule_name="nfkc",
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    trained = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    pieces = [(trained.id_to_piece(each), trained.get_score(each)) for each in range(1, len(trained))]
    specials = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    return XLMRobertaTokenizer(vocab=[*specials, *pieces, ("<mask>", 0.0)], model_max_length=512)


def bert_tokenizer() -> DistilBertTokenizer:
    """A small cased WordPiece tokenizer, trained on a few sentences of many scripts."""
    vocabulary = wordpiece_vocabulary(normalizers.BertNormalizer(lowercase=False, strip_accents=False))
    return DistilBertTokenizer(vocab=vocabulary, do_lower_case=False, model_max_length=512)


def wordpiece_vocabulary(normalizer: normalizers.Normalizer) -> dict[str, int]:
    """BERT's special tokens, and pieces of words as that normaliser gives them.

    The trainer breaks ties otherwise each time, unless the characters that it begins with have their numbers already.
    """
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.normalizer = normalizer
    trained.pre_tokenizer = splitter = pre_tokenizers.BertPreTokenizer()
    words = [word for text in SHORT for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))]
    characters = {f"##{each}" if place else each for word in words for place, each in enumerate(word)}
    first = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(characters)]
    trainer = trainers.WordPieceTrainer(vocab_size=900, special_tokens=first, show_progress=False)
    trained.train_from_iterator(SHORT, trainer)
    vocabulary: dict[str, int] = trained.get_vocab()
    return vocabulary


def change_json(path: Path, **changes: Any) -> None:
    """Put these keys into the object that the file holds."""
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
