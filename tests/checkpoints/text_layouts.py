"""Text models in the layouts of their repositories: an encoder or decoder of transformers, and the files of
sentence-transformers around it in the form of the versions that wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertModel,
    GteConfig,
    GteModel,
    MistralConfig,
    MistralModel,
    ModernBertConfig,
    ModernBertModel,
    Qwen2Config,
    Qwen2Model,
    Qwen3Config,
    Qwen3Model,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from tests.checkpoints.common import spread, xlm_roberta_tokenizer
from tests.checkpoints.text_tokenizers import llama_tokenizer, modernbert_tokenizer, qwen_tokenizer, uncased_tokenizer

SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
GROUPED = {**SMALL, "num_key_value_heads": 2}
POOLINGS = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
# With more, attention is so sharp that these models are not within 0.999 of themselves in torch's bfloat16 either.
DECODERS_GAIN = 1.0
TASK = "Given a web search query, retrieve relevant passages that answer the query"


def bge(folder: Path, **sizes: int) -> Path:
    """`BAAI/bge-small-en-v1.5`: BERT with a pooler, first token, normalised."""
    torch.manual_seed(0)
    tokenizer = uncased_tokenizer()
    config = BertConfig(**{"vocab_size": len(tokenizer), **SMALL, **sizes})
    _save(spread(BertModel(config)), tokenizer, folder)
    return pipeline(folder, "cls_token", config.hidden_size, 512, do_lower_case=True)


def multilingual_e5(folder: Path) -> Path:
    """`intfloat/multilingual-e5-base`: XLM-RoBERTa, mean, normalised."""
    torch.manual_seed(0)
    tokenizer = xlm_roberta_tokenizer()
    config = XLMRobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=514, type_vocab_size=1, **SMALL)
    _save(spread(XLMRobertaModel(config)), tokenizer, folder)
    return pipeline(folder, "mean_tokens", 64, 512)


def multilingual_e5_small(folder: Path) -> Path:
    """`intfloat/multilingual-e5-small`: BERT with XLM-RoBERTa's tokenizer, whose padding is not BERT's; mean,
    normalised."""
    torch.manual_seed(0)
    tokenizer = xlm_roberta_tokenizer()
    config = BertConfig(vocab_size=len(tokenizer), pad_token_id=0, tokenizer_class="XLMRobertaTokenizer", **SMALL)
    _save(spread(BertModel(config)), tokenizer, folder)
    return pipeline(folder, "mean_tokens", 64, 512)


def arctic(folder: Path) -> Path:
    """`Snowflake/snowflake-arctic-embed-xs`: BERT without a pooler, first token, normalised; it carries its prompt."""
    torch.manual_seed(0)
    tokenizer = uncased_tokenizer()
    model = BertModel(BertConfig(vocab_size=len(tokenizer), **SMALL), add_pooling_layer=False)
    _save(spread(model), tokenizer, folder)
    prompts = {"query": "Represent this sentence for searching relevant passages: "}
    return pipeline(folder, "cls_token", 64, 512, prompts=prompts)


def modernbert(folder: Path) -> Path:
    """`Alibaba-NLP/gte-modernbert-base`: ModernBERT, first token, not normalised."""
    torch.manual_seed(0)
    tokenizer = modernbert_tokenizer()
    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=8192,
        global_attn_every_n_layers=2,
        local_attention=16,
        **{name: getattr(tokenizer, name) for name in ("pad_token_id", "cls_token_id", "sep_token_id")},
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        **SMALL,
    )
    _save(spread(ModernBertModel(config), seed=1), tokenizer, folder, torch.float16)
    return pipeline(folder, "cls_token", 64, 8192, normalised=False)


def qwen3_embedding(folder: Path, **sizes: int) -> Path:
    """`Qwen/Qwen3-Embedding-0.6B`: bfloat16, last token, its tokenizer puts `<|endoftext|>` there; carries prompts."""
    torch.manual_seed(0)
    tokenizer = qwen_tokenizer(puts_end=True)
    base = {"vocab_size": len(tokenizer), "head_dim": 16, "max_position_embeddings": 32768}
    config = Qwen3Config(rope_theta=1_000_000, tie_word_embeddings=True, **{**base, **GROUPED, **sizes})
    _save(spread(Qwen3Model(config), gain=DECODERS_GAIN), tokenizer, folder, torch.bfloat16)
    prompts = {"query": f"Instruct: {TASK}\nQuery:", "document": ""}
    return pipeline(folder, "lasttoken", config.hidden_size, None, prompts=prompts)


def e5_mistral(folder: Path) -> Path:
    """`intfloat/e5-mistral-7b-instruct`: float16, last token, which its tokenizer's configuration wants to be `</s>`
    and its `tokenizer.json` does not put there."""
    torch.manual_seed(0)
    tokenizer = llama_tokenizer()
    config = MistralConfig(
        vocab_size=len(tokenizer), max_position_embeddings=32768, sliding_window=4096, head_dim=16, **GROUPED
    )
    _save(spread(MistralModel(config), gain=DECODERS_GAIN), tokenizer, folder, torch.float16)
    _change(folder / "tokenizer_config.json", add_eos_token=True, add_bos_token=True)
    prompts = {
        "web_search_query": f"Instruct: {TASK}\nQuery: ",
        "sts_query": "Instruct: Retrieve similar text.\nQuery: ",
    }
    return pipeline(folder, "lasttoken", 64, 4096, prompts=prompts)


def gte_qwen2(folder: Path) -> Path:
    """`Alibaba-NLP/gte-Qwen2-1.5B-instruct`: attention both ways, last token; code in the repository puts
    `<|endoftext|>` there, and transformers' own tokenizer does not."""
    torch.manual_seed(0)
    tokenizer = qwen_tokenizer(puts_end=False)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        max_position_embeddings=131072,
        rope_theta=1_000_000,
        use_sliding_window=False,
        **GROUPED,
    )
    _save(spread(Qwen2Model(config), gain=DECODERS_GAIN), tokenizer, folder)
    names = {"AutoModel": "modeling_qwen.Qwen2Model", "AutoModelForCausalLM": "modeling_qwen.Qwen2ForCausalLM"}
    _change(folder / "config.json", is_causal=False, auto_map=names, architectures=["Qwen2ForCausalLM"])
    code = ["tokenization_qwen.Qwen2Tokenizer", "tokenization_qwen.Qwen2TokenizerFast"]
    _change(folder / "tokenizer_config.json", add_eos_token=True, auto_map={"AutoTokenizer": code})
    prompts = {"query": f"Instruct: {TASK}\nQuery: "}
    return pipeline(folder, "lasttoken", 64, 32768, prompts=prompts)


def gte_multilingual(folder: Path) -> Path:
    """`Alibaba-NLP/gte-multilingual-base`: the type "new" with its code in the repository, float16, first token,
    normalised, and a head that the vectors do not use."""
    torch.manual_seed(0)
    tokenizer = xlm_roberta_tokenizer()
    config = GteConfig(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **SMALL)
    _save(spread(GteModel(config)), tokenizer, folder, torch.float16)
    path = folder / "model.safetensors"
    state = {f"new.{name}": tensor for name, tensor in load_file(path).items()}
    state |= {"classifier.weight": torch.zeros(1, 64).half(), "classifier.bias": torch.zeros(1).half()}
    save_file(state, path, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(_new_config(config)))
    return pipeline(folder, "cls_token", 64, 8192)


def _new_config(config: GteConfig) -> dict[str, Any]:
    """As the repository's own code wrote it, its numbers for the positions included."""
    kept = {name: getattr(config, name) for name in (*SMALL, "vocab_size", "pad_token_id", "type_vocab_size")}
    code = {"AutoConfig": "Alibaba-NLP/new-impl--configuration.NewConfig"}
    return kept | {
        "architectures": ["NewModel", "NewForTokenClassification"],
        "attention_probs_dropout_prob": 0.0,
        "auto_map": code | {"AutoModel": "Alibaba-NLP/new-impl--modeling.NewModel"},
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "layer_norm_eps": 1e-12,
        "layer_norm_type": "layer_norm",
        "logn_attention_clip1": False,
        "logn_attention_scale": False,
        "max_position_embeddings": 8192,
        "model_type": "new",
        "pack_qkv": True,
        "position_embedding_type": "rope",
        "rope_scaling": {"factor": 8.0, "type": "ntk"},
        "rope_theta": 20000,
        "torch_dtype": "float16",
        "unpad_inputs": False,
        "use_memory_efficient_attention": False,
    }


def bge_large(folder: Path) -> Path:
    """`BAAI/bge-large-en-v1.5` at its real size, 1.3 GB."""
    sizes = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
    return bge(folder, **sizes, vocab_size=30522)


def qwen3_embedding_06b(folder: Path) -> Path:
    """`Qwen/Qwen3-Embedding-0.6B` at its real size, 1.2 GB."""
    sizes = {"hidden_size": 1024, "num_hidden_layers": 28, "intermediate_size": 3072, "vocab_size": 151669}
    return qwen3_embedding(folder, **sizes, num_attention_heads=16, num_key_value_heads=8, head_dim=128)


def qwen3_embedding_4b(folder: Path) -> Path:
    """`Qwen/Qwen3-Embedding-4B` at its real size, 8 GB."""
    return _qwen3_embedding_large(folder, hidden_size=2560, intermediate_size=9728, vocab_size=151669)


def qwen3_embedding_8b(folder: Path) -> Path:
    """`Qwen/Qwen3-Embedding-8B` at its real size, 15 GB."""
    return _qwen3_embedding_large(folder, hidden_size=4096, intermediate_size=12288, vocab_size=151665)


def _qwen3_embedding_large(folder: Path, **sizes: int) -> Path:
    """In bfloat16 from the beginning: in float32 it would not be in memory twice."""
    torch.set_default_dtype(torch.bfloat16)
    heads = {"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128}
    return qwen3_embedding(folder, num_hidden_layers=36, **heads, **sizes)


def pipeline(
    folder: Path,
    pooling: str,
    dimensions: int,
    length: int | None,
    *,
    normalised: bool = True,
    do_lower_case: bool = False,
    prompts: dict[str, str] | None = None,
) -> Path:
    """sentence-transformers' files around the model in the folder; a `length` of None is not written."""
    parts = [("", "Transformer"), ("1_Pooling", "Pooling"), *([("2_Normalize", "Normalize")] if normalised else [])]
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(parts)
    ]
    kinds = {f"pooling_mode_{each}": each == pooling for each in POOLINGS}
    _write(folder / "modules.json", modules)
    _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": dimensions, **kinds})
    if length is not None:
        _write(folder / "sentence_bert_config.json", {"max_seq_length": length, "do_lower_case": do_lower_case})
    stated = {"prompts": prompts, "default_prompt_name": None} if prompts else {}
    _write(folder / "config_sentence_transformers.json", {"__version__": {"sentence_transformers": "2.7.0"}, **stated})
    return folder


def _save(model: Any, tokenizer: Any, folder: Path, dtype: torch.dtype = torch.float32) -> None:
    tokenizer.save_pretrained(folder)
    # As large models are published: in several files.
    model.to(dtype).save_pretrained(folder, max_shard_size="5GB")


def _change(path: Path, **changes: Any) -> None:
    _write(path, json.loads(path.read_text()) | changes)


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))
