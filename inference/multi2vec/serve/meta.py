"""What `/meta` says of the model and the server."""

from __future__ import annotations

import dataclasses
from typing import Any

from multi2vec import __version__
from multi2vec.manifest import Manifest
from multi2vec.serve.service import Service


class Meta:
    """Made once, since clients ask on every connect; only what changes is read anew."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._fixed = describe(service.manifest)

    def now(self) -> dict[str, Any]:
        """The JSON object."""
        service = self._service
        run = {
            "device": service.execution.device,
            "threads": service.execution.cpu_threads,
            "state": service.state,
            "towers": service.towers,
        }
        return {
            **self._fixed,
            "modalities": service.modalities,
            "execution": run,
            "truncated": service.metrics.truncated_items(),
        }


def describe(manifest: Manifest) -> dict[str, Any]:
    """What the manifest says, as far as callers need it; how inputs are prepared stands under `inputs` by modality."""
    return {
        "name": "multi2vec-openvino",
        "version": __version__,
        "tag": manifest.tag,
        "fingerprint": manifest.fingerprint,
        "description": manifest.description,
        "model": [{"name": source.name, "revision": source.revision} for source in manifest.sources],
        "family": manifest.family,
        "licence": manifest.licence,
        "non_commercial": manifest.non_commercial,
        "languages": manifest.languages,
        "dimensions": manifest.dimensions,
        "cut_dimensions": manifest.cut_dimensions,
        "normalised": manifest.normalise,
        "outputs": {
            modality: [{"name": each.name, "kind": each.kind} for each in manifest.tower(modality).outputs]
            for modality in manifest.modalities
        },
        "inputs": {modality: dataclasses.asdict(spec) for modality, spec in manifest.inputs.items()},
        "weights": manifest.precision,
        "parity": manifest.parity,
        "libraries": manifest.libraries,
    }
