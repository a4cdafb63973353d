"""Convolutions and pools of an ONNX graph as layers; maps of one axis run as maps of height 1."""

from __future__ import annotations

from math import prod
from typing import Any

from minicnn.formats.onnx.node import Call, around, reshaped
from minicnn.layers import (
    AvgPool2d,
    Conv2d,
    ConvTranspose2d,
    GlobalAvgPool2d,
    Layer,
    MaxPool2d,
)
from minicnn.layers.base import Shape
from minicnn.shapes import Pair, Sides, same_padding, span

__all__ = ["average_pool", "conv", "conv_transpose", "global_average_pool", "global_max_pool", "max_pool", "mean"]

MAX_TAPS = 1 << 16


def _maps(call: Call) -> Shape:
    """Return the input's shape as (C, H, W)."""
    if len(call.shape) not in (2, 3):
        raise call.error(f"maps of {len(call.shape) - 1} axes; expected N x C x H x W, got N x {call.shape}")
    return call.shape if len(call.shape) == 3 else (call.shape[0], 1, call.shape[1])


def _flat(call: Call, shape: Shape) -> Shape:
    """Return an output's shape (K, P, Q) as the graph has it: (K, Q) where the maps have one axis."""
    return shape if len(call.shape) == 3 else (shape[0], shape[2])


def _on_maps(call: Call, layer: Layer) -> list[Layer]:
    maps = _maps(call)
    return around(call, maps, [layer], _flat(call, layer.output_shape(maps)))


def _pair(call: Call, name: str, default: list[int] | None = None) -> Pair:
    axes = len(call.shape) - 1
    given = call.node.integers(name, default or [1] * axes)
    if len(given) != axes:
        raise call.error(f"{name} has {len(given)} numbers for maps of {axes} axes")
    return tuple([1] * (2 - axes) + given)


def _kernel(call: Call, weight_shape: Shape = ()) -> Pair:
    _maps(call)
    inferred = list(weight_shape[2:]) or None
    if inferred is None and "kernel_shape" not in call.node.attributes:
        raise call.error("has no kernel_shape")
    kernel = _pair(call, "kernel_shape", inferred)
    if inferred is not None and list(kernel)[2 - len(inferred) :] != inferred:
        raise call.error(f"kernel_shape {kernel} does not fit weights of shape {weight_shape}")
    return kernel


def _padding(call: Call, kernel: Pair, stride: Pair, dilation: Pair) -> Sides:
    """Return ((top, bottom), (left, right)), from ``pads`` or computed as ``auto_pad`` says."""
    mode, axes = call.node.text("auto_pad", "NOTSET"), len(call.shape) - 1
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        both = same_padding(_maps(call._replace(shape=call.sized()))[1:], kernel, stride, dilation)
        return both if mode == "SAME_UPPER" else tuple(sides[::-1] for sides in both)
    if mode == "VALID":
        return (0, 0), (0, 0)
    if mode != "NOTSET":
        raise call.error(f"auto_pad {mode!r}; expected NOTSET, SAME_UPPER, SAME_LOWER or VALID")
    pads = call.node.integers("pads", [0] * (2 * axes))
    if len(pads) != 2 * axes or min(pads, default=0) < 0:
        raise call.error(f"pads {pads}: expected {2 * axes} numbers >= 0")
    sides = list(zip(pads[:axes], pads[axes:], strict=True))
    return tuple([(0, 0)] * (2 - axes) + sides)


def _geometry(call: Call, kernel: Pair) -> dict[str, Any]:
    stride, dilation = _pair(call, "strides"), _pair(call, "dilations")
    if min(*stride, *dilation, *kernel) < 1:
        raise call.error("kernel_shape, strides and dilations must be at least 1")
    return {"stride": stride, "dilation": dilation, "padding": _padding(call, kernel, stride, dilation)}


def _weight_and_bias(call: Call) -> tuple[Any, Any, Shape]:
    """Return the weight as (K, C, R, S), the bias or None, and the weight's shape in the file."""
    weight = call.weight(1)
    _maps(call)
    if weight.ndim != len(call.shape) + 1 or 0 in weight.shape:
        raise call.error(f"weights of shape {weight.shape} for maps of {len(call.shape) - 1} axes")
    bias = call.weight(2) if call.constant(2) is not None else None
    return weight.reshape(*weight.shape[:2], -1, weight.shape[-1]), bias, weight.shape


def conv(call: Call) -> list[Layer]:
    """Conv; SAME_UPPER stays ``same``, which holds for inputs of every size."""
    weight, bias, shape = _weight_and_bias(call)
    kernel, groups = _kernel(call, shape), call.node.integer("group", 1)
    if call.node.text("auto_pad", "NOTSET") == "SAME_UPPER":
        geometry = {"stride": _pair(call, "strides"), "dilation": _pair(call, "dilations"), "padding": "same"}
    else:
        geometry = _geometry(call, kernel)
    channels = shape[1] * max(groups, 1)
    layer = Conv2d(channels, shape[0], kernel, groups=groups, weight=weight, bias=_or_false(bias), **geometry)
    return _on_maps(call, layer)


def conv_transpose(call: Call) -> list[Layer]:
    """ConvTranspose, its padding given, or computed from output_shape or auto_pad."""
    weight, bias, shape = _weight_and_bias(call)
    kernel, groups = _kernel(call, shape), call.node.integer("group", 1)
    stride, dilation = _pair(call, "strides"), _pair(call, "dilations")
    output_padding = _pair(call, "output_padding", [0] * (len(call.shape) - 1))
    mode = call.node.text("auto_pad", "NOTSET")
    if "output_shape" in call.node.attributes or mode.startswith("SAME"):
        padding, output_padding = _from_output(call, kernel, stride, dilation, output_padding, mode)
    else:
        padding = _padding(call, kernel, stride, dilation)
    layer = ConvTranspose2d(
        shape[0],
        shape[1] * groups,
        kernel,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
        groups=groups,
        weight=weight,
        bias=_or_false(bias),
    )
    return _on_maps(call, layer)


def _from_output(call: Call, kernel: Pair, stride: Pair, dilation: Pair, extra: Pair, mode: str):
    """Return the padding, and the output_padding, that give the output size which the node asks for."""
    size = _maps(call._replace(shape=call.sized()))[1:]
    wanted = _pair(call, "output_shape", [n * s for n, s in zip(size, stride, strict=True)][3 - len(call.shape) :])
    padding, rows = [], []
    for n, k, s, d, out, more in zip(size, kernel, stride, dilation, wanted, extra, strict=True):
        total = s * (n - 1) + more + span(k, d) - out
        if total < 0 and mode.startswith("SAME"):
            raise call.error("SAME padding would be negative here, which implementations read apart")
        smaller, larger = max(total, 0) // 2, -(-max(total, 0) // 2)
        padding.append((smaller, larger) if mode == "SAME_UPPER" else (larger, smaller))
        rows.append(more + max(-total, 0))
    return tuple(padding), tuple(rows)


def _or_false(bias):
    return False if bias is None else bias


def _pool(call: Call) -> tuple[Pair, dict[str, Any]]:
    """Return kernel_size and the rest of a pool's geometry."""
    kernel = _kernel(call)
    geometry = _geometry(call, kernel)
    if prod(kernel) > MAX_TAPS:
        raise call.error(f"a window of {kernel}, which is more than {MAX_TAPS} pixels")
    if call.node.text("auto_pad", "NOTSET").startswith("SAME"):
        for n, k, s, d in zip(_maps(call)[1:], kernel, geometry["stride"], geometry["dilation"], strict=True):
            if (-(-n // s) - 1) * s + span(k, d) < n:
                raise call.error("SAME padding would be negative here, which implementations read apart")
    return kernel, geometry | {"ceil_mode": call.node.flag("ceil_mode")}


def max_pool(call: Call) -> list[Layer]:
    """MaxPool."""
    kernel, geometry = _pool(call)
    return _on_maps(call, MaxPool2d(kernel, **geometry))


def average_pool(call: Call) -> list[Layer]:
    """AveragePool."""
    kernel, geometry = _pool(call)
    if geometry.pop("dilation") != (1, 1):
        raise call.error("dilations in an average pool have no layer")
    return _on_maps(call, AvgPool2d(kernel, count_include_pad=call.node.flag("count_include_pad"), **geometry))


def global_average_pool(call: Call) -> list[Layer]:
    """GlobalAveragePool, over all axes after the channels."""
    return _global(call, GlobalAvgPool2d(), keep=True)


def global_max_pool(call: Call) -> list[Layer]:
    """GlobalMaxPool, a MaxPool whose window is the map."""
    height, width = _global_maps(call._replace(shape=call.sized()))[1:]
    if height * width > MAX_TAPS:
        raise call.error(f"a window of {height} x {width}, which is more than {MAX_TAPS} pixels")
    return _global(call, MaxPool2d((height, width)), keep=True)


def mean(call: Call) -> list[Layer]:
    """ReduceMean over all axes after the channels: the global average pool."""
    axes = call.numbers("axes", 1)
    if axes is None or {call.axis(a) for a in axes} != set(range(2, call.rank)) or call.rank < 3:
        raise call.error(f"a mean over the axes {axes} of an input with {call.rank}; expected height and width")
    return _global(call, GlobalAvgPool2d(), keep=call.node.flag("keepdims", True))


def _global_maps(call: Call) -> Shape:
    if len(call.shape) < 2:
        raise call.error(f"expected N x C x H x W, got N x {call.shape}")
    return call.shape if len(call.shape) == 3 else (call.shape[0], prod(call.shape[1:]), 1)


def _global(call: Call, layer: Layer, keep: bool) -> list[Layer]:
    maps, channels = _global_maps(call), call.shape[0]
    target = (channels, *[1] * (len(call.shape) - 1)) if keep else (channels,)
    before = [] if call.shape == maps else reshaped(call, call.shape, maps)
    return [*before, layer, *reshaped(call._replace(other=call.shape), (channels, 1, 1), target)]
