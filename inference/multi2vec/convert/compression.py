"""How a graph's weights are stored: in floats, or compressed to whole numbers of 8 or 4 bits with scales.

Only weights: arithmetic and what flows between layers stay in floats. Compression is by nncf
(https://github.com/openvinotoolkit/nncf), from the weights alone, without any data.

int8 has a scale and a zero point per channel: on the weights of all-MiniLM-L6-v2 the smallest cosine to the original of
some 270 texts was 0.9982, without zero points 0.9966. int4 has them per group of 32 numbers (0.92; groups of 128 gave
0.84 and 1.5 % smaller files there); tables of embeddings and the last layer have int8.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import Any

import numpy as np
import openvino as ov
import torch
from openvino import opset13 as opset
from rich.console import Console

from multi2vec.manifest import Stored

GROUP = 32


def compress(graph: ov.Model, stored: Stored, console: Console) -> ov.Model:
    """The graph with weights as they are to be stored, as far as saving does not do it: that makes float16 of float32.

    On a terminal a bar shows how far it is.
    """
    if stored in ("int8", "int4"):
        return _compressed(graph, stored, console)
    if stored == "fp16":
        _to_float16(graph)
    return graph


def _compressed(graph: ov.Model, stored: Stored, console: Console) -> ov.Model:
    # Its bar goes to where ours go, or nowhere.
    output = console.file if console.is_terminal else io.StringIO()
    with contextlib.redirect_stdout(output), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Here, since it takes seconds to import and most conversions do without.
        import nncf

        nncf.set_log_level(logging.ERROR)
        compressed: ov.Model = nncf.compress_weights(graph, **_settings(nncf, stored))
    return compressed


def _settings(nncf: Any, stored: Stored) -> dict[str, Any]:
    if stored == "int8":
        return {"mode": nncf.CompressWeightsMode.INT8_ASYM}
    # A layer whose width is no multiple of the group has int8 too.
    fallback = nncf.AdvancedCompressionParameters(group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST)
    return {
        "mode": nncf.CompressWeightsMode.INT4_ASYM,
        "group_size": GROUP,
        "backup_mode": nncf.BackupMode.INT8_ASYM,
        "advanced_parameters": fallback,
    }


def _to_float16(graph: ov.Model) -> None:
    """Make float16 of the bfloat16 constants whose numbers it can hold; others stay, in as many bits."""
    for node in graph.get_ordered_ops():
        if node.get_type_name() == "Constant" and node.get_element_type() == ov.Type.bf16:
            half = _float16(node)
            if half is not None:
                _replace(node, opset.constant(half, shared_memory=True))


def _float16(constant: Any) -> np.ndarray[Any, np.dtype[np.float16]] | None:
    """The constant's numbers as float16, or None where one is too large."""
    # numpy has no bfloat16: it shows the bits.
    bits = np.array(constant.data, copy=False).view(np.int16)
    with warnings.catch_warnings():
        # That they must not be written to; they are only read.
        warnings.simplefilter("ignore")
        half = torch.from_numpy(bits).view(torch.bfloat16).to(torch.float16)
    return half.numpy() if bool(half.isfinite().all()) else None


def _replace(constant: Any, other: Any) -> None:
    other.set_friendly_name(constant.get_friendly_name())
    for port in constant.output(0).get_target_inputs():
        port.replace_source_output(other.output(0))
        # What converts it to float32 was made for the other type.
        port.get_node().validate_and_infer_types()
