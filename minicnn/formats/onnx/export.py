"""Each layer as nodes of an ONNX graph.

Functions ``f(layer, at)`` add the nodes and return the name of their output.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import layers as nn
from minicnn.formats.onnx.context import Export, ExportContext, node_of
from minicnn.formats.onnx.export_norms import NORM_NODES
from minicnn.formats.onnx.maps.export import MAP_NODES
from minicnn.formats.onnx.pointwise.export import ACTIVATION_NODES
from minicnn.layers import Layer
from minicnn.shapes import IntPair, Sides, pair, sides, span

__all__ = ["NODES"]


def _pads(padding: Sides) -> list[int]:
    """Return ((top, bottom), (left, right)) in ONNX's order: all that comes before, then all that comes after."""
    (top, bottom), (left, right) = padding
    return [top, left, bottom, right]


def _window_attributes(layer: nn.ConvTranspose2d | nn.MaxPool2d | nn.AvgPool2d) -> dict[str, Any]:
    return {"kernel_shape": layer.kernel_size, "strides": layer.stride, "pads": _pads(sides(layer.padding))}


def _conv(layer: nn.Conv2d, at: ExportContext) -> str:
    attributes: dict[str, Any] = {
        "kernel_shape": layer.kernel_size,
        "strides": layer.stride,
        "dilations": layer.dilation,
    }
    # "same" depends on the input's size: where that is open, whoever runs the file must compute it
    if layer.padding == "same" and at.graph.open_size:
        attributes["auto_pad"] = "SAME_UPPER"
    else:
        _, height, width = at.shape
        attributes["pads"] = _pads(layer.geometry((height, width))["padding"])
    return at.node("Conv", at.x, *at.constants(layer.state()), group=layer.groups, **attributes)


def _conv_transpose(layer: nn.ConvTranspose2d, at: ExportContext) -> str:
    attributes = _window_attributes(layer) | {"dilations": layer.dilation, "output_padding": layer.output_padding}
    return at.node("ConvTranspose", at.x, *at.constants(layer.state()), group=layer.groups, **attributes)


def _linear(layer: nn.Linear, at: ExportContext) -> str:
    return at.node("Gemm", at.x, *at.constants(layer.state()), transB=1)


def _max_pool(layer: nn.MaxPool2d, at: ExportContext) -> str:
    dilation = pair(layer.dilation, "dilation")
    x, pads = at.x, _extend(sides(layer.padding), _tail(layer, at, dilation))
    kernel = pair(layer.kernel_size, "kernel_size")
    # kernel * 2 is in the order of the pads: rows, columns, rows, columns
    if any(pad >= k for pad, k in zip(pads, kernel * 2, strict=True)):  # which onnxruntime refuses
        x, pads = at.pad(x, pads, -np.inf, part="pad"), [0] * 4
    attributes = _window_attributes(layer) | {"dilations": dilation, "pads": pads}
    return at.node("MaxPool", x, **attributes)


def _avg_pool(layer: nn.AvgPool2d, at: ExportContext) -> str:
    tail, x, padding = _tail(layer, at), at.x, sides(layer.padding)
    counts_padding = layer.count_include_pad and padding != ((0, 0), (0, 0))
    if counts_padding and any(tail):
        # padding counts and the tail does not: zeros are written for the one, pads for the other
        x = at.pad(x, _pads(padding), part="pad")
        padding, counts_padding = ((0, 0), (0, 0)), False
    pads = {"pads": _extend(padding, tail), "count_include_pad": int(counts_padding)}
    return at.node("AveragePool", x, **(_window_attributes(layer) | pads))


def _tail(layer: nn.MaxPool2d | nn.AvgPool2d, at: ExportContext, dilation: IntPair = (1, 1)) -> IntPair:
    """Return by how many rows and columns ceil_mode's last windows pass the end: ONNX versions differ there."""
    if not layer.ceil_mode:
        return 0, 0
    if at.graph.open_size:
        raise at.error("ceil_mode needs the input's size; set the network's input_shape")
    geometry = zip(
        at.shape[1:],
        layer.output_shape(at.shape)[1:],
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


def _batch_norm(layer: nn.BatchNorm2d, at: ExportContext) -> str:
    ones, zeros = np.ones(layer.num_features, at.dtype), np.zeros(layer.num_features, at.dtype)
    # the operator wants weight and bias always, in this order, before mean and variance
    arrays = {"weight": ones, "bias": zeros} | layer.state()
    return at.node("BatchNormalization", at.x, *at.constants(arrays), epsilon=float(layer.eps))


def _local_response_norm(layer: nn.LocalResponseNorm, at: ExportContext) -> str:
    if layer.size % 2:
        alpha, beta, bias = float(layer.alpha), float(layer.beta), float(layer.k)
        return at.node("LRN", at.x, size=layer.size, alpha=alpha, beta=beta, bias=bias)
    return _even_local_response_norm(layer, at)


def _even_local_response_norm(layer: nn.LocalResponseNorm, at: ExportContext) -> str:
    """Spell out the normalisation in nodes: ONNX centres a window of even length differently."""
    # the window of channel c is c - before ... c + after
    before, after = layer.size // 2, (layer.size - 1) // 2
    # (N, 1, C, H, W): the channels become the first of three axes that an average pool runs over
    axis = at.integers("axis", [1])
    squares = at.node("Unsqueeze", at.node("Mul", at.x, at.x, part="squares"), axis, part="rows")
    pads = at.integers("pads", [0, 0, before, 0, 0, 0, 0, after, 0, 0])
    padded = at.node("Pad", squares, pads, part="pad")
    windows = at.node("AveragePool", padded, part="windows", kernel_shape=[layer.size, 1, 1])
    means = at.node("Squeeze", windows, axis, part="means")
    # y = x / (k + alpha mean(x^2))^beta
    for op_type, name in (("Mul", "alpha"), ("Add", "k"), ("Pow", "beta")):
        constant = at.constant(name, at.dtype.type(getattr(layer, name)))
        means = at.node(op_type, means, constant, part=name)
    return at.node("Div", at.x, means)


def _dropout(layer: nn.Dropout, at: ExportContext) -> str:
    return at.node("Dropout", at.x, at.constant("ratio", layer.p))


def _reshape(layer: nn.Reshape, at: ExportContext) -> str:
    # 0 keeps the batch
    return at.node("Reshape", at.x, at.integers("shape", [0, *layer.shape]))


def _permute(layer: nn.Permute, at: ExportContext) -> str:
    return at.node("Transpose", at.x, perm=[0, *(axis + 1 for axis in layer.axes)])


NODES: dict[type[Layer], Export] = {
    **ACTIVATION_NODES,
    **MAP_NODES,
    **NORM_NODES,
    nn.AvgPool2d: _avg_pool,
    nn.BatchNorm2d: _batch_norm,
    nn.Conv2d: _conv,
    nn.ConvTranspose2d: _conv_transpose,
    nn.Dropout: _dropout,
    nn.Flatten: node_of("Flatten", axis=1),
    nn.GlobalAvgPool2d: node_of("GlobalAveragePool"),
    nn.Linear: _linear,
    nn.LocalResponseNorm: _local_response_norm,
    nn.LogSoftmax: node_of("LogSoftmax", axis=1),
    nn.MaxPool2d: _max_pool,
    nn.Permute: _permute,
    nn.Reshape: _reshape,
    nn.Softmax: node_of("Softmax", axis=1),
}
