"""Phi-3-V as `TIGER-Lab/VLM2Vec-Full` lays it out: its authors' names of tensors in two files, Llama's tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import CLIPVisionConfig, CLIPVisionModel, Phi3Config, Phi3Model, PreTrainedTokenizerFast

from tests.checkpoints.common import SHORT, spread
from tests.checkpoints.text_tokenizers import models_of

SMALL_TEXT = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
# Heads are of 64 numbers, and tiles of 336 pixels in patches of 14, as in the published model.
SMALL_VISION = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 1}
ADDED = (
    "<|endoftext|>",
    "<|assistant|>",
    "<|placeholder1|>",
    "<|placeholder2|>",
    "<|placeholder3|>",
    "<|placeholder4|>",
    "<|system|>",
    "<|end|>",
    "<|placeholder5|>",
    "<|placeholder6|>",
    "<|user|>",
)

PROCESSOR = {
    "auto_map": {"AutoProcessor": "processing_phi3_v.Phi3VProcessor"},
    "image_processor_type": "Phi3VImageProcessor",
    "processor_class": "Phi3VProcessor",
    "num_crops": 4,
    "num_img_tokens": 144,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


def phi3_v(
    folder: Path,
    *,
    text: Mapping[str, int] = SMALL_TEXT,
    vision: Mapping[str, int] = SMALL_VISION,
    dtype: torch.dtype = torch.bfloat16,
    gain: float = 1.0,
) -> Path:
    """A Phi-3-V; the defaults make a small one."""
    torch.manual_seed(0)
    folder.mkdir(exist_ok=True)
    tokenizer = phi3_tokenizer()
    tokenizer.save_pretrained(folder)
    _change_class(folder / "tokenizer_config.json")
    _make_a_word_of(folder / "tokenizer.json", "</s>")
    config = configuration(tokenizer, text)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    state = {name: tensor.to(dtype).contiguous() for name, tensor in tensors(config, vision, gain).items()}
    _save(folder, state)
    return folder


def configuration(tokenizer: Any, text: Mapping[str, int]) -> dict[str, Any]:
    """`config.json`, its sizes aside as published; the factors are made up."""
    pairs = text["hidden_size"] // text["num_attention_heads"] // 2
    steps = [step / pairs for step in range(pairs)]
    return {
        "architectures": ["Phi3VForCausalLM"],
        "model_type": "phi3_v",
        "vocab_size": len(tokenizer) + 5,
        "num_key_value_heads": text["num_attention_heads"],
        "hidden_act": "silu",
        "max_position_embeddings": 131072,
        "original_max_position_embeddings": 4096,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "rope_scaling": {
            "type": "su",
            "short_factor": [1.05 + 2 * step for step in steps],
            "long_factor": [1.03 + 64 * step for step in steps],
        },
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": tokenizer.pad_token_id,
        "sliding_window": 262144,
        "tie_word_embeddings": False,
        "embd_layer": {
            "embedding_cls": "image",
            "hd_transform_order": "sub_glb",
            "projection_cls": "mlp",
            "use_hd_transform": True,
            "with_learnable_separator": True,
        },
        "img_processor": {
            "image_dim_out": 1024,
            "model_name": "openai/clip-vit-large-patch14-336",
            "name": "clip_vision_model",
            "num_img_tokens": 144,
        },
        **text,
    }


def tensors(config: Mapping[str, Any], vision: Mapping[str, int], gain: float) -> dict[str, torch.Tensor]:
    """All tensors by their published names."""
    sizes = {
        name: config[name]
        for name in (*SMALL_TEXT, "vocab_size", "num_key_value_heads", "eos_token_id", "pad_token_id")
    }
    size, width = 4 * vision["hidden_size"], config["hidden_size"]
    clip = CLIPVisionModel(CLIPVisionConfig(image_size=336, patch_size=14, **vision))
    projection = torch.nn.Sequential(torch.nn.Linear(size, width), torch.nn.GELU(), torch.nn.Linear(width, width))
    parts = {
        "model.": Phi3Model(Phi3Config(**sizes)),
        "model.vision_embed_tokens.img_processor.vision_model.": clip,
        "model.vision_embed_tokens.img_projection.": projection,
        "lm_head.": torch.nn.Linear(width, config["vocab_size"], bias=False),
    }
    state = {
        prefix + name: tensor
        for number, (prefix, module) in enumerate(parts.items())
        for name, tensor in spread(module, number, gain).state_dict().items()
    }
    separators = {"glb_GN": torch.randn(1, 1, size), "sub_GN": torch.randn(1, 1, 1, size)}
    return state | {f"model.vision_embed_tokens.{name}": tensor for name, tensor in separators.items()}


def _save(folder: Path, state: Mapping[str, torch.Tensor]) -> None:
    """In two files and an index."""
    names = sorted(state)
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    places = {}
    for number, half in enumerate(halves, 1):
        file = f"model-{number:05}-of-00002.safetensors"
        save_file({name: state[name] for name in half}, folder / file, metadata={"format": "pt"})
        places |= dict.fromkeys(half, file)
    index = {"metadata": {"total_size": sum(each.nbytes for each in state.values())}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def phi3_tokenizer() -> PreTrainedTokenizerFast:
    """A small one of Llama's kind: it puts a mark before every text, even before one that begins with a space, `<s>` in
    front and nothing behind."""
    trained = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    trained.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    specials = ["<unk>", "<s>", "</s>", *(f"<0x{number:02X}>" for number in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=800, special_tokens=specials, show_progress=False)
    trained.train_from_iterator(SHORT, trainer)
    model: Any = models_of(trained)
    merges = [tuple(each) for each in model["merges"]]
    made = Tokenizer(models.BPE(model["vocab"], merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    made.add_special_tokens([AddedToken(name, normalized=False) for name in ("<unk>", "<s>", "</s>")])
    made.add_special_tokens([AddedToken(name, normalized=False, rstrip=name not in ADDED[:1]) for name in ADDED])
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<|endoftext|>"}
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=131072, padding_side="right", **names)


def _change_class(path: Path) -> None:
    changes = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False, "legacy": False}
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _make_a_word_of(path: Path, token: str) -> None:
    """The published file does not call it special, so that it is a token wherever somebody writes it."""
    file = json.loads(path.read_text())
    (found,) = (each for each in file["added_tokens"] if each["content"] == token)
    found |= {"special": False, "rstrip": True}
    path.write_text(json.dumps(file, ensure_ascii=False))
