"""ModernVBERT as `ModernVBERT/modernvbert-embed` lays it out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import Idefics3ImageProcessorPil, ModernVBertConfig, ModernVBertModel, PreTrainedTokenizerFast

from tests.checkpoints.common import DEEP_GAIN, GAIN, SHORT, change_json, spread

SMALL_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 96,
    "local_attention": 16,
}
SMALL_VISION = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 48,
    "patch_size": 8,
}
# 48 px in patches of 8 px, of which 2×2 become a token.
SMALL_FACTOR = 2
LAST_TOKENS = ("<global-img>", "<fake_token_around_image>", "<end_of_utterance>", "<image>")


def modernvbert(
    folder: Path,
    *,
    text: dict[str, Any] = SMALL_TEXT,
    vision: dict[str, Any] = SMALL_VISION,
    factor: int = SMALL_FACTOR,
    longest: int = 96,
    gain: float = GAIN,
) -> Path:
    """A ModernVBERT; the defaults make a small one, with up to 2×2 tiles of 48 px and the whole picture."""
    torch.manual_seed(0)
    tokenizer = modernvbert_tokenizer(text["max_position_embeddings"])
    numbers = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"[{name.upper()}]") for name in ("cls", "sep", "pad")
    }
    config = ModernVBertConfig(
        text_config={
            "model_type": "modernbert",
            "vocab_size": len(tokenizer),
            "bos_token_id": numbers["cls_token_id"],
            "eos_token_id": numbers["sep_token_id"],
            **numbers,
            **text,
        },
        vision_config={"model_type": "siglip_vision_model", **vision},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pixel_shuffle_factor=factor,
    )
    model = spread(ModernVBertModel(config), gain=gain)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Idefics3ImageProcessorPil(
        size={"longest_edge": longest}, max_image_size={"longest_edge": vision["image_size"]}
    ).save_pretrained(folder)
    _as_published(folder, model, (vision["image_size"] // vision["patch_size"] // factor) ** 2)
    return folder


def modernvbert_tokenizer(max_length: int) -> PreTrainedTokenizerFast:
    """A small byte-level tokenizer of ModernBERT's kind, with the tokens around pictures."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.NFC()
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    specials = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(SHORT, trainer)
    trained.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, trained.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    )
    places = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    trained.add_special_tokens([AddedToken(name, normalized=False) for name in (*places, *LAST_TOKENS)])
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "cls", "sep", "pad", "mask")}
    return PreTrainedTokenizerFast(
        tokenizer_object=trained,
        model_max_length=max_length,
        model_input_names=["input_ids", "attention_mask"],
        **names,
    )


def _as_published(folder: Path, model: torch.nn.Module, places: int) -> None:
    """The names of the package that it was trained with: keys of a model inside a model, and its processor's."""
    (folder / "model.safetensors").unlink()
    state = {
        f"model.{name.replace('vision_model.', 'vision_model.vision_model.', 1)}": tensor.contiguous()
        for name, tensor in model.state_dict().items()
    }
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    change_json(folder / "config.json", architectures=["BiModernVBert"])
    names = {"image_processor_type": "Idefics3ImageProcessor", "processor_class": "BiModernVBertProcessor"}
    change_json(folder / "preprocessor_config.json", **names)
    processor = {"image_seq_len": places, "processor_class": "BiModernVBertProcessor"}
    (folder / "processor_config.json").write_text(json.dumps(processor))


def modernvbert_embed(folder: Path) -> Path:
    """A model of the published one's size (252 million parameters)."""
    text = {
        "vocab_size": 50408,
        "hidden_size": 768,
        "intermediate_size": 1152,
        "num_hidden_layers": 22,
        "num_attention_heads": 12,
        "max_position_embeddings": 7999,
        "local_attention": 128,
    }
    vision = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 512,
        "patch_size": 16,
    }
    return modernvbert(folder, text=text, vision=vision, factor=4, longest=2048, gain=DEEP_GAIN)
