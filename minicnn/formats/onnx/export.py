"""Each layer as nodes of an ONNX graph: f(graph, layer, place) adds them and returns the name of their output."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import layers
from minicnn.errors import WeightsError
from minicnn.shapes import Sides, span

__all__ = ["NODES"]


def _plain(op: str, **attributes: Any):
    return lambda graph, layer, place: graph.node(op, place.path, [place.x], **attributes)


def _parameters(graph, layer, place) -> list[str]:
    return [graph.constant(f"{place.path}.{name}", array) for name, array in layer.state().items()]


def _pads(padding: Sides) -> list[int]:
    """Return ((top, bottom), (left, right)) in ONNX's order: all that comes before, then all that comes after."""
    (top, bottom), (left, right) = padding
    return [top, left, bottom, right]


def _windows(layer) -> dict[str, Any]:
    return {"kernel_shape": layer.kernel_size, "strides": layer.stride, "pads": _pads(layer.padding)}


def _conv(graph, layer, place):
    attributes = {"kernel_shape": layer.kernel_size, "strides": layer.stride, "dilations": layer.dilation}
    if layer.padding == "same" and graph.open_size:
        attributes["auto_pad"] = "SAME_UPPER"
    else:
        attributes["pads"] = _pads(layer.geometry(place.shape[1:])["padding"])
    inputs = [place.x, *_parameters(graph, layer, place)]
    return graph.node("Conv", place.path, inputs, group=layer.groups, **attributes)


def _conv_transpose(graph, layer, place):
    inputs = [place.x, *_parameters(graph, layer, place)]
    attributes = _windows(layer) | {"dilations": layer.dilation, "output_padding": layer.output_padding}
    return graph.node("ConvTranspose", place.path, inputs, group=layer.groups, **attributes)


def _linear(graph, layer, place):
    return graph.node("Gemm", place.path, [place.x, *_parameters(graph, layer, place)], transB=1)


def _max_pool(graph, layer, place):
    x, pads = place.x, _longer(layer.padding, _tail(graph, layer, place, layer.dilation))
    if any(pad >= k for pad, k in zip(pads, layer.kernel_size * 2, strict=True)):  # which onnxruntime refuses
        x, pads = _padded(graph, f"{place.path}_pad", x, pads, -np.inf), [0] * 4
    attributes = _windows(layer) | {"dilations": layer.dilation, "pads": pads}
    return graph.node("MaxPool", place.path, [x], **attributes)


def _avg_pool(graph, layer, place):
    tail, x, padding = _tail(graph, layer, place), place.x, layer.padding
    counted = layer.count_include_pad and padding != ((0, 0), (0, 0))
    if counted and any(tail):  # padding counts and the tail does not: the one as zeros, the other as padding
        x, padding, counted = _padded(graph, f"{place.path}_pad", x, _pads(padding)), ((0, 0), (0, 0)), False
    attributes = _windows(layer) | {"pads": _longer(padding, tail), "count_include_pad": int(counted)}
    return graph.node("AveragePool", place.path, [x], **attributes)


def _tail(graph, layer, place, dilation=(1, 1)) -> tuple[int, int]:
    """Return by how many rows and columns the last windows of ceil_mode pass the end; versions differ there."""
    if not layer.ceil_mode:
        return 0, 0
    if graph.open_size:
        raise WeightsError(
            f"layer {place.path!r}: ceil_mode needs the input's size; set the network's input_shape"
        )
    geometry = zip(
        place.shape[1:],
        layer.output_shape(place.shape)[1:],
        layer.kernel_size,
        layer.stride,
        layer.padding,
        dilation,
        strict=True,
    )
    rows, columns = (
        max((out - 1) * s + span(k, d) - (n + before + after), 0) for n, out, k, s, (before, after), d in geometry
    )
    return rows, columns


def _longer(padding: Sides, tail: tuple[int, int]) -> list[int]:
    return _pads(tuple((before, after + more) for (before, after), more in zip(padding, tail, strict=True)))


def _padded(graph, path: str, x: str, pads: list[int], value: float = 0) -> str:
    top, left, bottom, right = pads
    inputs = [x, graph.constant(f"{path}.pads", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))]
    if value:
        inputs.append(graph.constant(f"{path}.value", np.array(value, graph.dtype)))
    return graph.node("Pad", path, inputs)


def _batch_norm(graph, layer, place):
    ones, zeros = np.ones(layer.num_features, graph.dtype), np.zeros(layer.num_features, graph.dtype)
    arrays = {"weight": ones, "bias": zeros} | layer.state()
    inputs = [place.x, *(graph.constant(f"{place.path}.{name}", array) for name, array in arrays.items())]
    return graph.node("BatchNormalization", place.path, inputs, epsilon=float(layer.eps))


def _local_response_norm(graph, layer, place):
    if layer.size % 2:
        constants = {"alpha": float(layer.alpha), "beta": float(layer.beta), "bias": float(layer.k)}
        return graph.node("LRN", place.path, [place.x], size=layer.size, **constants)
    return _even_response_norm(graph, layer, place)


def _even_response_norm(graph, layer, place):
    """Local response normalisation in steps: ONNX puts a window of even length elsewhere."""

    def step(op, name, *inputs, **attributes):
        return graph.node(op, f"{place.path}_{name}", list(inputs), **attributes)

    def numbers(name, values):
        return graph.constant(f"{place.path}.{name}", np.array(values))

    below, above = layer.size // 2, (layer.size - 1) // 2
    axis = numbers("axis", [1])
    squares = step("Unsqueeze", "rows", step("Mul", "squares", place.x, place.x), axis)
    padded = step("Pad", "pad", squares, numbers("pads", [0, 0, below, 0, 0, 0, 0, above, 0, 0]))
    means = step("Squeeze", "means", step("AveragePool", "windows", padded, kernel_shape=[layer.size, 1, 1]), axis)
    for op, name in (("Mul", "alpha"), ("Add", "k"), ("Pow", "beta")):
        means = step(op, name, means, numbers(name, graph.dtype.type(getattr(layer, name))))
    return graph.node("Div", place.path, [place.x, means])


def _prelu(graph, layer, place):
    slope = layer.weight.reshape(-1, *[1] * (len(place.shape) - 1))
    return graph.node("PRelu", place.path, [place.x, graph.constant(f"{place.path}.weight", slope)])


def _relu6(graph, layer, place):
    ends = [
        graph.constant(f"{place.path}.{name}", np.array(v, graph.dtype)) for name, v in (("min", 0), ("max", 6))
    ]
    return graph.node("Clip", place.path, [place.x, *ends])


def _dropout(graph, layer, place):
    return graph.node("Dropout", place.path, [place.x, graph.constant(f"{place.path}.ratio", np.array(layer.p))])


def _reshape(graph, layer, place):
    target = graph.constant(f"{place.path}.shape", np.array([0, *layer.shape], np.int64))
    return graph.node("Reshape", place.path, [place.x, target])


def _flatten(graph, layer, place):
    return graph.node("Flatten", place.path, [place.x], axis=1)


def _permute(graph, layer, place):
    return graph.node("Transpose", place.path, [place.x], perm=[0, *(axis + 1 for axis in layer.axes)])


def _zero_pad(graph, layer, place):
    left, right, top, bottom = layer.padding
    return _padded(graph, place.path, place.x, [top, left, bottom, right])


NODES = {
    layers.AvgPool2d: _avg_pool,
    layers.BatchNorm2d: _batch_norm,
    layers.Conv2d: _conv,
    layers.ConvTranspose2d: _conv_transpose,
    layers.Dropout: _dropout,
    layers.Flatten: _flatten,
    layers.GlobalAvgPool2d: _plain("GlobalAveragePool"),
    layers.LeakyReLU: lambda graph, layer, place: graph.node(
        "LeakyRelu", place.path, [place.x], alpha=float(layer.negative_slope)
    ),
    layers.Linear: _linear,
    layers.LocalResponseNorm: _local_response_norm,
    layers.LogSoftmax: _plain("LogSoftmax", axis=1),
    layers.MaxPool2d: _max_pool,
    layers.PReLU: _prelu,
    layers.Permute: _permute,
    layers.ReLU: _plain("Relu"),
    layers.ReLU6: _relu6,
    layers.Reshape: _reshape,
    layers.Softmax: _plain("Softmax", axis=1),
    layers.Tanh: _plain("Tanh"),
    layers.ZeroPad2d: _zero_pad,
}
