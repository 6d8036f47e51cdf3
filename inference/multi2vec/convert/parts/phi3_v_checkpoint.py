"""Checkpoints of Phi-3-V (arXiv 2404.14219), as microsoft/Phi-3.5-vision-instruct and TIGER-Lab/VLM2Vec-Full lay them
out: layers of transformers, put together, with exactly the checkpoint's weights.

transformers has no class for it, but both halves: CLIP's vision model and Phi-3. How large CLIP is stands in none of
the published files; it is openai/clip-vit-large-patch14-336. Here the tensors' shapes say it, and heads are of 64
numbers, as in all of OpenAI's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import CLIPVisionConfig, CLIPVisionModel, Phi3Config, Phi3Model

from multi2vec.convert import weights
from multi2vec.convert.errors import SourceError

State = dict[str, torch.Tensor]

PICTURES = "model.vision_embed_tokens."
CLIP = f"{PICTURES}img_processor.vision_model."
TABLE = "model.embed_tokens.weight"
# The same table once more: the module that is published has it in two places.
TABLE_AGAIN = f"{PICTURES}wte.weight"
# The head that writes; an embedder has none. And what older versions of transformers wrote besides.
LEFT_OUT = ("lm_head.weight", f"{CLIP}embeddings.position_ids")
# What the modules are called here, and in published files; the first that fits counts.
NAMES = {"clip.": CLIP, "projection.": f"{PICTURES}img_projection.", "separators.": PICTURES, "text.": "model."}

# Of Phi-3, what its configuration says under the same names.
KEPT = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "hidden_act",
    "max_position_embeddings",
    "original_max_position_embeddings",
    "rms_norm_eps",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)
# All else would be another order of rows, or another projection.
EMBEDDING = {
    "embedding_cls": "image",
    "hd_transform_order": "sub_glb",
    "projection_cls": "mlp",
    "use_hd_transform": True,
    "with_learnable_separator": True,
}
# Defaults are those of the authors' code: the layer before the last one, without its class token.
PROCESSOR = {"name": "clip_vision_model", "layer_idx": -2, "type_feature": "patch"}
HEAD_SIZE = 64


class Separators(torch.nn.Module):
    """What ends each line of a picture, and what stands between its tiles and the whole."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.sub_GN = torch.nn.Parameter(torch.empty(1, 1, 1, size))
        self.glb_GN = torch.nn.Parameter(torch.empty(1, 1, size))


class Phi3V(torch.nn.Module):
    """The halves, and what joins them. It computes nothing itself: see phi3_v.py."""

    def __init__(self, clip: CLIPVisionConfig, text: Phi3Config) -> None:
        super().__init__()
        size: Any = 4 * clip.hidden_size
        width: Any = text.hidden_size
        self.clip = CLIPVisionModel(clip)
        self.separators = Separators(size)
        self.projection = torch.nn.Sequential(
            torch.nn.Linear(size, width), torch.nn.GELU(), torch.nn.Linear(width, width)
        )
        self.text = Phi3Model(text)


def load(folder: Path) -> Phi3V:
    """The model in the precision that its weights are stored in, for inference. Raises `SourceError` for a folder that
    holds another model, or tensors more or fewer than it needs."""
    state = published(folder)
    with torch.device("meta"):
        model = Phi3V(clip_config(state), text_config(folder))
    needed = {published_name(name): tensor for name, tensor in model.state_dict().items()}
    weights.check_state(state, needed, str(folder))
    model.load_state_dict({name: state[published_name(name)] for name in model.state_dict()}, assign=True)
    embeddings: Any = model.clip.embeddings
    embeddings.position_ids = torch.arange(embeddings.num_positions).expand(1, -1)
    return model.eval().requires_grad_(False)


def published_name(name: str) -> str:
    """What published files call a tensor of `Phi3V`."""
    own = next(own for own in NAMES if name.startswith(own))
    return NAMES[own] + name.removeprefix(own)


def published(folder: Path) -> State:
    """The checkpoint's tensors by their published names, those that are left out not among them; the table of tokens
    under one name, whichever of the two it has. Raises `SourceError`."""
    state = {name: tensor for name, tensor in _tensors(folder) if name not in LEFT_OUT}
    again = state.pop(TABLE_AGAIN, None)
    if again is not None and not torch.equal(state.setdefault(TABLE, again), again):
        raise SourceError(f"{folder} has two tables of tokens that differ: {TABLE} and {TABLE_AGAIN}")
    return state


def _tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise SourceError(f"{folder} cannot be read as a Phi-3-V: it holds no weights in safetensors")
    for path in paths:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                yield name, file.get_tensor(name)


def text_config(folder: Path) -> Phi3Config:
    """That of the language model, without its window, which is wider than the short factors of its positions reach.
    Raises `SourceError` for a kind of Phi-3-V that is not supported."""
    own = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    _check(own.get("embd_layer"), EMBEDDING, "embd_layer", folder)
    _check(own.get("img_processor"), PROCESSOR, "img_processor", folder)
    scaling, reach = own.get("rope_scaling") or {}, own.get("original_max_position_embeddings", 0)
    if scaling.get("type") != "su" or (own.get("sliding_window") or reach) < reach:
        raise SourceError(f"{folder} counts positions otherwise than by 'su', or sees fewer than {reach} tokens")
    # The library's configuration no longer takes the older name "su" for it.
    rope = {
        "rope_type": "longrope",
        "rope_theta": own.get("rope_theta", 10000.0),
        "original_max_position_embeddings": reach,
        "factor": own["max_position_embeddings"] / reach,
        **{name: scaling[name] for name in ("short_factor", "long_factor")},
    }
    config = Phi3Config(**{name: own[name] for name in KEPT if name in own}, rope_parameters=rope)
    config.use_cache = False
    return config


def _check(found: Any, wanted: Mapping[str, Any], name: str, folder: Path) -> None:
    if not isinstance(found, dict):
        raise SourceError(f"{folder} has no {name} in its configuration, as a model that sees has")
    for key, value in wanted.items():
        if found.get(key, PROCESSOR.get(key)) != value:
            raise SourceError(f"{folder} has {name} with {key} = {found.get(key)!r}, which is not supported")


def clip_config(state: Mapping[str, torch.Tensor]) -> CLIPVisionConfig:
    """That of the vision model, as its tensors' shapes have it; where one is missing, as in the published model, so
    that the comparison that follows tells all that is missing."""
    size = _side(state, "embeddings.class_embedding", 0, 1024)
    patch = _side(state, "embeddings.patch_embedding.weight", -1, 14)
    positions = _side(state, "embeddings.position_embedding.weight", 0, 577)
    wide = _side(state, "encoder.layers.0.mlp.fc1.weight", 0, 4096)
    layers = {name.removeprefix(f"{CLIP}encoder.layers.").split(".")[0] for name in state if ".encoder.layers." in name}
    return CLIPVisionConfig(
        hidden_size=size,
        intermediate_size=wide,
        num_hidden_layers=len(layers),
        num_attention_heads=max(1, size // HEAD_SIZE),
        patch_size=patch,
        image_size=patch * round((positions - 1) ** 0.5),
        hidden_act="quick_gelu",
    )


def _side(state: Mapping[str, torch.Tensor], name: str, axis: int, published: int) -> int:
    """One side of that tensor of CLIP."""
    shape = state[CLIP + name].shape if CLIP + name in state else ()
    return shape[axis] if shape else published
