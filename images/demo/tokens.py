"""CLIP's tokenizer with a vocabulary of its own: any byte, and merges learnt from the captions."""

import json
import random
from typing import Any

from tokenizers import pre_tokenizers, trainers
from transformers import CLIPTokenizer

from images.demo.scenes import caption, random_scene

CONTEXT = 40  # Tokens, start and end included; the longest caption takes 29.
START, END = "<|startoftext|>", "<|endoftext|>"


def learn_tokenizer(seed: int = 0, captions: int = 20_000) -> CLIPTokenizer:
    """Every caption word becomes one token; all other text falls back to letters and bytes."""
    rng = random.Random(seed)
    texts = [caption(random_scene(rng), rng) for _ in range(captions)]
    trainer = trainers.BpeTrainer(vocab_size=2000, min_frequency=2, end_of_word_suffix="</w>", show_progress=False)
    backend = CLIPTokenizer().backend_tokenizer
    backend.train_from_iterator(texts, trainer)
    merges: Any = [tuple(pair) for pair in json.loads(backend.to_str())["model"]["merges"]]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(letter + "</w>" for letter in letters)]
    words += dict.fromkeys(left + right for left, right in merges)
    # CLIP expects the end token to have the highest id.
    vocab = {word: number for number, word in enumerate(dict.fromkeys([*words, START, END]))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=CONTEXT)
