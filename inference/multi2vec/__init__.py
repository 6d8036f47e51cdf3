"""multi2vec-openvino: text, pictures and video to vectors on OpenVINO.

    import multi2vec

    with multi2vec.open_model("demo") as model:
        vectors = model.embed(texts=["a red circle"]).rows

This is the public library. `multi2vec serve` puts the same engine behind HTTP.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multi2vec.engine.errors import (
        BadInput,
        ClientError,
        Closed,
        DeviceError,
        EmbedError,
        EncodeFailed,
        LoadError,
        Overloaded,
        TooLarge,
        Unavailable,
        Unsupported,
        WrongVectors,
    )
    from multi2vec.engine.rows import Sparse
    from multi2vec.engine.wanted import Embedded, Wanted
    from multi2vec.library import Model, open_model
    from multi2vec.manifest import Manifest, ManifestError

__version__ = "0.2.0"

__all__ = [
    "BadInput",
    "ClientError",
    "Closed",
    "DeviceError",
    "EmbedError",
    "Embedded",
    "EncodeFailed",
    "LoadError",
    "Manifest",
    "ManifestError",
    "Model",
    "Overloaded",
    "Sparse",
    "TooLarge",
    "Unavailable",
    "Unsupported",
    "Wanted",
    "WrongVectors",
    "__version__",
    "open_model",
]

# OpenVINO reports to its makers that it is used, from its import on, unless this package is missing. Nobody asked the
# people whose texts and pictures pass here.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

# The cheap ones first: `library` imports OpenVINO.
_HOMES = ("manifest", "engine.errors", "engine.wanted", "engine.rows", "library")


def __getattr__(name: str) -> Any:
    """Imported when first asked for: a health check or `multi2vec --help` needs neither numpy nor OpenVINO."""
    if name in __all__:
        for home in _HOMES:
            module = importlib.import_module(f"{__name__}.{home}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
