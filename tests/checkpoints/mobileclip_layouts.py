"""MobileCLIP-S0 as its authors published it: a torch file with their names of tensors.

No package has the original. Names and shapes are held against the original's in tests/convert/test_mobileclip.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from multi2vec.convert.families import mobileclip
from multi2vec.convert.families.mobileclip import Configuration
from multi2vec.convert.parts import mobileclip_picture
from tests.checkpoints import small_towers
from tests.checkpoints.catalogue_layouts import lively, pictures, settled

NAME = "mobileclip_s0"
SMALL: dict[str, Any] = {
    "embed_dim": 64,
    "image_cfg": {
        "image_size": small_towers.MCI_EDGE,
        "model_name": small_towers.fastvit_mci_small.__name__.removeprefix("fastvit_"),
    },
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "dim": 64,
        "ffn_multiplier_per_layer": 4.0,
        "n_heads_per_layer": 2,
        "n_transformer_layers": 2,
        "norm_layer": "layer_norm_fp32",
        "causal_masking": False,
        "model_name": "mct",
    },
}


def mobileclip_s0(folder: Path, sizes: dict[str, Any] | None = SMALL, scale: float = 0.3) -> Path:
    """A small one, 64 px; its sizes stand in a file beside it. `scale` is that of `lively`."""
    folder.mkdir(parents=True)
    path = folder / f"{NAME}.pt"
    if sizes is not None:
        path.with_suffix(".json").write_text(json.dumps(sizes))
    torch.manual_seed(0)
    torch.save(published(mobileclip.configuration_of(path), scale), path)
    return folder


def mobileclip_s0_real_size(folder: Path) -> Path:
    """One of the published size (54 million parameters)."""
    return mobileclip_s0(folder, sizes=None, scale=0.1)


def published(configuration: Configuration, scale: float) -> dict[str, torch.Tensor]:
    """Random weights by the published names."""
    model = mobileclip.Original(configuration)
    ids = torch.randint(configuration.text.vocabulary, (16, configuration.text.context))
    settled(
        lively(model, seed=1, scale=scale),
        lambda: (model.picture(pictures(configuration.edge)), model.encode_text(ids)),
    )
    text, picture = model.get_submodule("text"), model.get_submodule("picture")
    names = mobileclip_picture.original_names(picture.state_dict())
    return {
        "logit_scale": torch.tensor(100.0).log(),
        **{mobileclip.TEXT + name: tensor for name, tensor in text.state_dict().items()},
        **{mobileclip.PICTURE + names[name]: each for name, each in mobileclip_picture.stored(picture).items()},
    }
