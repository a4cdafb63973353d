"""Layers that move or average values as nodes of an ONNX graph: resizes, borders, slices, reductions, shuffles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minicnn.errors import WeightsError
from minicnn.layers import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    Amax,
    ChannelShuffle,
    CircularPad2d,
    ConstantPad2d,
    Expand,
    IndexSelect,
    Layer,
    Mean,
    PixelShuffle,
    PixelUnshuffle,
    ReflectionPad2d,
    ReplicationPad2d,
    Slice,
    Sum,
    Upsample,
    ZeroPad2d,
    ZeroPad3d,
)
from minicnn.layers.base import Shape
from minicnn.layers.resampling.base import Resample
from minicnn.layers.resampling.reduction import reduced_axes
from minicnn.layers.resampling.selection import image_axis

if TYPE_CHECKING:
    from minicnn.formats.onnx.writer import ExportContext, Graph

__all__ = ["NODES", "add_pad"]

_Export: TypeAlias = "Callable[[Graph, Any, ExportContext], str]"


def _integers(graph: Graph, context: ExportContext, name: str, values: Any) -> str:
    return graph.constant(f"{context.path}.{name}", np.array(values, np.int64))


def _fixed_shape(graph: Graph, context: ExportContext) -> Shape:
    """Return the input's shape, which must be known."""
    if graph.open_size:
        raise WeightsError(f"layer {context.path!r}: needs the input's size; set the network's input_shape")
    return context.shape


def _upsample(graph: Graph, layer: Upsample, context: ExportContext) -> str:
    attributes: dict[str, Any] = _convention(layer, context)
    if layer.scale_factor is not None and not layer.recompute_scale_factor:
        scales = np.array([1, 1, *layer.scale_factor], np.float32)
        inputs = [context.x, "", graph.constant(f"{context.path}.scales", scales, weights=False)]
    else:
        size = layer.size or layer.output_shape(_fixed_shape(graph, context))[1:]
        # sizes count the batch, which is open: it is read from the input
        batch = graph.node("Shape", f"{context.path}_batch", [context.x], start=0, end=2)
        size_name = _integers(graph, context, "size", size)
        inputs = [context.x, "", "", graph.node("Concat", f"{context.path}_sizes", [batch, size_name], axis=0)]
    return graph.node("Resize", context.path, inputs, **attributes)


def _convention(layer: Upsample, context: ExportContext) -> dict[str, Any]:
    """Return the attributes of Resize that say what place an output has; opset 17 has fewer than the layer."""
    exact, nearest = layer.mode == "nearest-exact", layer.mode.startswith("nearest")
    coordinates = layer.coordinates or ("align_corners" if layer.align_corners else "half_pixel")
    rounding = layer.rounding or ("round_prefer_ceil" if exact else "floor")
    if nearest and not exact and layer.coordinates is None:
        coordinates = "asymmetric"
    if nearest and coordinates == "tf_half_pixel_for_nn" and rounding == "floor":
        # floor((p + 1/2) r) = round((p + 1/2) r - 1/2)
        coordinates, rounding = "half_pixel", "round_prefer_ceil"
    if coordinates in ("tf_half_pixel_for_nn", "half_pixel_symmetric"):
        raise WeightsError(f"layer {context.path!r}: Resize of opset 17 has no coordinates {coordinates!r}")
    attributes: dict[str, Any] = {"coordinate_transformation_mode": coordinates}
    if nearest:
        return attributes | {"mode": "nearest", "nearest_mode": rounding}
    if layer.mode == "bilinear":
        return attributes | {"mode": "linear"}
    cubic = {"cubic_coeff_a": float(layer.cubic_coeff_a), "exclude_outside": int(layer.exclude_outside)}
    return attributes | {"mode": "cubic"} | cubic


def add_pad(graph: Graph, path: str, x: str, pads: list[int], value: float = 0, mode: str | None = None) -> str:
    """Add a Pad of maps by (top, left, bottom, right) and return its output."""
    top, left, bottom, right = pads
    # Pad counts N and C too: four beginnings, then four ends
    inputs = [x, graph.constant(f"{path}.pads", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))]
    if value:
        inputs.append(graph.constant(f"{path}.value", np.array(value, graph.dtype)))
    return graph.node("Pad", path, inputs, **({"mode": mode} if mode else {}))


def _pad(mode: str | None) -> _Export:
    def export(graph: Graph, layer: Any, context: ExportContext) -> str:
        left, right, top, bottom = layer.padding
        value = getattr(layer, "border", 0.0)
        return add_pad(graph, context.path, context.x, [top, left, bottom, right], value, mode)

    return export


def _zero_pad3d(graph: Graph, layer: ZeroPad3d, context: ExportContext) -> str:
    left, right, top, bottom, front, back = layer.padding
    pads = _integers(graph, context, "pads", [0, front, top, left, 0, back, bottom, right])
    return graph.node("Pad", context.path, [context.x, pads])


def _gather(graph: Graph, layer: Resample, context: ExportContext) -> str:
    """Write a selection of places, one axis after the other."""
    x, axes = context.x, enumerate(layer.taps(_fixed_shape(graph, context)), start=1)
    moved = [(axis, taps) for axis, taps in axes if taps is not None]
    for i, (axis, taps) in enumerate(moved, start=1):
        path = context.path if i == len(moved) else f"{context.path}_{axis}"
        places = graph.constant(f"{context.path}.places{axis}", taps.index[:, 0].astype(np.int64))
        x = graph.node("Gather", path, [x, places], axis=axis)
    return x if moved else graph.node("Identity", context.path, [x])


def _slice(graph: Graph, layer: Slice, context: ExportContext) -> str:
    last = (1 << 62) if layer.step > 0 else -(1 << 62)
    start = (0 if layer.step > 0 else 1 << 62) if layer.start is None else layer.start
    axis = image_axis("Slice", layer.dim, len(context.shape)) + 1
    stop = last if layer.stop is None else layer.stop
    values = (("start", start), ("stop", stop), ("axis", axis), ("step", layer.step))
    inputs = [_integers(graph, context, name, [value]) for name, value in values]
    return graph.node("Slice", context.path, [context.x, *inputs])


def _index_select(graph: Graph, layer: IndexSelect, context: ExportContext) -> str:
    axis = image_axis("IndexSelect", layer.dim, len(context.shape)) + 1
    return graph.node(
        "Gather", context.path, [context.x, _integers(graph, context, "index", layer.index)], axis=axis
    )


def _expand(graph: Graph, layer: Expand, context: ExportContext) -> str:
    # 1 keeps an axis as it is, the batch's too
    target = [1, *(max(n, 1) for n in layer.shape)]
    return graph.node("Expand", context.path, [context.x, _integers(graph, context, "shape", target)])


def _reduce(op_type: str) -> _Export:
    def export(graph: Graph, layer: Mean | Amax, context: ExportContext) -> str:
        axes = [axis + 1 for axis in reduced_axes(op_type, layer.dim, context.shape)]
        return graph.node(op_type, context.path, [context.x], axes=axes, keepdims=int(layer.keepdim))

    return export


def _sum(graph: Graph, layer: Sum, context: ExportContext) -> str:
    axes = _integers(graph, context, "axes", [a + 1 for a in reduced_axes("Sum", layer.dim, context.shape)])
    return graph.node("ReduceSum", context.path, [context.x, axes], keepdims=int(layer.keepdim))


def _adaptive_average(graph: Graph, layer: AdaptiveAvgPool2d, context: ExportContext) -> str:
    """Write windows of one size as a pool, others as the two matrices that average rows and columns."""
    shape = _fixed_shape(graph, context)
    size, out = shape[1:], layer.output_shape(shape)[1:]
    if not any(n % p for n, p in zip(size, out, strict=True)):
        kernel = [n // p for n, p in zip(size, out, strict=True)]
        return graph.node("AveragePool", context.path, [context.x], kernel_shape=kernel, strides=kernel)
    matrices = [np.zeros((p, n), graph.dtype) for n, p in zip(size, out, strict=True)]
    for matrix, taps in zip(matrices, layer.taps(shape)[1:], strict=True):
        if taps is None:
            np.fill_diagonal(matrix, 1)
            continue
        rows, tap = np.nonzero(taps.index >= 0)
        matrix[rows, taps.index[rows, tap]] = taps.weight[rows, tap]
    rows_name = graph.constant(f"{context.path}.rows", matrices[0])
    columns = graph.constant(f"{context.path}.columns", np.ascontiguousarray(matrices[1].T))
    inner = graph.node("MatMul", f"{context.path}_columns", [context.x, columns])
    return graph.node("MatMul", context.path, [rows_name, inner])


def _adaptive_maximum(graph: Graph, layer: AdaptiveMaxPool2d, context: ExportContext) -> str:
    if layer.output_size == (1, 1):
        return graph.node("GlobalMaxPool", context.path, [context.x])
    shape = _fixed_shape(graph, context)
    sizes = list(zip(shape[1:], layer.output_shape(shape)[1:], strict=True))
    if any(n % p for n, p in sizes):
        raise WeightsError(f"layer {context.path!r}: ONNX has no max-pool over windows of different sizes")
    kernel = [n // p for n, p in sizes]
    return graph.node("MaxPool", context.path, [context.x], kernel_shape=kernel, strides=kernel)


def _pixel_shuffle(graph: Graph, layer: PixelShuffle, context: ExportContext) -> str:
    mode = "DCR" if layer.depth_first else "CRD"
    return graph.node("DepthToSpace", context.path, [context.x], blocksize=layer.upscale_factor, mode=mode)


def _pixel_unshuffle(graph: Graph, layer: PixelUnshuffle, context: ExportContext) -> str:
    if layer.depth_first:
        return graph.node("SpaceToDepth", context.path, [context.x], blocksize=layer.downscale_factor)
    return _shuffle(graph, layer, context)


def _shuffle(graph: Graph, layer: Any, context: ExportContext) -> str:
    split, axes, output = layer.move(_fixed_shape(graph, context))
    x = graph.node(
        "Reshape", f"{context.path}_split", [context.x, _integers(graph, context, "split", [0, *split])]
    )
    x = graph.node("Transpose", f"{context.path}_order", [x], perm=[0, *(axis + 1 for axis in axes)])
    return graph.node("Reshape", context.path, [x, _integers(graph, context, "shape", [0, *output])])


NODES: dict[type[Layer], _Export] = {
    AdaptiveAvgPool2d: _adaptive_average,
    AdaptiveMaxPool2d: _adaptive_maximum,
    Amax: _reduce("ReduceMax"),
    ChannelShuffle: _shuffle,
    CircularPad2d: _gather,
    ConstantPad2d: _pad(None),
    Expand: _expand,
    IndexSelect: _index_select,
    Mean: _reduce("ReduceMean"),
    PixelShuffle: _pixel_shuffle,
    PixelUnshuffle: _pixel_unshuffle,
    ReflectionPad2d: _pad("reflect"),
    ReplicationPad2d: _pad("edge"),
    Slice: _slice,
    Sum: _sum,
    Upsample: _upsample,
    ZeroPad2d: _pad(None),
    ZeroPad3d: _zero_pad3d,
}
