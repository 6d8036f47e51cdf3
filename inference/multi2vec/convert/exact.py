"""Numbers that have to stay float32 whatever weights are stored as: those that angles are made of, and those that scale
pixels.

Rotary positions (arXiv 2104.09864) are sines and cosines of position × frequency. A frequency in float16 is off by up
to 1/2048 of itself, so that at position 1,000 an angle may be wrong by half a radian, and vectors of long texts with
it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as opset

Numbers = npt.NDArray[np.float32]

ANGLES = ("Sin", "Cos")
# What is done to pixels before the first layer.
SCALING = ("Convert", "Subtract", "Add", "Multiply", "Divide", "Reshape", "Transpose", "Unsqueeze")
# Frequencies are a line of numbers. The search also meets tables of embeddings, whose length of a text it asks for.
LONGEST = 4096


def frequencies(graph: ov.Model) -> dict[str, Numbers]:
    """The float32 constants that sines and cosines depend on, by name."""
    found: dict[str, Numbers] = {}
    for node in graph.get_ordered_ops():
        if node.get_type_name() in ANGLES:
            for constant in _constants_behind(node):
                if _is_line(constant):
                    found |= _floats([constant])
    return found


def numbers(graph: ov.Model) -> dict[str, Numbers]:
    """All constants that have to stay float32, by name."""
    return {**frequencies(graph), **scales(graph)}


def scales(graph: ov.Model) -> dict[str, Numbers]:
    """The float32 constants that uint8 inputs are scaled with, by name."""
    found: dict[str, Numbers] = {}
    waiting = [each for each in graph.get_parameters() if each.get_element_type() == ov.Type.u8]
    while waiting:
        for port in waiting.pop().output(0).get_target_inputs():
            node = port.get_node()
            if node.get_type_name() in SCALING:
                waiting.append(node)
                sources = [node.input_value(index).get_node() for index in range(node.get_input_size())]
                found |= _floats(sources)
    return found


def _floats(nodes: Sequence[Any]) -> dict[str, Numbers]:
    return {
        node.get_friendly_name(): np.array(node.data, dtype=np.float32)
        for node in nodes
        if node.get_type_name() == "Constant" and node.get_element_type() == ov.Type.f32
    }


def restore(graph: ov.Model, exact: Mapping[str, Numbers]) -> None:
    """Put these constants back where saving made float16 of them. It left their names to what converts them back."""
    for node in graph.get_ordered_ops():
        name = node.get_friendly_name()
        if node.get_type_name() == "Convert" and name in exact:
            constant = opset.constant(exact[name])
            for port in node.output(0).get_target_inputs():
                port.replace_source_output(constant.output(0))


def _constants_behind(node: Any) -> Iterator[Any]:
    seen: set[str] = set()
    waiting = [node]
    while waiting:
        each = waiting.pop()
        for index in range(each.get_input_size()):
            source = each.input_value(index).get_node()
            if source.get_friendly_name() in seen:
                continue
            seen.add(source.get_friendly_name())
            if source.get_type_name() == "Constant":
                yield source
            waiting.append(source)


def _is_line(constant: Any) -> bool:
    shape = list(constant.get_output_shape(0))
    return int(np.prod(shape)) <= LONGEST and sum(size > 1 for size in shape) <= 1
