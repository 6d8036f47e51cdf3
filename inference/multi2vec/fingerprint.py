"""The fingerprint: what a model's vectors depend on, as a hash. Standard library only."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

# Weights of so many bits move vectors further than arithmetic does.
COMPRESSED = ("int8", "int4")


def fingerprint(
    *,
    weights: str,
    inputs: Mapping[str, Any],
    files: Mapping[str, str],
    outputs: Mapping[str, Iterable[Any]],
    normalise: bool,
    stored: str,
) -> str:
    """16 hexadecimal digits: equal when vectors can be compared, for all that is known.

    Vectors depend on the original weights (a hash), on how inputs are prepared (specs by modality, and the checksums of
    the files that they name), on the towers' outputs (specs by tower) and on normalisation. Versions of libraries, the
    precision of arithmetic, whether weights are stored in 32 or in 16 bits, and the tag are left out: parity holds
    those vectors to the original's, at a cosine of 0.999 or more. Weights in 8 or 4 bits are further away than that:
    neighbours change places, and a collection and its queries should not be mixed of both.
    """
    parts: dict[str, Any] = {
        "weights": weights,
        "inputs": {
            modality: {"spec": _changed(spec), "files": [files.get(name) for name in spec.files]}
            for modality, spec in inputs.items()
        },
        "outputs": {tower: [_changed(output) for output in each] for tower, each in outputs.items()},
        "normalise": normalise,
    }
    if stored in COMPRESSED:
        parts["stored"] = stored
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _changed(value: Any) -> Any:
    """A spec's fields that differ from their defaults, and so on for specs within it: an optional key that a later
    version adds changes no fingerprint."""
    if isinstance(value, Mapping):
        return {name: _changed(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_changed(each) for each in value]
    if not dataclasses.is_dataclass(value):
        return value
    fields = {each.name: each for each in dataclasses.fields(value)}
    return {name: _changed(getattr(value, name)) for name, each in fields.items() if not _is_default(value, each)}


def _is_default(spec: Any, field: dataclasses.Field[Any]) -> bool:
    default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    return bool(getattr(spec, field.name) == default)
