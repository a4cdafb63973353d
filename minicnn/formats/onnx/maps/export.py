"""Layers that move or average values as nodes of an ONNX graph: resizes, borders, slices, reductions, shuffles."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import layers as nn
from minicnn.formats.onnx.context import Export, ExportContext
from minicnn.layers import Layer
from minicnn.layers.resampling.base import Resample
from minicnn.layers.resampling.reduction import reduced_axes
from minicnn.layers.resampling.selection import image_axis

__all__ = ["MAP_NODES"]


def _upsample(layer: nn.Upsample, at: ExportContext) -> str:
    attributes: dict[str, Any] = _convention(layer, at)
    if layer.scale_factor is not None and not layer.recompute_scale_factor:
        scales = np.array([1, 1, *layer.scale_factor], np.float32)
        inputs = [at.x, "", at.constant("scales", scales, weights=False)]
    else:
        size = layer.size or layer.output_shape(at.fixed_shape())[1:]
        # sizes count the batch, which is open: it is read from the input
        batch = at.node("Shape", at.x, part="batch", start=0, end=2)
        size_name = at.integers("size", size)
        inputs = [at.x, "", "", at.node("Concat", batch, size_name, part="sizes", axis=0)]
    return at.node("Resize", *inputs, **attributes)


def _convention(layer: nn.Upsample, at: ExportContext) -> dict[str, Any]:
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
        raise at.error(f"Resize of opset 17 has no coordinates {coordinates!r}")
    attributes: dict[str, Any] = {"coordinate_transformation_mode": coordinates}
    if nearest:
        return attributes | {"mode": "nearest", "nearest_mode": rounding}
    if layer.mode == "bilinear":
        return attributes | {"mode": "linear"}
    cubic = {"cubic_coeff_a": float(layer.cubic_coeff_a), "exclude_outside": int(layer.exclude_outside)}
    return attributes | {"mode": "cubic"} | cubic


def _pad(mode: str | None) -> Export:
    def export(layer: Any, at: ExportContext) -> str:
        left, right, top, bottom = layer.padding
        value = getattr(layer, "border", 0.0)
        return at.pad(at.x, [top, left, bottom, right], value, mode)

    return export


def _zero_pad3d(layer: nn.ZeroPad3d, at: ExportContext) -> str:
    left, right, top, bottom, front, back = layer.padding
    pads = at.integers("pads", [0, front, top, left, 0, back, bottom, right])
    return at.node("Pad", at.x, pads)


def _gather(layer: Resample, at: ExportContext) -> str:
    """Write a selection of places, one axis after the other."""
    x, axes = at.x, enumerate(layer.taps(at.fixed_shape()), start=1)
    moved = [(axis, taps) for axis, taps in axes if taps is not None]
    for i, (axis, taps) in enumerate(moved, start=1):
        places = at.constant(f"places{axis}", taps.index[:, 0].astype(np.int64))
        x = at.node("Gather", x, places, part="" if i == len(moved) else f"{axis}", axis=axis)
    return x if moved else at.node("Identity", x)


def _slice(layer: nn.Slice, at: ExportContext) -> str:
    last = (1 << 62) if layer.step > 0 else -(1 << 62)
    start = (0 if layer.step > 0 else 1 << 62) if layer.start is None else layer.start
    axis = image_axis("Slice", layer.dim, len(at.shape)) + 1
    stop = last if layer.stop is None else layer.stop
    values = (("start", start), ("stop", stop), ("axis", axis), ("step", layer.step))
    inputs = [at.integers(name, [value]) for name, value in values]
    return at.node("Slice", at.x, *inputs)


def _index_select(layer: nn.IndexSelect, at: ExportContext) -> str:
    axis = image_axis("IndexSelect", layer.dim, len(at.shape)) + 1
    return at.node("Gather", at.x, at.integers("index", layer.index), axis=axis)


def _expand(layer: nn.Expand, at: ExportContext) -> str:
    # 1 keeps an axis as it is, the batch's too
    target = [1, *(max(n, 1) for n in layer.shape)]
    return at.node("Expand", at.x, at.integers("shape", target))


def _reduce(op_type: str) -> Export:
    def export(layer: nn.Mean | nn.Amax, at: ExportContext) -> str:
        axes = [axis + 1 for axis in reduced_axes(op_type, layer.dim, at.shape)]
        return at.node(op_type, at.x, axes=axes, keepdims=int(layer.keepdim))

    return export


def _sum(layer: nn.Sum, at: ExportContext) -> str:
    axes = at.integers("axes", [a + 1 for a in reduced_axes("Sum", layer.dim, at.shape)])
    return at.node("ReduceSum", at.x, axes, keepdims=int(layer.keepdim))


def _adaptive_average(layer: nn.AdaptiveAvgPool2d, at: ExportContext) -> str:
    """Write windows of one size as a pool, others as the two matrices that average rows and columns."""
    shape = at.fixed_shape()
    size, out = shape[1:], layer.output_shape(shape)[1:]
    if not any(n % p for n, p in zip(size, out, strict=True)):
        kernel = [n // p for n, p in zip(size, out, strict=True)]
        return at.node("AveragePool", at.x, kernel_shape=kernel, strides=kernel)
    matrices = [np.zeros((p, n), at.dtype) for n, p in zip(size, out, strict=True)]
    for matrix, taps in zip(matrices, layer.taps(shape)[1:], strict=True):
        if taps is None:
            np.fill_diagonal(matrix, 1)
            continue
        rows, tap = np.nonzero(taps.index >= 0)
        matrix[rows, taps.index[rows, tap]] = taps.weight[rows, tap]
    rows_name = at.constant("rows", matrices[0])
    columns = at.constant("columns", np.ascontiguousarray(matrices[1].T))
    inner = at.node("MatMul", at.x, columns, part="columns")
    return at.node("MatMul", rows_name, inner)


def _adaptive_maximum(layer: nn.AdaptiveMaxPool2d, at: ExportContext) -> str:
    if layer.output_size == (1, 1):
        return at.node("GlobalMaxPool", at.x)
    shape = at.fixed_shape()
    sizes = list(zip(shape[1:], layer.output_shape(shape)[1:], strict=True))
    if any(n % p for n, p in sizes):
        raise at.error("ONNX has no max-pool over windows of different sizes")
    kernel = [n // p for n, p in sizes]
    return at.node("MaxPool", at.x, kernel_shape=kernel, strides=kernel)


def _pixel_shuffle(layer: nn.PixelShuffle, at: ExportContext) -> str:
    mode = "DCR" if layer.depth_first else "CRD"
    return at.node("DepthToSpace", at.x, blocksize=layer.upscale_factor, mode=mode)


def _pixel_unshuffle(layer: nn.PixelUnshuffle, at: ExportContext) -> str:
    if layer.depth_first:
        return at.node("SpaceToDepth", at.x, blocksize=layer.downscale_factor)
    return _shuffle(layer, at)


def _shuffle(layer: Any, at: ExportContext) -> str:
    split, axes, output = layer.move(at.fixed_shape())
    x = at.node("Reshape", at.x, at.integers("split", [0, *split]), part="split")
    x = at.node("Transpose", x, part="order", perm=[0, *(axis + 1 for axis in axes)])
    return at.node("Reshape", x, at.integers("shape", [0, *output]))


MAP_NODES: dict[type[Layer], Export] = {
    nn.AdaptiveAvgPool2d: _adaptive_average,
    nn.AdaptiveMaxPool2d: _adaptive_maximum,
    nn.Amax: _reduce("ReduceMax"),
    nn.ChannelShuffle: _shuffle,
    nn.CircularPad2d: _gather,
    nn.ConstantPad2d: _pad(None),
    nn.Expand: _expand,
    nn.IndexSelect: _index_select,
    nn.Mean: _reduce("ReduceMean"),
    nn.PixelShuffle: _pixel_shuffle,
    nn.PixelUnshuffle: _pixel_unshuffle,
    nn.ReflectionPad2d: _pad("reflect"),
    nn.ReplicationPad2d: _pad("edge"),
    nn.Slice: _slice,
    nn.Sum: _sum,
    nn.Upsample: _upsample,
    nn.ZeroPad2d: _pad(None),
    nn.ZeroPad3d: _zero_pad3d,
}
