"""Whether the weights that are exported are those of the checkpoint, all of them, and their hash.

The original libraries fill in what a checkpoint lacks with random numbers, leave out what they do not know and resize
what does not fit; all of that passes for a model. Here it is refused. What a library itself declares as ignorable, such
as the `position_ids` of older checkpoints, is not in what it reports, and stays allowed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.utils import logging

from multi2vec.convert.errors import SourceError
from multi2vec.convert.model import Model

# Each loading of weights would have a bar of its own, which lasts a moment and leaves a line.
logging.disable_progress_bar()  # type: ignore[no-untyped-call]

State = Mapping[str, torch.Tensor]

SHOWN = 3
HASHED_AT_ONCE = 2**22


def load_proved(kind: Any, folder: Path, *, dtype: torch.dtype = torch.float32, left_out: tuple[str, ...] = ()) -> Any:
    """A model of transformers with exactly the checkpoint's weights; `kind` is its class, or an `AutoModel`.

    `left_out` is what the names of weights begin with that the checkpoint may have though the model has not: another
    head, for instance. Raises `SourceError`.
    """
    model, info = kind.from_pretrained(folder, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True)
    known = [name for name in info["unexpected_keys"] if not name.startswith(left_out)] if left_out else None
    check_loading(info if known is None else {**info, "unexpected_keys": known}, str(folder))
    return model


def check_loading(info: Mapping[str, Any], where: str) -> None:
    """Refuse what transformers reports (`output_loading_info`) unless all was loaded. Raises `SourceError`."""
    mismatched = [f"{name} {list(found)} for {list(needed)}" for name, found, needed in info["mismatched_keys"]]
    _refuse(where, info["missing_keys"], info["unexpected_keys"], [*mismatched, *info["error_msgs"]])


def check_state(found: State, needed: State, where: str) -> None:
    """Refuse a checkpoint's tensors unless they are those that a module needs, in name and shape.

    A single number may be a scalar or a vector of one. Raises `SourceError`.
    """
    mismatched = [
        f"{name} {list(found[name].shape)} for {list(needed[name].shape)}"
        for name in found.keys() & needed.keys()
        if found[name].shape != needed[name].shape and (found[name].numel(), needed[name].numel()) != (1, 1)
    ]
    _refuse(where, needed.keys() - found.keys(), found.keys() - needed.keys(), mismatched)


def check_equal(loaded: State, proved: State, where: str) -> None:
    """Refuse weights that a library loaded unless they equal those whose loading was proved. Raises `SourceError`."""
    check_state(loaded, proved, where)
    differing = [name for name in proved if not torch.equal(loaded[name].float(), proved[name].float())]
    if differing:
        raise SourceError(f"{where}: the weights that were loaded differ from the checkpoint's: {_some(differing)}")


def model_type(folder: Path) -> str | None:
    """The type of model that the folder's `config.json` states."""
    path = folder / "config.json"
    found: str | None = json.loads(path.read_text(encoding="utf-8")).get("model_type") if path.is_file() else None
    return found


def check_model_type(folder: Path, wanted: str) -> None:
    """Refuse a `config.json` of another kind of model, which transformers would only warn of. Raises `SourceError`."""
    path = folder / "config.json"
    found = model_type(folder)
    if path.is_file() and found != wanted:
        raise SourceError(f"{path} is of a model of the type {found!r}, not {wanted!r}; is the recipe's family right?")


def check_architecture(model: Any, where: str) -> None:
    """Refuse a model of transformers whose configuration says that it is of another class of that library: some types
    name their tensors alike. Raises `SourceError`."""
    kind = type(model).__name__.removesuffix("Model")
    stated = [name for name in getattr(model.config, "architectures", None) or () if hasattr(transformers, name)]
    if stated and not any(name.startswith(kind) for name in stated):
        raise SourceError(
            f"{where} is of the type {model.config.model_type!r}, but of the architecture {' and '.join(stated)}"
        )


def digest(model: Model) -> str:
    """A hash (sha256, hexadecimal) of the original weights in float32.

    Neither the names of tensors nor their order nor how often one is there count, so that it stays the same when a
    newer version of a library names them otherwise.
    """
    seen: set[int] = set()
    found: set[str] = set()
    for tower in model.towers.values():
        for tensor in tower.module.state_dict().values():
            # Numbers of positions and the like are no weights. A module that two towers share is read once.
            if tensor.is_floating_point() and tensor.data_ptr() not in seen:
                seen.add(tensor.data_ptr())
                found.add(_tensor_digest(tensor))
    return hashlib.sha256("".join(sorted(found)).encode()).hexdigest()


def _tensor_digest(tensor: torch.Tensor) -> str:
    found = hashlib.sha256(str(tuple(tensor.shape)).encode())
    # In pieces: the table of a large vocabulary would be gigabytes in float32.
    for piece in torch.split(tensor.detach().flatten(), HASHED_AT_ONCE):
        found.update(piece.to("cpu", torch.float32).numpy().data)
    return found.hexdigest()


def _refuse(where: str, missing: Iterable[str], unexpected: Iterable[str], mismatched: Iterable[str]) -> None:
    faults = {"missing": missing, "unexpected": unexpected, "of another shape": mismatched}
    found = [f"{what}: {_some(names)}" for what, each in faults.items() if (names := sorted(each))]
    if found:
        raise SourceError(f"{where} does not hold this model's weights: {'; '.join(found)}")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
