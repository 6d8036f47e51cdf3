"""From a tower's torch module to an OpenVINO graph, which shares the module's memory."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import openvino as ov
import torch
from openvino.frontend.pytorch import patch_model

from multi2vec.convert.errors import ConversionError, one_line
from multi2vec.convert.model import Tower
from multi2vec.convert.sixteen_bits import SIXTEEN_BITS

# The attribute in which OpenVINO keeps a patched module's own `forward`; it looks for this one itself too.
OWN_FORWARD = "_openvino_module_extension_patch_orig_forward"


def trace(name: str, tower: Tower) -> ov.Model:
    """The graph, in float32 arithmetic, with the inputs' and outputs' names that the tower states.

    Weights stay in the precision that the module has them in. Raises `ConversionError` when the module cannot be
    traced, or its outputs are others than the tower says.
    """
    shapes = [_module_shape(tower, index) for index in range(len(tower.inputs))]
    with warnings.catch_warnings(), _traceable(tower.module.eval()):
        # The tracer warns of every condition on a shape; the dynamic sizes are proved by parity instead.
        warnings.simplefilter("ignore")
        graph = _converted(name, tower, shapes)
    for port, spec in zip(graph.inputs, tower.inputs, strict=True):
        port.get_tensor().set_names({spec.name})
        port.get_node().set_friendly_name(spec.name)
    for port, output in zip(graph.outputs, tower.outputs, strict=False):
        port.get_tensor().set_names({output.name})
    _check_outputs(name, graph, tower)
    return graph


def _converted(name: str, tower: Tower, shapes: list[ov.PartialShape]) -> ov.Model:
    try:
        return ov.convert_model(tower.module, example_input=tower.example, input=shapes)
    except Exception as error:
        # OpenVINO puts many words around what a module itself says.
        own = error.__context__
        reason = own if isinstance(own, ConversionError) else error
        raise ConversionError(f"the tower {name!r} cannot be traced: {one_line(reason)}") from error


@contextlib.contextmanager
def _traceable(module: torch.nn.Module) -> Iterator[None]:
    """While it lasts, linear layers and tables with weights in 16 bits become part of the graph as they are, and all
    around them is computed in float32."""
    if not any(each.dtype in SIXTEEN_BITS for each in module.state_dict().values()):
        yield
        return
    patch_model.__make_16bit_traceable(module, OWN_FORWARD)
    try:
        yield
    finally:
        patch_model.unpatch_model(module, OWN_FORWARD)


def _module_shape(tower: Tower, index: int) -> ov.PartialShape:
    """The shape that the module itself sees: channels first where the graph's pixels have them last."""
    shape = [-1 if size is None else size for size in tower.inputs[index].shape]
    if tower.scaling is not None and index == 0:
        shape = [shape[0], shape[3], shape[1], shape[2]]
    return ov.PartialShape(shape)


def _check_outputs(name: str, graph: ov.Model, tower: Tower) -> None:
    """The graph's real outputs against what the manifest will say of them."""
    if len(graph.outputs) != len(tower.outputs):
        raise ConversionError(f"the tower {name!r} has {len(graph.outputs)} outputs, not {len(tower.outputs)}")
    for port, output in zip(graph.outputs, tower.outputs, strict=True):
        shape = [-1, -1] if output.kind == "sparse" else [-1, *([-1] * (output.kind == "tokens")), output.dimensions]
        found = port.get_partial_shape()
        if not found.compatible(ov.PartialShape(shape)):
            raise ConversionError(
                f"the tower {name!r} gives {output.name!r} in the shape {found}, not {ov.PartialShape(shape)}"
            )
