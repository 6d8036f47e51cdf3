"""Small random-weight checkpoints in the layouts of the model hub, saved by the original libraries themselves.

Weights are drawn so that different inputs give clearly different vectors: freshly initialised models answer nearly the
same vector to everything, and a cosine between two of those says nothing.
"""

from __future__ import annotations

import copy
import json
import math
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from open_clip import CLIP, CustomTextCLIP, SimpleTokenizer
from open_clip.model import set_model_preprocess_cfg
from open_clip.push_to_hf_hub import save_for_hf
from open_clip.transform import PreprocessCfg
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Transformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTokenizer,
    DistilBertConfig,
    DistilBertModel,
    DistilBertTokenizer,
    XLMRobertaConfig,
    XLMRobertaTokenizer,
)

from multi2vec.convert.samples import TEXTS

GAIN = 1.6
SMALL_TEXT = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL_VISION = {**SMALL_TEXT, "image_size": 48, "patch_size": 16}


def spread(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Redraw the weights so that activations keep their size through the layers. Returns the model, in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            continue
        table = ("embedding" in name and "patch" not in name) or name.endswith("embeddings.weight")
        std = 0.5 if table else GAIN / math.sqrt(parameter[0].numel())
        parameter.data.normal_(0.0, std, generator=generator)
    return model.eval()


def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's own vocabulary and merges (the file that open_clip carries), 49,408 tokens, as transformers has them."""
    original = SimpleTokenizer()
    renamed = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {renamed.get(token, token): number for token, number in original.encoder.items()}
    return CLIPTokenizer(vocab=vocabulary, merges=list(original.bpe_ranks), model_max_length=77)


def clip(
    folder: Path, *, text: dict[str, Any] = SMALL_TEXT, vision: dict[str, Any] = SMALL_VISION, **save: Any
) -> Path:
    """A CLIP in `openai/clip-vit-base-patch32`'s layout; the defaults make a small one (48 px, 64 wide)."""
    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = CLIPConfig(
        text_config={"vocab_size": len(tokenizer), "pad_token_id": 1, **ends, **text},
        vision_config=vision,
        projection_dim=min(text["hidden_size"], 512),
    )
    edge = vision["image_size"]
    pictures = CLIPImageProcessor(size={"shortest_edge": edge}, crop_size={"height": edge, "width": edge})
    model = spread(CLIPModel(config))
    model.save_pretrained(folder, **save)
    CLIPProcessor(image_processor=pictures, tokenizer=tokenizer).save_pretrained(folder)
    return folder


def clip_as_openai(folder: Path) -> Path:
    """The same with OpenAI's own numbers for the ends of a text, which are not the tokenizer's: transformers then takes
    the vector at the largest token id."""
    clip(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["text_config"].update(bos_token_id=0, eos_token_id=2, pad_token_id=1)
    path.write_text(json.dumps(config))
    return folder


def clip_vit_b32(folder: Path) -> Path:
    """A ViT-B/32 of real size (151 M parameters) in `openai/clip-vit-base-patch32`'s layout."""
    text = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8}
    vision = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 224,
        "patch_size": 32,
    }
    return clip(folder, text=text, vision=vision)


SMALL_OPEN_CLIP: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 48, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}


def quick_gelu_open_clip(folder: Path) -> Path:
    """The small model of open_clip with QuickGELU, and its configuration says so."""
    return open_clip_folder(folder, {**SMALL_OPEN_CLIP, "quick_gelu": True})


def open_clip_folder(folder: Path, config: dict[str, Any] = SMALL_OPEN_CLIP, *, safetensors: bool | str = True) -> Path:
    """A model of open_clip as its `push_to_hf_hub` lays it out; `safetensors`: False a torch file, "both" both."""
    config = copy.deepcopy(config)
    torch.manual_seed(0)
    made = CustomTextCLIP if "hf_model_name" in config["text_cfg"] else CLIP
    model = spread(made(**_with_folder(config, folder)))
    set_model_preprocess_cfg(model, asdict(PreprocessCfg(size=config["vision_cfg"]["image_size"])))
    save_for_hf(model, _NoTokenizer(), config, str(folder), safe_serialization=safetensors)
    return folder


def xlm_roberta_open_clip(folder: Path) -> Path:
    """A model of open_clip whose text tower is a small XLM-RoBERTa, with a tokenizer of XLM-RoBERTa's kind.

    Its configuration lies in `xlm-roberta-base/` inside the folder.
    """
    tokenizer = xlm_roberta_tokenizer()
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
    # Positions start behind the padding's number, hence 77 + 2.
    XLMRobertaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=79, pad_token_id=1, bos_token_id=0, eos_token_id=2, **sizes
    ).save_pretrained(folder / "xlm-roberta-base")
    names = {"hf_model_name": "xlm-roberta-base", "hf_tokenizer_name": "xlm-roberta-base"}
    text = {**names, "hf_pooler_type": "mean_pooler", "hf_proj_type": "mlp"}
    return open_clip_folder(folder, {**SMALL_OPEN_CLIP, "text_cfg": text})


def _with_folder(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    text = config["text_cfg"]
    if "hf_model_name" not in text:
        return config
    return {
        **config,
        "text_cfg": {**text, "hf_model_name": str(folder / text["hf_model_name"]), "hf_model_pretrained": False},
    }


class _NoTokenizer:
    """The tokenizer is part of the open_clip package, or written already."""

    def save_pretrained(self, folder: Path) -> None:
        pass


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


def sentence_transformers_clip(folder: Path) -> Path:
    """A CLIP in `sentence-transformers/clip-ViT-B-32`'s layout: `modules.json` and `0_CLIPModel/`, in older files."""
    folder.mkdir(parents=True)
    as_older_versions(clip(folder.with_name(f"{folder.name}-base")), folder / "0_CLIPModel")
    module = {"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}
    (folder / "modules.json").write_text(json.dumps([module]))
    return folder


def sentence_transformers_texts(folder: Path, dimensions: int = 64) -> Path:
    """Texts in `sentence-transformers/clip-ViT-B-32-multilingual-v1`'s layout: DistilBERT at the root, `1_Pooling/`,
    `2_Dense/`."""
    torch.manual_seed(0)
    base = folder.with_name(f"{folder.name}-base")
    tokenizer = bert_tokenizer()
    tokenizer.save_pretrained(base)
    sizes = {"dim": 48, "hidden_dim": 96, "n_layers": 2, "n_heads": 2}
    config = DistilBertConfig(vocab_size=len(tokenizer), max_position_embeddings=128, **sizes)
    spread(DistilBertModel(config)).save_pretrained(base)
    pipeline = SentenceTransformer(
        modules=[
            Transformer(str(base), max_seq_length=128),
            Pooling(48, pooling_mode="mean"),
            spread(Dense(48, dimensions, bias=False, activation_function=torch.nn.Identity())),
        ],
        device="cpu",
    )
    pipeline.save(str(folder), create_model_card=False)
    _as_published(folder)
    return folder


def _as_published(folder: Path) -> None:
    """The names and keys of the library's versions of that time, which the hub's folder still has."""
    parts = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense")]
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(parts)
    ]
    pooling = {"word_embedding_dimension": 48, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    transformer = {"max_seq_length": 128, "do_lower_case": False}
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "sentence_bert_config.json").write_text(json.dumps(transformer))


def multilingual_clip(folder: Path) -> Path:
    """Both halves of the multilingual CLIP, each in a folder named as its repository."""
    sentence_transformers_clip(folder / "clip-ViT-B-32")
    sentence_transformers_texts(folder / "clip-ViT-B-32-multilingual-v1")
    return folder


def bert_tokenizer() -> DistilBertTokenizer:
    """A small cased WordPiece tokenizer, trained on a few sentences of many scripts."""
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=900, special_tokens=specials, show_progress=False)
    trained.train_from_iterator([text for text in TEXTS if len(text) < 500], trainer)
    return DistilBertTokenizer(vocab=trained.get_vocab(), do_lower_case=False, model_max_length=512)


def as_older_versions(checkpoint: Path, folder: Path) -> Path:
    """A CLIP checkpoint once more, in the files that transformers wrote before 2023."""
    folder.mkdir()
    shutil.copy(checkpoint / "config.json", folder)
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    merges = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in tokenizer["merges"])])
    (folder / "vocab.json").write_text(json.dumps(tokenizer["vocab"]), encoding="utf-8")
    (folder / "merges.txt").write_text(merges + "\n", encoding="utf-8")
    settings = {"model_max_length": 77, "tokenizer_class": "CLIPTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    pictures = json.loads((checkpoint / "processor_config.json").read_text())["image_processor"]
    pictures.update(size=pictures["size"]["shortest_edge"], crop_size=pictures["crop_size"]["height"])
    pictures["feature_extractor_type"] = "CLIPFeatureExtractor"
    del pictures["image_processor_type"]
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures))
    torch.save(load_file(checkpoint / "model.safetensors"), folder / "pytorch_model.bin")
    return folder
