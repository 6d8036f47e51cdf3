"""jina-embeddings-v3 in the layout of its repository, whose code is not run: the names are those that torch gives to
parametrised layers, as that code has them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.nn.utils import parametrize

from tests.checkpoints.common import GAIN, spread, xlm_roberta_tokenizer
from tests.checkpoints.text_layouts import SMALL, pipeline

TASKS = ("retrieval.query", "retrieval.passage", "separation", "classification", "text-matching")
INSTRUCTIONS = {
    "retrieval.query": "Represent the query for retrieving evidence documents: ",
    "retrieval.passage": "Represent the document for retrieval: ",
    "separation": "",
    "classification": "",
    "text-matching": "",
}
RANK = 4
# Parameters that the published checkpoint has, by mteb's record of the model.
PARAMETERS = 572_310_396


class Lora(torch.nn.Module):
    """All tasks' matrices of one layer, A first; of a table they are A·B, of a linear layer B·A."""

    def __init__(self, weight: torch.Tensor, *, is_table: bool) -> None:
        super().__init__()
        rows, columns = weight.shape
        shapes = ((rows, RANK), (RANK, columns)) if is_table else ((RANK, columns), (rows, RANK))
        self.lora_A, self.lora_B = (torch.nn.Parameter(torch.empty(len(TASKS), *shape)) for shape in shapes)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight


class Mixer(torch.nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.Wqkv, self.out_proj = torch.nn.Linear(size, 3 * size), torch.nn.Linear(size, size)


class Layer(torch.nn.Module):
    def __init__(self, size: int, wide: int) -> None:
        super().__init__()
        self.mixer = Mixer(size)
        self.norm1, self.norm2 = torch.nn.LayerNorm(size), torch.nn.LayerNorm(size)
        self.mlp = torch.nn.ModuleDict({"fc1": torch.nn.Linear(size, wide), "fc2": torch.nn.Linear(wide, size)})


class Roberta(torch.nn.Module):
    """What the repository's model holds, without what it does."""

    def __init__(self, vocabulary: int, size: int, layers: int, wide: int) -> None:
        super().__init__()
        self.embeddings = torch.nn.ModuleDict(
            {
                "word_embeddings": torch.nn.Embedding(vocabulary, size, padding_idx=1),
                "token_type_embeddings": torch.nn.Embedding(1, size),
            }
        )
        self.emb_ln = torch.nn.LayerNorm(size)
        self.encoder = torch.nn.ModuleDict({"layers": torch.nn.ModuleList([Layer(size, wide) for _ in range(layers)])})
        self.pooler = torch.nn.ModuleDict({"dense": torch.nn.Linear(size, size)})
        for module in list(self.modules()):
            if isinstance(module, torch.nn.Linear | torch.nn.Embedding):
                lora = Lora(module.weight, is_table=isinstance(module, torch.nn.Embedding))
                parametrize.register_parametrization(module, "weight", lora)


def jina_v3(folder: Path, **sizes: int) -> Path:
    """`jinaai/jina-embeddings-v3`: XLM-RoBERTa with rotary positions and five adapters of rank 4, bfloat16, mean,
    normalised."""
    torch.manual_seed(0)
    tokenizer = xlm_roberta_tokenizer()
    tokenizer.model_max_length = 8194
    tokenizer.save_pretrained(folder)
    known = {"vocab_size": len(tokenizer), **SMALL, **sizes}
    numbers = [known[name] for name in ("vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size")]
    model = torch.nn.ModuleDict({"roberta": Roberta(*numbers)})
    _draw(spread(model))
    state = {name: tensor.to(torch.bfloat16) for name, tensor in model.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config(known)))
    pipeline(folder, "mean_tokens", known["hidden_size"], None, prompts=INSTRUCTIONS)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0] |= {"type": "custom_st.Transformer", "kwargs": ["task"]}
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


def _draw(model: torch.nn.Module) -> None:
    """Adapters that change a layer's output by about a third."""
    for name, parameter in model.named_parameters():
        if name.endswith("lora_A"):
            parameter.data.normal_(0.0, 1.0 if "embeddings" in name else GAIN / math.sqrt(parameter.shape[-1]))
        elif name.endswith("lora_B"):
            parameter.data.normal_(0.0, 0.3 if "embeddings" in name else 0.6)


def config(sizes: dict[str, int]) -> dict[str, Any]:
    """`config.json` as the repository has it."""
    code = "jinaai/xlm-roberta-flash-implementation--"
    return {
        "_name_or_path": "jinaai/jina-embeddings-v3",
        "architectures": ["XLMRobertaModel"],
        "attention_probs_dropout_prob": 0.1,
        "auto_map": {
            "AutoConfig": f"{code}configuration_xlm_roberta.XLMRobertaFlashConfig",
            "AutoModel": f"{code}modeling_lora.XLMRobertaLoRA",
        },
        "bos_token_id": 0,
        "classifier_dropout": None,
        "emb_pooler": None,
        "eos_token_id": 2,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-05,
        "load_trained_adapters": True,
        "lora_adaptations": list(TASKS),
        "lora_alpha": 1,
        "lora_dropout_p": 0.0,
        "lora_main_params_trainable": False,
        "lora_rank": RANK,
        "matryoshka_dimensions": [32, 64, 128, 256, 512, 768, 1024],
        "max_position_embeddings": 8194,
        "model_type": "xlm-roberta",
        "output_past": True,
        "pad_token_id": 1,
        "position_embedding_type": "rotary",
        "rotary_emb_base": 20000.0,
        "task_instructions": INSTRUCTIONS,
        "torch_dtype": "bfloat16",
        "truncate_dim": None,
        "type_vocab_size": 1,
        "use_cache": True,
        "use_flash_attn": True,
        "use_reentrant": False,
        **sizes,
    }


def jina_v3_real(folder: Path) -> Path:
    """`jinaai/jina-embeddings-v3` at its real size, 1.1 GB."""
    sizes = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
    return jina_v3(folder, **sizes, vocab_size=250002)
