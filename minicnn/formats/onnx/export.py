"""Each layer as nodes of an ONNX graph.

Functions ``f(graph, layer, context)`` add the nodes and return the name of their output.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minicnn.errors import WeightsError
from minicnn.formats.onnx.export_norms import NORM_NODES
from minicnn.formats.onnx.maps import export as maps
from minicnn.formats.onnx.maps.export import add_pad
from minicnn.formats.onnx.pointwise.export import ACTIVATION_NODES, single_node
from minicnn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    LocalResponseNorm,
    LogSoftmax,
    MaxPool2d,
    Permute,
    Reshape,
    Softmax,
)
from minicnn.shapes import IntPair, Sides, pair, sides, span

if TYPE_CHECKING:
    from minicnn.formats.onnx.writer import ExportContext, Graph

__all__ = ["NODES"]

# the layer is of the class that NODES names
_Export: TypeAlias = "Callable[[Graph, Any, ExportContext], str]"


def _add_parameters(graph: Graph, layer: Layer, context: ExportContext) -> list[str]:
    return [graph.constant(f"{context.path}.{name}", array) for name, array in layer.state().items()]


def _pads(padding: Sides) -> list[int]:
    """Return ((top, bottom), (left, right)) in ONNX's order: all that comes before, then all that comes after."""
    (top, bottom), (left, right) = padding
    return [top, left, bottom, right]


def _window_attributes(layer: ConvTranspose2d | MaxPool2d | AvgPool2d) -> dict[str, Any]:
    return {"kernel_shape": layer.kernel_size, "strides": layer.stride, "pads": _pads(sides(layer.padding))}


def _conv(graph: Graph, layer: Conv2d, context: ExportContext) -> str:
    attributes: dict[str, Any] = {
        "kernel_shape": layer.kernel_size,
        "strides": layer.stride,
        "dilations": layer.dilation,
    }
    # "same" depends on the input's size: where that is open, whoever runs the file must compute it
    if layer.padding == "same" and graph.open_size:
        attributes["auto_pad"] = "SAME_UPPER"
    else:
        _, height, width = context.shape
        attributes["pads"] = _pads(layer.geometry((height, width))["padding"])
    inputs = [context.x, *_add_parameters(graph, layer, context)]
    return graph.node("Conv", context.path, inputs, group=layer.groups, **attributes)


def _conv_transpose(graph: Graph, layer: ConvTranspose2d, context: ExportContext) -> str:
    inputs = [context.x, *_add_parameters(graph, layer, context)]
    attributes = _window_attributes(layer) | {"dilations": layer.dilation, "output_padding": layer.output_padding}
    return graph.node("ConvTranspose", context.path, inputs, group=layer.groups, **attributes)


def _linear(graph: Graph, layer: Linear, context: ExportContext) -> str:
    return graph.node("Gemm", context.path, [context.x, *_add_parameters(graph, layer, context)], transB=1)


def _max_pool(graph: Graph, layer: MaxPool2d, context: ExportContext) -> str:
    dilation = pair(layer.dilation, "dilation")
    x, pads = context.x, _extend(sides(layer.padding), _tail(graph, layer, context, dilation))
    kernel = pair(layer.kernel_size, "kernel_size")
    # kernel * 2 is in the order of the pads: rows, columns, rows, columns
    if any(pad >= k for pad, k in zip(pads, kernel * 2, strict=True)):  # which onnxruntime refuses
        x, pads = add_pad(graph, f"{context.path}_pad", x, pads, -np.inf), [0] * 4
    attributes = _window_attributes(layer) | {"dilations": dilation, "pads": pads}
    return graph.node("MaxPool", context.path, [x], **attributes)


def _avg_pool(graph: Graph, layer: AvgPool2d, context: ExportContext) -> str:
    tail, x, padding = _tail(graph, layer, context), context.x, sides(layer.padding)
    counts_padding = layer.count_include_pad and padding != ((0, 0), (0, 0))
    if counts_padding and any(tail):
        # padding counts and the tail does not: zeros are written for the one, pads for the other
        x = add_pad(graph, f"{context.path}_pad", x, _pads(padding))
        padding, counts_padding = ((0, 0), (0, 0)), False
    pads = {"pads": _extend(padding, tail), "count_include_pad": int(counts_padding)}
    return graph.node("AveragePool", context.path, [x], **(_window_attributes(layer) | pads))


def _tail(
    graph: Graph, layer: MaxPool2d | AvgPool2d, context: ExportContext, dilation: IntPair = (1, 1)
) -> IntPair:
    """Return by how many rows and columns ceil_mode's last windows pass the end: ONNX versions differ there."""
    if not layer.ceil_mode:
        return 0, 0
    if graph.open_size:
        raise WeightsError(
            f"layer {context.path!r}: ceil_mode needs the input's size; set the network's input_shape"
        )
    geometry = zip(
        context.shape[1:],
        layer.output_shape(context.shape)[1:],
        pair(layer.kernel_size, "kernel_size"),
        pair(layer.kernel_size if layer.stride is None else layer.stride, "stride"),
        sides(layer.padding),
        dilation,
        strict=True,
    )
    # the last window ends at (out - 1) s + span, the padded input at n + before + after
    rows, columns = (
        max((out - 1) * s + span(k, d) - (n + before + after), 0) for n, out, k, s, (before, after), d in geometry
    )
    return rows, columns


def _extend(padding: Sides, tail: IntPair) -> list[int]:
    """Return the pads with ``tail`` more rows and columns after the end."""
    (top, bottom), (left, right) = padding
    return [top, left, bottom + tail[0], right + tail[1]]


def _batch_norm(graph: Graph, layer: BatchNorm2d, context: ExportContext) -> str:
    ones, zeros = np.ones(layer.num_features, graph.dtype), np.zeros(layer.num_features, graph.dtype)
    # the operator wants weight and bias always, in this order, before mean and variance
    arrays = {"weight": ones, "bias": zeros} | layer.state()
    inputs = [context.x, *(graph.constant(f"{context.path}.{name}", array) for name, array in arrays.items())]
    return graph.node("BatchNormalization", context.path, inputs, epsilon=float(layer.eps))


def _local_response_norm(graph: Graph, layer: LocalResponseNorm, context: ExportContext) -> str:
    if layer.size % 2:
        constants = {"alpha": float(layer.alpha), "beta": float(layer.beta), "bias": float(layer.k)}
        return graph.node("LRN", context.path, [context.x], size=layer.size, **constants)
    return _even_local_response_norm(graph, layer, context)


def _even_local_response_norm(graph: Graph, layer: LocalResponseNorm, context: ExportContext) -> str:
    """Spell out the normalisation in nodes: ONNX centres a window of even length differently."""

    def add(op_type: str, name: str, *inputs: str, **attributes: Any) -> str:
        return graph.node(op_type, f"{context.path}_{name}", list(inputs), **attributes)

    def add_constant(name: str, values: Any) -> str:
        return graph.constant(f"{context.path}.{name}", np.array(values))

    # the window of channel c is c - before ... c + after
    before, after = layer.size // 2, (layer.size - 1) // 2
    # (N, 1, C, H, W): the channels become the first of three axes that an average pool runs over
    axis = add_constant("axis", [1])
    squares = add("Unsqueeze", "rows", add("Mul", "squares", context.x, context.x), axis)
    padded = add("Pad", "pad", squares, add_constant("pads", [0, 0, before, 0, 0, 0, 0, after, 0, 0]))
    means = add("Squeeze", "means", add("AveragePool", "windows", padded, kernel_shape=[layer.size, 1, 1]), axis)
    # y = x / (k + alpha mean(x^2))^beta
    for op_type, name in (("Mul", "alpha"), ("Add", "k"), ("Pow", "beta")):
        means = add(op_type, name, means, add_constant(name, graph.dtype.type(getattr(layer, name))))
    return graph.node("Div", context.path, [context.x, means])


def _dropout(graph: Graph, layer: Dropout, context: ExportContext) -> str:
    ratio = graph.constant(f"{context.path}.ratio", np.array(layer.p))
    return graph.node("Dropout", context.path, [context.x, ratio])


def _reshape(graph: Graph, layer: Reshape, context: ExportContext) -> str:
    # 0 keeps the batch
    target = graph.constant(f"{context.path}.shape", np.array([0, *layer.shape], np.int64))
    return graph.node("Reshape", context.path, [context.x, target])


def _flatten(graph: Graph, layer: Flatten, context: ExportContext) -> str:
    return graph.node("Flatten", context.path, [context.x], axis=1)


def _permute(graph: Graph, layer: Permute, context: ExportContext) -> str:
    return graph.node("Transpose", context.path, [context.x], perm=[0, *(axis + 1 for axis in layer.axes)])


_NODES: dict[type[Layer], _Export] = {
    **ACTIVATION_NODES,
    **NORM_NODES,
    AvgPool2d: _avg_pool,
    BatchNorm2d: _batch_norm,
    Conv2d: _conv,
    ConvTranspose2d: _conv_transpose,
    Dropout: _dropout,
    Flatten: _flatten,
    GlobalAvgPool2d: single_node("GlobalAveragePool"),
    Linear: _linear,
    LocalResponseNorm: _local_response_norm,
    LogSoftmax: single_node("LogSoftmax", axis=1),
    MaxPool2d: _max_pool,
    Permute: _permute,
    Reshape: _reshape,
    Softmax: single_node("Softmax", axis=1),
}

NODES = _NODES | maps.NODES
