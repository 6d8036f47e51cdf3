"""multi2vec-openvino: text, pictures and video to vectors, one compiled model per container image."""

import sys

__version__ = "0.1.0"

# OpenVINO reports to its makers that it is used, from its import on, unless this package is missing. Nobody asked the
# people whose texts and pictures pass here.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
