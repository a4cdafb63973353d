"""Convolutions and pools of an ONNX graph as layers; maps of one axis run as maps of height 1."""

from __future__ import annotations

from math import prod
from typing import Any, cast

import numpy as np

from minicnn import layers as nn
from minicnn.formats.onnx.maps.composed import log_sum_exp, minimum
from minicnn.formats.onnx.node import BoundNode, reshape_layers, wrap_reshape
from minicnn.layers import Layer
from minicnn.layers.base import Shape
from minicnn.shapes import IntPair, Sides, same_padding, span

__all__ = [
    "average_pool",
    "conv",
    "conv_transpose",
    "global_average_pool",
    "global_max_pool",
    "max_pool",
    "reduce_axes",
]

MAX_TAPS = 1 << 16


def _map_shape(op: BoundNode) -> Shape:
    """Return the input's shape as (C, H, W)."""
    if len(op.shape) not in (2, 3):
        raise op.error(f"maps of {len(op.shape) - 1} axes; expected N x C x H x W, got N x {op.shape}")
    return op.shape if len(op.shape) == 3 else (op.shape[0], 1, op.shape[1])


def _map_size(op: BoundNode) -> IntPair:
    """Return the input's height and width, which must be known."""
    return cast(IntPair, _map_shape(op._replace(shape=op.sized()))[1:])


def _unpad_shape(op: BoundNode, shape: Shape) -> Shape:
    """Return an output's shape (K, P, Q) as the graph has it: (K, Q) where the maps have one axis."""
    return shape if len(op.shape) == 3 else (shape[0], shape[2])


def _wrap_maps(op: BoundNode, layer: Layer) -> list[Layer]:
    maps = _map_shape(op)
    return wrap_reshape(op, maps, [layer], _unpad_shape(op, layer.output_shape(maps)))


def _pair(op: BoundNode, name: str, default: list[int] | None = None) -> IntPair:
    axes = len(op.shape) - 1
    given = op.node.integers(name, default or [1] * axes)
    if len(given) != axes:
        raise op.error(f"{name} has {len(given)} numbers for maps of {axes} axes")
    # maps of one axis get a height of 1, with kernel, stride and dilation 1
    return cast(IntPair, tuple([1] * (2 - axes) + given))


def _kernel(op: BoundNode, weight_shape: Shape = ()) -> IntPair:
    _map_shape(op)
    inferred = list(weight_shape[2:]) or None
    if inferred is None and "kernel_shape" not in op.node.attributes:
        raise op.error("has no kernel_shape")
    kernel = _pair(op, "kernel_shape", inferred)
    if inferred is not None and list(kernel)[2 - len(inferred) :] != inferred:
        raise op.error(f"kernel_shape {kernel} does not fit weights of shape {weight_shape}")
    return kernel


def _padding(op: BoundNode, kernel: IntPair, stride: IntPair, dilation: IntPair) -> Sides:
    """Return ((top, bottom), (left, right)), from ``pads`` or computed as ``auto_pad`` says."""
    mode, axes = op.node.text("auto_pad", "NOTSET"), len(op.shape) - 1
    if mode != "NOTSET":
        _check_no_pads(op, mode)
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        both = same_padding(_map_size(op), kernel, stride, dilation)
        if mode == "SAME_UPPER":
            return both
        # SAME_LOWER has the larger half first
        (top, bottom), (left, right) = both
        return (bottom, top), (right, left)
    if mode == "VALID":
        return (0, 0), (0, 0)
    if mode != "NOTSET":
        raise op.error(f"auto_pad {mode!r}; expected NOTSET, SAME_UPPER, SAME_LOWER or VALID")
    # ONNX lists what comes before on all axes, then what comes after
    pads = op.node.integers("pads", [0] * (2 * axes))
    if len(pads) != 2 * axes or min(pads, default=0) < 0:
        raise op.error(f"pads {pads}: expected {2 * axes} numbers >= 0")
    sides = list(zip(pads[:axes], pads[axes:], strict=True))
    return cast(Sides, tuple([(0, 0)] * (2 - axes) + sides))


def _check_no_pads(op: BoundNode, mode: str) -> None:
    """Raise for ``pads`` beside an ``auto_pad``, unless they are zeros, which some exporters write everywhere."""
    if any(op.node.integers("pads", [])):
        raise op.error(f"has pads and auto_pad {mode}; expected one of them")


def _geometry(op: BoundNode, kernel: IntPair) -> dict[str, Any]:
    stride, dilation = _pair(op, "strides"), _pair(op, "dilations")
    if min(*stride, *dilation, *kernel) < 1:
        raise op.error("kernel_shape, strides and dilations must be at least 1")
    return {"stride": stride, "dilation": dilation, "padding": _padding(op, kernel, stride, dilation)}


def _weight_and_bias(op: BoundNode) -> tuple[np.ndarray, np.ndarray | None, Shape]:
    """Return the weight as (K, C, R, S), the bias or None, and the weight's shape in the file."""
    weight = op.weight(1)
    _map_shape(op)
    if weight.ndim != len(op.shape) + 1 or 0 in weight.shape:
        raise op.error(f"weights of shape {weight.shape} for maps of {len(op.shape) - 1} axes")
    bias = op.weight(2) if op.constant(2) is not None else None
    # (K, C, S) becomes (K, C, 1, S)
    return weight.reshape(*weight.shape[:2], -1, weight.shape[-1]), bias, weight.shape


def conv(op: BoundNode) -> list[Layer]:
    """Conv; SAME_UPPER stays ``same``, which holds for inputs of every size."""
    weight, bias, shape = _weight_and_bias(op)
    kernel, groups = _kernel(op, shape), op.node.integer("group", 1)
    if op.node.text("auto_pad", "NOTSET") == "SAME_UPPER":
        _check_no_pads(op, "SAME_UPPER")
        geometry: dict[str, Any] = {
            "stride": _pair(op, "strides"),
            "dilation": _pair(op, "dilations"),
            "padding": "same",
        }
    else:
        geometry = _geometry(op, kernel)
    # a filter sees the C / groups channels of its group
    channels = shape[1] * max(groups, 1)
    layer = nn.Conv2d(channels, shape[0], kernel, groups=groups, weight=weight, bias=_or_false(bias), **geometry)
    return _wrap_maps(op, layer)


def conv_transpose(op: BoundNode) -> list[Layer]:
    """ConvTranspose, its padding given, or computed from output_shape or auto_pad."""
    weight, bias, shape = _weight_and_bias(op)
    kernel, groups = _kernel(op, shape), op.node.integer("group", 1)
    stride, dilation = _pair(op, "strides"), _pair(op, "dilations")
    output_padding = _pair(op, "output_padding", [0] * (len(op.shape) - 1))
    mode = op.node.text("auto_pad", "NOTSET")
    if "output_shape" in op.node.attributes or mode.startswith("SAME"):
        padding, output_padding = _solve_padding(op, kernel, stride, dilation, output_padding, mode)
    else:
        padding = _padding(op, kernel, stride, dilation)
    layer = nn.ConvTranspose2d(
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
    return _wrap_maps(op, layer)


def _solve_padding(
    op: BoundNode, kernel: IntPair, stride: IntPair, dilation: IntPair, extra: IntPair, mode: str
) -> tuple[Sides, IntPair]:
    """Return the padding, and the output_padding, that give the output size which the node asks for."""
    if "output_shape" not in op.node.attributes:
        _check_no_pads(op, mode)
    size = _map_size(op)
    output_size = _pair(
        op, "output_shape", [n * s for n, s in zip(size, stride, strict=True)][3 - len(op.shape) :]
    )
    padding, output_paddings = [], []
    for n, k, s, d, out, extra_size in zip(size, kernel, stride, dilation, output_size, extra, strict=True):
        # out = s (n - 1) + span + output_padding - padding, solved for the padding
        total = s * (n - 1) + extra_size + span(k, d) - out
        if total < 0 and mode.startswith("SAME"):
            raise op.error("SAME padding would be negative here, which implementations read differently")
        smaller, larger = max(total, 0) // 2, -(-max(total, 0) // 2)
        # SAME_UPPER has the larger half at the end, all else at the beginning
        padding.append((smaller, larger) if mode == "SAME_UPPER" else (larger, smaller))
        # an output too large to be reached by padding is reached by output padding
        output_paddings.append(extra_size + max(-total, 0))
    return cast(Sides, tuple(padding)), cast(IntPair, tuple(output_paddings))


def _or_false(bias: np.ndarray | None) -> np.ndarray | bool:
    return False if bias is None else bias


def _pool_geometry(op: BoundNode) -> tuple[IntPair, dict[str, Any]]:
    """Return kernel_size and the rest of a pool's geometry."""
    kernel = _kernel(op)
    geometry = _geometry(op, kernel)
    if prod(kernel) > MAX_TAPS:
        raise op.error(f"a window of {kernel}, which is more than {MAX_TAPS} pixels")
    if op.node.text("auto_pad", "NOTSET").startswith("SAME"):
        for n, k, s, d in zip(_map_shape(op)[1:], kernel, geometry["stride"], geometry["dilation"], strict=True):
            # the padding that SAME needs is (ceil(n / s) - 1) s + span - n
            if (-(-n // s) - 1) * s + span(k, d) < n:
                raise op.error("SAME padding would be negative here, which implementations read differently")
    return kernel, geometry | {"ceil_mode": op.node.flag("ceil_mode")}


def max_pool(op: BoundNode) -> list[Layer]:
    """MaxPool."""
    kernel, geometry = _pool_geometry(op)
    return _wrap_maps(op, nn.MaxPool2d(kernel, **geometry))


def average_pool(op: BoundNode) -> list[Layer]:
    """AveragePool."""
    kernel, geometry = _pool_geometry(op)
    if geometry.pop("dilation") != (1, 1):
        raise op.error("dilations in an average pool have no layer")
    return _wrap_maps(op, nn.AvgPool2d(kernel, count_include_pad=op.node.flag("count_include_pad"), **geometry))


def global_average_pool(op: BoundNode) -> list[Layer]:
    """GlobalAveragePool, over all axes after the channels."""
    return _pool_globally(op, nn.GlobalAvgPool2d(), keep=True)


def global_max_pool(op: BoundNode) -> list[Layer]:
    """GlobalMaxPool, a MaxPool whose window is the map where its size is known."""
    height, width = op.maps()[1:]
    fixed = not op.open_size and height * width <= MAX_TAPS
    return _pool_globally(op, nn.MaxPool2d((height, width)) if fixed else nn.AdaptiveMaxPool2d(1), keep=True)


def lp_pool(op: BoundNode) -> list[Layer]:
    """LpPool: the p-th root of a window's sum of p-th powers, which a depthwise convolution with ones adds."""
    kernel, channels, p = _kernel(op), op.shape[0], op.node.integer("p", 2)
    if op.node.flag("ceil_mode") or prod(kernel) > MAX_TAPS:
        raise op.error(f"a window of {kernel} with ceil_mode, or of more than {MAX_TAPS} pixels")
    ones = np.ones((channels, 1, *kernel), np.float32)
    pool = nn.Conv2d(channels, channels, kernel, groups=channels, bias=False, weight=ones, **_geometry(op, kernel))
    powers, roots = _powers(op, p)
    return [*powers, *_wrap_maps(op, pool), *roots]


def global_lp_pool(op: BoundNode) -> list[Layer]:
    """GlobalLpPool, over all axes after the channels."""
    powers, roots = _powers(op, op.node.integer("p", 2))
    return [*powers, nn.Sum(tuple(range(2, op.rank)), True), *roots]


def _powers(op: BoundNode, p: int) -> tuple[list[Layer], list[Layer]]:
    """Return what raises |x| to the p-th power, and what takes the root."""
    if p < 1:
        raise op.error(f"p = {p}; expected a whole number >= 1")
    before: list[Layer] = [nn.Abs()] if p % 2 else []
    return (before, []) if p == 1 else ([*before, nn.Pow(float(p))], [nn.Pow(1 / p)])


def reduce_axes(op: BoundNode) -> list[Layer]:
    """ReduceMean, ReduceSum, ReduceMax and the like; some means are the global average pool."""
    axes, keep, kind = op.numbers("axes", 1), op.node.flag("keepdims", True), op.node.op_type
    dims = sorted(op.axis(a) for a in axes or [])
    op.node.flag("noop_with_empty_axes")  # they are not empty here, so that it says nothing
    if not dims or dims[0] == 0:
        raise op.error(f"reduces the axes {axes} of an input with {op.rank}, the batch among them")
    if kind == "ReduceMean" and dims == list(range(2, op.rank)):
        return _pool_globally(op, nn.GlobalAvgPool2d(), keep)
    if kind == "ReduceMax":
        return [nn.Amax(tuple(dims), keep)]
    if kind in ("ReduceMin", "ReduceLogSumExp"):
        return (minimum if kind == "ReduceMin" else log_sum_exp)(op, tuple(dims), keep)
    powers, roots = _powers(op, 1 if kind == "ReduceL1" else 2)
    total = nn.Sum(tuple(dims), keep)
    layers: dict[str, list[Layer]] = {
        "ReduceL1": [*powers, total],
        "ReduceL2": [*powers, total, *roots],
        "ReduceLogSum": [total, nn.Log()],
        "ReduceMean": [nn.Mean(tuple(dims), keep)],
        "ReduceSum": [total],
        "ReduceSumSquare": [*powers, total],
    }
    return layers[kind]


def _pool_globally(op: BoundNode, layer: Layer, keep: bool) -> list[Layer]:
    maps, channels = op.maps(), op.shape[0]
    target = (channels, *[1] * (len(op.shape) - 1)) if keep else (channels,)
    before = [] if op.shape == maps else reshape_layers(op, op.shape, maps)
    return [*before, layer, *reshape_layers(op._replace(other=op.shape), (channels, 1, 1), target)]
