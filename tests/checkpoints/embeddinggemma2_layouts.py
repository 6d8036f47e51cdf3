"""EmbeddingGemma 2 as `google/embeddinggemma-2` lays it out: a folder of sentence-transformers."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    EmbeddingGemma2Config,
    EmbeddingGemma2Model,
    EmbeddingGemma2Processor,
    EmbeddingGemma2VideoProcessor,
    Gemma4AudioFeatureExtractor,
    Gemma4ImageProcessorPil,
    GemmaTokenizer,
)

from tests.checkpoints.common import DEEP_GAIN, GAIN, SHORT, spread

FULL, NEAR = "full_attention", "sliding_attention"
SMALL_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "layer_types": [NEAR, FULL, NEAR, FULL],
    "per_layer_config": {place: {"head_dim": 32, "num_key_value_heads": 1} for place in (1, 3)},
    "max_position_embeddings": 262144,
    "sliding_window": 8,
    "hidden_size_per_layer_input": 32,
    "embedding_dim": 48,
}
SMALL_VISION = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 16,
    "position_embedding_size": 1024,
    "pooling_kernel_size": 2,
}
SMALL_AUDIO = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "output_proj_dims": 32,
    "subsampling_conv_channels": [8, 8],
    "use_clipped_linears": True,
}
# The names that configuration and tokenizer give to the tokens around pictures and sound, and those tokens.
MARKS = {
    "boi_token": "<|image>",
    "image_token": "<|image|>",
    "video_token": "<|video|>",
    "eoi_token": "<image|>",
    "boa_token": "<|audio>",
    "audio_token": "<|audio|>",
    "eoa_token": "<audio|>",
}
# Those that people ask for most. The published file has them under more names, and some more tasks.
PROMPTS = {
    "Classification": "task: classification | query: ",
    "STS": "task: sentence similarity | query: ",
    "document": "title: none | text: ",
    "query": "task: search result | query: ",
}
# Prompts first, then what an item has in its order and nothing in between; a text with placeholders of its own says
# where its pictures are.
TEMPLATE = """
{%- set others = messages | rejectattr('role', 'equalto', 'system') | list -%}
{%- for message in messages | selectattr('role', 'equalto', 'system') -%}
{%- for each in message['content'] -%}{{ each['text'] }}{%- endfor -%}
{%- endfor -%}
{%- for message in others -%}
{%- set text = message['content'] | selectattr('type', 'equalto', 'text') | map(attribute='text') | join -%}
{%- set placed = '<|image|>' in text or '<|video|>' in text or '<|audio|>' in text -%}
{%- for each in message['content'] -%}
{%- if each['type'] == 'text' -%}{{ each['text'] }}
{%- elif not placed -%}<|{{ each['type'] }}|>
{%- endif -%}
{%- endfor -%}
{%- endfor -%}
"""


def embeddinggemma2(
    folder: Path,
    *,
    text: dict[str, Any] = SMALL_TEXT,
    vision: dict[str, Any] | None = SMALL_VISION,
    most: int = 70,
    gain: float = GAIN,
) -> Path:
    """An EmbeddingGemma 2 with weights in bfloat16; the defaults make a small one, whose pictures have 70 tokens at
    most, of 2 × 2 patches, and whose attention looks 8 tokens far."""
    torch.manual_seed(0)
    processor = _processor(most, (vision or SMALL_VISION)["pooling_kernel_size"])
    numbers = {f"{name}_id": processor.tokenizer.convert_tokens_to_ids(token) for name, token in MARKS.items()}
    config = EmbeddingGemma2Config(
        text_config={"vocab_size": len(processor.tokenizer), **text},
        vision_config=vision,
        audio_config=SMALL_AUDIO,
        eoa_token_index=numbers.pop("eoa_token_id"),
        **numbers,
    )
    model = spread(EmbeddingGemma2Model(config), gain=gain)
    _enliven(model)
    with tempfile.TemporaryDirectory() as plain:
        model.to(torch.bfloat16).save_pretrained(plain)
        processor.save_pretrained(plain)
        _as_pipeline(plain, folder)
    # Older versions of the library kept a picture processor in the file that this writes; here it is about sound.
    processor.feature_extractor.save_pretrained(folder)
    return folder


def embeddinggemma_2(folder: Path) -> Path:
    """A model of the published one's size (439 million parameters without sound, for which it has a small tower)."""
    text = {"vocab_size": 262_144, "num_hidden_layers": 24, "hidden_size": 512}
    vision = {"hidden_size": 768, "num_hidden_layers": 16, "pooling_kernel_size": 3}
    return embeddinggemma2(folder, text=text, vision=vision, most=280, gain=DEEP_GAIN)


def _enliven(model: Any) -> None:
    """Scales of norms and layers that do something: fresh ones change nothing. Those of queries and keys, whose length
    is that of a head, make attention equally sharp in heads of any size: sharper, a deep model would magnify roundings
    until nothing can be compared."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1 and "norm" in name:
            is_sharp = name.endswith(("q_norm.weight", "k_norm.weight"))
            most = (16 / parameter.numel()) ** 0.25 if is_sharp else 1.4
            parameter.data.uniform_(0.4 * most if is_sharp else 0.4, most, generator=generator)
    for layer in model.language_model.layers:
        layer.layer_scalar.fill_(0.9)


def _processor(most: int, pooled: int) -> Any:
    """The library's processor, with pictures by PIL."""
    return EmbeddingGemma2Processor(
        feature_extractor=Gemma4AudioFeatureExtractor(),
        image_processor=Gemma4ImageProcessorPil(max_soft_tokens=most, pooling_kernel_size=pooled),
        tokenizer=gemma4_tokenizer(),
        video_processor=EmbeddingGemma2VideoProcessor(max_soft_tokens=140),
        chat_template=TEMPLATE,
        image_seq_length=most,
    )


def gemma4_tokenizer() -> GemmaTokenizer:
    """A small tokenizer of Gemma's kind, with a token at either end and those around pictures and sound."""
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split(Regex("▁"), "merged_with_next")
    trainer = trainers.BpeTrainer(vocab_size=1400, special_tokens=specials, show_progress=False)
    trained.train_from_iterator(SHORT * 3, trainer)
    made = json.loads(trained.to_str())["model"]
    return GemmaTokenizer(
        vocab=made["vocab"],
        merges=[tuple(pair) for pair in made["merges"]],
        padding_side="right",
        add_bos_token=True,
        add_eos_token=True,
        extra_special_tokens=MARKS,
    )


def _as_pipeline(plain: str, folder: Path) -> None:
    """The folder that sentence-transformers writes: mean over all tokens, then unit length."""
    encoder = Transformer(plain, model_kwargs={"dtype": torch.bfloat16})
    pooling = Pooling(encoder.model.config.text_config.embedding_dim, pooling_mode="mean")
    pipeline = SentenceTransformer(modules=[encoder, pooling, Normalize()], prompts=PROMPTS, device="cpu")
    pipeline.save_pretrained(str(folder), create_model_card=False)
