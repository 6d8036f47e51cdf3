"""The fingerprint: what a model's vectors depend on, as a hash. Standard library only."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multi2vec.manifest import Manifest


def fingerprint_of(manifest: Manifest) -> str:
    """16 hexadecimal digits: equal when vectors can be compared, for all that is known.

    They depend on the original weights, on how inputs are prepared (specs, tokenizer), on the outputs and on
    normalisation. Versions of libraries, the precision of weights and arithmetic and the tag are left out: parity holds
    those vectors to the original's.
    """
    inputs = {
        modality: {"spec": _changed(spec), "files": [manifest.files.get(name) for name in spec.files]}
        for modality, spec in manifest.inputs.items()
    }
    outputs = {name: [_changed(output) for output in tower.outputs] for name, tower in manifest.towers.items()}
    parts = {"weights": manifest.weights, "inputs": inputs, "outputs": outputs, "normalise": manifest.normalise}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _changed(spec: Any) -> dict[str, Any]:
    """The fields that differ from their defaults: an optional key that a later version adds changes no fingerprint."""
    values = dataclasses.asdict(spec)
    for each in dataclasses.fields(spec):
        default = each.default_factory() if each.default_factory is not dataclasses.MISSING else each.default
        if values[each.name] == default:
            del values[each.name]
    return values
