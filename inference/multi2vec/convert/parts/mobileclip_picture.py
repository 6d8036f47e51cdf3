"""The names that MobileCLIP's authors gave to the tensors of its picture encoder, which timm calls otherwise.

timm renames a checkpoint too, but takes what it does not know for something else's; here a checkpoint is held against
the names that it must have. The original counts everything between stem and last convolution in one list: for each
stage what makes the picture smaller, what adds positions, and the blocks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

State = Mapping[str, torch.Tensor]

HEAD, HEAD_BIAS = "head.fc.weight", "head.fc.bias"
RENAMED = (
    ("stem.", "patch_embed."),
    # Elsewhere these two are timm's own module in the original too.
    ("final_conv.se.fc1.", "conv_exp.se.reduce."),
    ("final_conv.se.fc2.", "conv_exp.se.expand."),
    ("final_conv.", "conv_exp."),
    ("conv_kxk.", "rbr_conv."),
    ("conv_scale.", "rbr_scale."),
    ("identity.", "rbr_skip."),
    ("large_conv.", "lkb_origin."),
    ("mlp.", "convffn."),
    (".gamma", ""),
)
STAGE = re.compile(r"stages\.(\d+)\.(downsample|pos_emb|blocks)\.")
IN_A_STAGE = ("downsample", "pos_emb", "blocks")


def original_names(state: State) -> dict[str, str]:
    """The original's name of each tensor of timm's model, but for the bias of the last layer, which it lacks."""
    places = _places(state)
    return {name: _original_name(name, places) for name in state if name != HEAD_BIAS}


def stored(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of timm's model in the shapes that the original stores, without the bias that it lacks."""
    state = model.state_dict()
    return {name: tensor.T if name == HEAD else tensor for name, tensor in state.items() if name != HEAD_BIAS}


def loadable(found: State) -> dict[str, torch.Tensor]:
    """The reverse: stored tensors, by timm's names, as its model takes them."""
    head = found[HEAD].T
    return {**found, HEAD: head, HEAD_BIAS: torch.zeros(len(head))}


def _places(state: State) -> dict[tuple[str, str], int]:
    """Where in the original's list each part of each stage stands."""
    found = {match.groups() for name in state if (match := STAGE.match(name))}
    ordered = sorted(found, key=lambda part: (int(part[0]), IN_A_STAGE.index(part[1])))
    return {(stage, part): place for place, (stage, part) in enumerate(ordered)}


def _original_name(name: str, places: Mapping[tuple[str, str], int]) -> str:
    if name == HEAD:
        return "head.proj"
    if match := STAGE.match(name):
        name = f"network.{places[match.groups()]}.{name[match.end() :]}"  # type: ignore[index]
        name = re.sub(r"^(network\.\d+)\.pos_enc\.", r"\1.pe.", name)
    for ours, theirs in RENAMED:
        name = name.replace(ours, theirs)
    return name
