"""Small tokenizers of text models, each of the kind and with the special tokens of the real one."""

from __future__ import annotations

import json

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertTokenizer, LlamaTokenizer, PreTrainedTokenizerFast, Qwen2Tokenizer

from tests.checkpoints.common import SHORT, wordpiece_vocabulary

END = "<|endoftext|>"


def uncased_tokenizer() -> BertTokenizer:
    """BERT's uncased WordPiece."""
    vocabulary = wordpiece_vocabulary(normalizers.BertNormalizer(lowercase=True))
    return BertTokenizer(vocab=vocabulary, do_lower_case=True, model_max_length=512)


def qwen_tokenizer(*, puts_end: bool) -> Qwen2Tokenizer:
    """Qwen's byte-level BPE; `puts_end`: it puts `<|endoftext|>` behind texts, as that of Qwen3-Embedding does."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.NFC()
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False)
    trained.train_from_iterator(SHORT, trainer)
    model = models_of(trained)
    tokenizer = Qwen2Tokenizer(
        vocab=model["vocab"],
        merges=[tuple(each) for each in model["merges"]],
        eos_token="<|im_end|>" if puts_end else END,
        pad_token=END,
        model_max_length=131072 if puts_end else 32768,
        extra_special_tokens=["<|im_start|>", "<|im_end|>"],
    )
    backend = tokenizer.backend_tokenizer
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    if puts_end:
        number = tokenizer.convert_tokens_to_ids(END)
        template = processors.TemplateProcessing(
            single=f"$A {END}", pair=f"$A {END} $B:1 {END}:1", special_tokens=[(END, number)]
        )
        backend.post_processor = processors.Sequence([backend.post_processor, template])
    return tokenizer


def vl_tokenizer() -> Qwen2Tokenizer:
    """That of Qwen2-VL, with the tokens around pictures."""
    tokenizer = qwen_tokenizer(puts_end=False)
    names = ("im_start", "im_end", "vision_start", "vision_end", "vision_pad", "image_pad", "video_pad")
    tokenizer.add_special_tokens({"additional_special_tokens": [f"<|{name}|>" for name in names]})
    return tokenizer


def llama_tokenizer() -> LlamaTokenizer:
    """Mistral's BPE, which falls back to bytes; it puts `<s>` in front and nothing behind."""
    trained = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    trained.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    specials = ["<unk>", "<s>", "</s>", *(f"<0x{number:02X}>" for number in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=800, special_tokens=specials, show_progress=False)
    trained.train_from_iterator(SHORT, trainer)
    model = models_of(trained)
    tokenizer = LlamaTokenizer(vocab=model["vocab"], merges=[tuple(each) for each in model["merges"]], pad_token="</s>")
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def modernbert_tokenizer() -> PreTrainedTokenizerFast:
    """ModernBERT's byte-level BPE between `[CLS]` and `[SEP]`."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.NFC()
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    specials = ["[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    trained.train_from_iterator(SHORT, trainer)
    trained.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
    )
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=trained,
        unk_token="[UNK]",
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=8192,
        **names,
    )


def models_of(trained: Tokenizer) -> dict[str, object]:
    """The tokenizer's vocabulary and merges."""

    found: dict[str, object] = json.loads(trained.to_str())["model"]
    return found
