"""What `/meta` says of the model and the server."""

from __future__ import annotations

from typing import Any

from inference import __version__
from inference.serve.service import Service


class Meta:
    """Made once, since clients ask on every connect; only the counts are read anew."""

    def __init__(self, service: Service) -> None:
        self._service = service
        manifest = service.manifest
        self._fixed: dict[str, Any] = {
            "name": "multi2vec-openvino",
            "version": __version__,
            "tag": manifest.tag,
            "description": manifest.description,
            "model": [{"name": source.name, "revision": source.revision} for source in manifest.sources],
            "family": manifest.family,
            "licence": manifest.licence,
            "languages": manifest.languages,
            "modalities": manifest.modalities,
            "dimensions": manifest.dimensions,
            "normalised": manifest.normalise,
            "weights": manifest.precision,
            "parity": manifest.parity,
            "libraries": manifest.libraries,
        }
        if manifest.text is not None:
            self._fixed["text"] = {"max_tokens": manifest.text.max_length, "too_long": "cut at the end"}
        if manifest.image is not None:
            self._fixed["image"] = {
                "height": manifest.image.height,
                "width": manifest.image.width,
                "exif_orientation": manifest.image.exif_orientation,
                "transparency": manifest.image.transparency,
            }

    def now(self) -> dict[str, Any]:
        """The JSON object."""
        service = self._service
        run = {
            "device": service.execution.device,
            "precision": service.precision,
            "threads": service.execution.threads,
            "streams": service.streams,
            "state": service.state,
        }
        return {**self._fixed, "execution": run, "truncated_texts": service.metrics.truncated_texts}
