"""Configurations of Alibaba's GTE encoders as their authors published them, for transformers' own class of the model.

Their `config.json` is of the type "new" and names code in the repository (https://huggingface.co/Alibaba-NLP/new-impl),
which is not run. transformers has the architecture as `gte`, and knows the names of the published weights; only the
scaling of positions is said in other words. "ntk" with a factor f over heads of size d is a base f times as large with
all frequencies divided by f^(2/d) (https://kexue.fm/archives/9706, formula 6), which is transformers' "linear".
"""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, GteConfig

from multi2vec.convert.errors import SourceError

TYPE = "new"
# What transformers' class always does; a configuration that says otherwise is of another model.
FIXED = {
    "position_embedding_type": "rope",
    "layer_norm_type": "layer_norm",
    "logn_attention_scale": False,
    "pack_qkv": True,
}


class PublishedGteConfig(GteConfig):  # type: ignore[no-untyped-call]
    """A configuration of the type "new", which becomes one of the type "gte" when it is read."""

    model_type = TYPE

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **others: Any) -> Any:
        """transformers' `from_dict`. Raises `SourceError` for what its class cannot do."""
        return GteConfig.from_dict(translated(config_dict), **others)


def register() -> None:
    """Let transformers read the type "new"."""
    AutoConfig.register(TYPE, PublishedGteConfig, exist_ok=True)


def translated(published: dict[str, Any]) -> dict[str, Any]:
    """The configuration in the words of transformers' `GteConfig`. Raises `SourceError`."""
    for name, value in FIXED.items():
        if published.get(name, value) != value:
            raise SourceError(f"a GTE model with {name} = {published[name]!r} is not supported")
    config = {
        name: value for name, value in published.items() if name not in ("auto_map", "rope_scaling", "rope_theta")
    }
    config["model_type"] = GteConfig.model_type
    head = int(published["hidden_size"]) // int(published["num_attention_heads"])
    config["rope_parameters"] = _rope(published.get("rope_scaling"), float(published.get("rope_theta", 10000)), head)
    return config


def _rope(scaling: dict[str, Any] | None, theta: float, head: int) -> dict[str, Any]:
    if scaling is None:
        return {"rope_type": "default", "rope_theta": theta}
    if scaling.get("type") != "ntk" or scaling.get("mixed_b") is not None:
        raise SourceError(f"a GTE model with rope_scaling = {scaling!r} is not supported")
    factor = float(scaling["factor"])
    return {"rope_type": "linear", "rope_theta": theta * factor, "factor": factor ** (2 / head)}
