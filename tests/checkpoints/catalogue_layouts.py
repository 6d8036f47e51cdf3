"""Models of open_clip's catalogue beyond plain CLIP, as its `push_to_hf_hub` lays them out."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip import CLIP, CustomTextCLIP
from open_clip.model import set_model_preprocess_cfg
from open_clip.push_to_hf_hub import save_for_hf
from open_clip.transform import PreprocessCfg
from PIL import Image
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from torchvision.transforms.functional import normalize, to_tensor
from transformers import GemmaTokenizer

from multi2vec.convert import samples
from tests.checkpoints import small_towers
from tests.checkpoints.common import SHORT, spread, xlm_roberta_tokenizer

Changes = Mapping[str, Mapping[str, Any]]

SMALL_TEXT = {"width": 64, "heads": 2, "layers": 2}
# How much of the mean batch norms take away.
MEAN_SHARE = 0.1


class _SavedAlready:
    """open_clip writes the tokenizer's files where the model has a tokenizer of its own."""

    def save_pretrained(self, folder: Path) -> None:
        pass


def catalogue_entry(
    folder: Path, architecture: str, pretrained: str, changes: Changes, dimensions: int = 0, seed: int = 0
) -> Path:
    """A model of the catalogue with random weights; `changes` are those of its parts' configurations."""
    torch.manual_seed(0)
    config = open_clip.get_model_config(architecture)
    entry = open_clip.get_pretrained_cfg(architecture, pretrained)
    for part, change in changes.items():
        config[part].update(change)
    config["embed_dim"] = dimensions or config["embed_dim"]
    if entry.get("quick_gelu"):
        config["quick_gelu"] = True
    kind = CustomTextCLIP if config.get("custom_text") else CLIP
    model = lively(kind(**{name: value for name, value in config.items() if name != "custom_text"}), seed)
    pixels = normalize(pictures(config["vision_cfg"]["image_size"]), entry["mean"], entry["std"])
    settled(model, lambda: model.encode_image(pixels))
    chosen = {name: entry[name] for name in ("mean", "std", "interpolation", "resize_mode")}
    set_model_preprocess_cfg(model, asdict(PreprocessCfg(size=config["vision_cfg"]["image_size"], **chosen)))
    save_for_hf(model, _SavedAlready(), config, str(folder), safe_serialization=True)
    return folder


def lively(model: torch.nn.Module, seed: int = 0, scale: float = 0.3) -> torch.nn.Module:
    """`spread`, and scales of layers, up to `scale`, and batch norms that do something: fresh ones change nothing or
    everything. The deeper the model, the smaller a scale keeps its layers from magnifying roundings."""
    spread(model, seed)
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.6, 1.4, generator=generator)
            module.bias.data.normal_(0, 0.1, generator=generator)
    for name, parameter in model.named_parameters():
        if "layer_scale" in name:
            parameter.data.uniform_(scale / 3, scale, generator=generator)
        elif ".se." in name or "qkv" in name:
            # Gates and attention that are either open or closed jump from one to the other.
            parameter.data *= 0.5
    return model.eval()


def settled(model: torch.nn.Module, run: Callable[[], Any]) -> torch.nn.Module:
    """The model with batch norms that fit what they see when it runs, as after training: with others each layer would
    magnify the roundings of those before it. For the same reason they take away a part of the mean only, which much of
    what random layers compute is."""
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()
        norm.train()
    if norms:
        with torch.no_grad():
            run()
    for norm in norms:
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None
        assert variance is not None
        variance += ((1 - MEAN_SHARE) * mean) ** 2
        mean *= MEAN_SHARE
    return model.eval()


def pictures(edge: int) -> torch.Tensor:
    """The samples of parity but for its photographs, as float pixels (pictures, 3, edge, edge) from 0 to 1."""
    files = [each.item for each in samples.pictures() if not each.name.startswith("photograph")]
    opened = [Image.open(io.BytesIO(file)).convert("RGB").resize((edge, edge)) for file in files]
    return torch.stack([to_tensor(picture) for picture in opened])


def siglip2(folder: Path) -> Path:
    """A small SigLIP 2, 48 px."""
    tokenizer = gemma_tokenizer(folder)
    text = {**SMALL_TEXT, "vocab_size": len(tokenizer)}
    vision = {"timm_model_name": small_towers.vit_siglip_small.__name__, "image_size": small_towers.EDGE}
    return catalogue_entry(folder, "ViT-B-16-SigLIP2", "webli", {"text_cfg": text, "vision_cfg": vision}, 64)


def mobileclip_s1(folder: Path) -> Path:
    """A small MobileCLIP of the S kind, 64 px."""
    vision = {"timm_model_name": small_towers.fastvit_mci_small.__name__, "image_size": 64}
    return catalogue_entry(folder, "MobileCLIP-S1", "datacompdr", {"text_cfg": SMALL_TEXT, "vision_cfg": vision}, 64)


def mobileclip_b(folder: Path) -> Path:
    """A small MobileCLIP of the B kind, 48 px."""
    vision = {"timm_model_name": small_towers.vit_mci_small.__name__, "image_size": small_towers.EDGE}
    return catalogue_entry(folder, "MobileCLIP-B", "datacompdr", {"text_cfg": SMALL_TEXT, "vision_cfg": vision}, 64)


def mobileclip2_s3(folder: Path) -> Path:
    """A small MobileCLIP2 of the kind of S3 and S4, 128 px."""
    vision = {"timm_model_name": small_towers.fastvit_mci3_small.__name__, "image_size": 128}
    changes = {"text_cfg": SMALL_TEXT, "vision_cfg": vision}
    return catalogue_entry(folder, "MobileCLIP2-S3", "dfndr2b", changes, 64, seed=1)


def pe_core(folder: Path) -> Path:
    """A small Perception Encoder, 48 px, texts of 32 tokens."""
    vision = {"timm_model_name": small_towers.vit_pe_core_small.__name__, "image_size": small_towers.EDGE}
    return catalogue_entry(folder, "PE-Core-B-16", "meta", {"text_cfg": SMALL_TEXT, "vision_cfg": vision}, 64, seed=1)


def metaclip_2(folder: Path) -> Path:
    """A small MetaCLIP 2 with a tokenizer of XLM-V's kind, 48 px."""
    tokenizer = xlm_roberta_tokenizer()
    tokenizer.save_pretrained(folder)
    text = {**SMALL_TEXT, "vocab_size": len(tokenizer)}
    vision = {"image_size": 48, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
    changes = {"text_cfg": text, "vision_cfg": vision}
    return catalogue_entry(folder, "ViT-H-14-worldwide", "metaclip2_worldwide", changes, 64)


def mobileclip_s1_real_size(folder: Path) -> Path:
    """MobileCLIP-S1 (85 million parameters)."""
    return catalogue_entry(folder, "MobileCLIP-S1", "datacompdr", {})


def pe_core_real_size(folder: Path) -> Path:
    """PE-Core B/16, 224 px (448 million parameters)."""
    return catalogue_entry(folder, "PE-Core-B-16", "meta", {})


def openai_vit_b16(folder: Path) -> Path:
    """CLIP ViT-B/16 with QuickGELU (150 million parameters)."""
    return catalogue_entry(folder, "ViT-B-16", "openai", {})


def siglip2_base_patch16_224(folder: Path) -> Path:
    """SigLIP 2 B/16, 224 px (375 million parameters, of which 197 are the table of 256,000 tokens)."""
    gemma_tokenizer(folder)
    return catalogue_entry(folder, "ViT-B-16-SigLIP2", "webli", {})


def gemma_tokenizer(folder: Path) -> GemmaTokenizer:
    """A small tokenizer of Gemma's kind in the files of the published one: BPE over pieces with a space as ▁, bytes for
    what is not in the vocabulary, an end token and no start token."""
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split(Regex("▁"), "merged_with_next")
    trainer = trainers.BpeTrainer(vocab_size=1400, special_tokens=specials, show_progress=False)
    trained.train_from_iterator([text.lower() for text in SHORT] * 3, trainer)
    made = json.loads(trained.to_str())["model"]
    tokenizer = GemmaTokenizer(
        vocab=made["vocab"],
        merges=[tuple(pair) for pair in made["merges"]],
        padding_side="right",
        add_bos_token=False,
        add_eos_token=True,
    )
    tokenizer.save_pretrained(folder)
    settings = {
        "add_bos_token": False,
        "add_eos_token": True,
        "clean_up_tokenization_spaces": False,
        "model_max_length": int(1e30),
        "padding_side": "right",
        "spaces_between_special_tokens": False,
        "tokenizer_class": "GemmaTokenizer",
        **{f"{name}_token": f"<{name}>" for name in ("bos", "eos", "pad", "unk")},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return tokenizer
