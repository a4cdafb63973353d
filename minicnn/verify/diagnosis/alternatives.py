"""What else a layer's parameters and geometry may have meant: the conventions in which programs differ.

Each function takes a layer whose weights were loaded, and yields (convention, what, make): what the other program
may have done, and a function that returns the layer which computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np

from minicnn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    Layer,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Permute,
    ReLU,
    ReLU6,
    Sequential,
)
from minicnn.shapes import same_padding

__all__ = ["Alternative", "alternatives"]

Alternative = tuple[str, str, Callable[[], Layer]]
Shape = tuple[int, ...]

EPSILONS = (1e-3, 1e-4, 2e-5, 1e-5, 1e-6)  # TensorFlow; Caffe's converters; MXNet; torch; Keras's successors


def alternatives(layer: Layer, shape: Shape, maps: Shape | None, place: str) -> Iterator[Alternative]:
    """Yield what else the layer may be.

    Parameters
    ----------
    layer : Layer
    shape : of its input, without the batch axis
    maps : (C, H, W) of the maps that were flattened into the input of a full layer, or None
    place : "first" for the first convolution, "last" for the layer that gives the scores, else ""

    """
    find = _KINDS.get(type(layer))
    if find is not None:
        yield from find(layer, shape, maps, place)


# weights


def stored_as(weight: np.ndarray, order: Sequence[int], shape: Shape | None = None) -> np.ndarray:
    """Return what a buffer of that shape means whose axes were in ``order``, though it was read in ours."""
    shape = shape or weight.shape
    there = weight.reshape([shape[axis] for axis in order])
    return np.ascontiguousarray(there.transpose(np.argsort(order)))


def _orders(shape: Shape, letters: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and the order of each way to store an array that is not ours; axes of length 1 have none."""
    seen = {tuple(i for i in range(len(shape)) if shape[i] > 1)}
    for order in permutations(range(len(shape))):
        key = tuple(i for i in order if shape[i] > 1)
        if key not in seen:
            seen.add(key)
            yield "".join(letters[i] for i in order), order


def _convolution(layer: Conv2d | ConvTranspose2d, shape: Shape, maps, place: str) -> Iterator[Alternative]:
    if max(layer.kernel_size) > 1:
        for what, axes in (("both ways", (2, 3)), ("top to bottom", 2), ("left to right", 3)):
            yield "kernel flip", f"kernels flipped {what}", partial(_flipped, layer, axes)
    if place == "first" and shape[0] > 1:
        yield "channel order", "input channels reversed", partial(_flipped, layer, 1)
    letters = "OIHW" if isinstance(layer, Conv2d) else "IOHW"
    for name, order in _orders(layer.weight.shape, letters):
        yield "kernel order", f"kernels stored as {name}", partial(_restored, layer, order)
    if isinstance(layer, Conv2d):
        yield from _groups(layer)
        yield from _paddings(layer, shape)
        yield from _classes(layer, place)


def _groups(layer: Conv2d) -> Iterator[Alternative]:
    if not 1 < layer.groups <= 8:
        return
    filters = np.arange(layer.out_channels)
    ways = {
        "groups in reverse order": filters.reshape(layer.groups, -1)[::-1],
        "filters dealt to the groups in turn": filters.reshape(-1, layer.groups).T,
        "filters dealt from the groups in turn": filters.reshape(layer.groups, -1).T,
    }
    for what, order in ways.items():
        yield "groups", what, partial(_rows, layer, order.reshape(-1))


def _classes(layer: Conv2d | Linear, place: str) -> Iterator[Alternative]:
    if place != "last":
        return
    classes = np.arange(len(layer.weight))
    ways = {
        "classes in reverse order": classes[::-1],
        "classes shifted by one, a background class first": np.roll(classes, -1),
        "classes shifted by one, a background class last": np.roll(classes, 1),
    }
    for what, order in ways.items():
        yield "class order", what, partial(_rows, layer, order)


def _linear(layer: Linear, shape: Shape, maps: Shape | None, place: str) -> Iterator[Alternative]:
    yield "matrix order", "matrix stored as (in, out)", partial(_restored, layer, (1, 0))
    for name, order in _orders(maps, "CHW") if maps is not None else ():
        yield "flattening", f"maps flattened as {name}", partial(_gathered, layer, maps, order)
    for factor in (0.5, 2.0):
        yield "dropout scale", f"weights times {factor:g}", partial(_scaled, layer, factor)
    yield from _classes(layer, place)


def _flatten(layer: Flatten, shape: Shape, maps, place: str) -> Iterator[Alternative]:
    if len(shape) == 3:
        for name, order in _orders(shape, "CHW"):
            steps = [("permute", Permute(order)), ("flatten", layer)]
            yield "flattening", f"maps flattened as {name}", partial(Sequential, steps)


# geometry


def _paddings(layer: Conv2d | MaxPool2d | AvgPool2d, shape: Shape) -> Iterator[Alternative]:
    """Yield other sides for the same amount of padding, TensorFlow's SAME, half a window, and none."""
    size, window = shape[1:], layer.kernel_size
    dilation = getattr(layer, "dilation", (1, 1))
    own = layer.geometry(size)["padding"] if isinstance(layer, Conv2d) else layer.padding
    same = same_padding(size, window, layer.stride, dilation)
    half = tuple((d * (k - 1) // 2,) * 2 for k, d in zip(window, dilation, strict=True))
    ways = {
        "padding as TensorFlow's SAME": same,
        "padding of half a window on each side": half,
        "the larger padding on the other side": tuple(side[::-1] for side in own),
        "one pixel of padding moved to the top and left": tuple((a + 1, b - 1) for a, b in own),
        "one pixel of padding moved to the bottom and right": tuple((a - 1, b + 1) for a, b in own),
        "no padding": ((0, 0), (0, 0)),
    }
    seen = [own]
    for what, padding in ways.items():
        if padding not in seen and min(map(min, padding)) >= 0 and _smaller(padding, window, dilation):
            seen.append(padding)
            yield "padding", what, partial(replace, layer, padding=padding)


def _smaller(padding: Any, window: Any, dilation: Any) -> bool:
    return all(max(side) <= d * (k - 1) for side, k, d in zip(padding, window, dilation, strict=True))


def _pool(layer: MaxPool2d | AvgPool2d, shape: Shape, maps, place: str) -> Iterator[Alternative]:
    word = "down" if layer.ceil_mode else "up"
    yield "pool rounding", f"output size rounded {word}", partial(replace, layer, ceil_mode=not layer.ceil_mode)
    if isinstance(layer, AvgPool2d) and layer.padding != ((0, 0), (0, 0)):
        counted = "left out of" if layer.count_include_pad else "counted in"
        other = partial(replace, layer, count_include_pad=not layer.count_include_pad)
        yield "pool mean", f"padding {counted} the mean", other
    yield from _paddings(layer, shape)


# normalisation and rectifiers


def _response(layer: LocalResponseNorm, shape: Shape, maps, place: str) -> Iterator[Alternative]:
    for what, factor in (("not divided by the window", layer.size), ("divided by the window", 1 / layer.size)):
        yield "LRN alpha", f"alpha {what}", partial(replace, layer, alpha=layer.alpha * factor)
    for k in (1.0, 2.0):
        if k != layer.k:
            yield "LRN k", f"k = {k:g}", partial(replace, layer, k=k)
    for what, size in (("a radius", 2 * layer.size + 1), ("a diameter", (layer.size - 1) // 2)):
        if size >= 1:
            alpha = layer.alpha / layer.size * size  # alpha over n stays
            yield (
                "LRN window",
                f"window given as {what}: size {size}",
                partial(replace, layer, size=size, alpha=alpha),
            )
    for beta in (0.5, 0.75, 1.0):
        if beta != layer.beta:
            yield "LRN beta", f"beta = {beta:g}", partial(replace, layer, beta=beta)


def _batch_norm(layer: BatchNorm2d, shape: Shape, maps, place: str) -> Iterator[Alternative]:
    for eps in EPSILONS:
        if eps != layer.eps:
            yield "batch-norm epsilon", f"epsilon {eps:g}", partial(replace, layer, eps=eps)
    var = layer.running_var
    kind = "batch-norm statistics"
    outside = np.maximum((np.sqrt(np.abs(var)) + layer.eps) ** 2 - layer.eps, 0).astype(var.dtype)
    yield "batch-norm epsilon", "epsilon added to the deviation", partial(_with, layer, running_var=outside)
    yield kind, "deviations where variances are expected", partial(_with, layer, running_var=var**2)
    yield kind, "variances where deviations are expected", partial(_with, layer, running_var=np.sqrt(np.abs(var)))
    if (var > 0).all():
        yield kind, "inverse variances", partial(_with, layer, running_var=1 / var)
    if (layer.running_mean > 0).all():
        swapped = {"running_mean": var, "running_var": layer.running_mean}
        yield kind, "mean and variance exchanged", partial(_with, layer, **swapped)
    if layer.affine:
        yield kind, "weight and bias exchanged", partial(_with, layer, weight=layer.bias, bias=layer.weight)
        swapped = {"bias": layer.running_mean, "running_mean": layer.bias}
        yield kind, "mean and bias exchanged", partial(_with, layer, **swapped)
        if (layer.weight > 0).all():
            swapped = {"weight": var, "running_var": layer.weight}
            yield kind, "variance and weight exchanged", partial(_with, layer, **swapped)


def _leaky(layer: LeakyReLU, shape: Shape, maps, place: str) -> Iterator[Alternative]:
    for slope in (0.01, 0.1, 0.2, 0.3):
        if slope != layer.negative_slope:
            yield "rectifier", f"slope {slope:g}", partial(LeakyReLU, slope)


def _rectifier(layer: ReLU | ReLU6, shape: Shape, maps, place: str) -> Iterator[Alternative]:
    if isinstance(layer, ReLU):
        yield "rectifier", "a ceiling of 6", ReLU6
    else:
        yield "rectifier", "no ceiling", ReLU


_KINDS = {
    AvgPool2d: _pool,
    BatchNorm2d: _batch_norm,
    Conv2d: _convolution,
    ConvTranspose2d: _convolution,
    Flatten: _flatten,
    LeakyReLU: _leaky,
    Linear: _linear,
    LocalResponseNorm: _response,
    MaxPool2d: _pool,
    ReLU: _rectifier,
    ReLU6: _rectifier,
}


def _with(layer: Layer, **arrays: np.ndarray) -> Layer:
    return layer.with_state({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def _flipped(layer: Layer, axes: int | tuple[int, ...]) -> Layer:
    return _with(layer, weight=np.flip(layer.weight, axes))


def _restored(layer: Layer, order: tuple[int, ...]) -> Layer:
    return _with(layer, weight=stored_as(layer.weight, order))


def _gathered(layer: Linear, maps: Shape, order: tuple[int, ...]) -> Layer:
    columns = stored_as(np.arange(layer.in_features), order, maps).reshape(-1)
    return _with(layer, weight=layer.weight[:, columns])


def _scaled(layer: Linear, factor: float) -> Layer:
    return _with(layer, weight=layer.weight * np.asarray(factor, layer.weight.dtype))


def _rows(layer: Conv2d | Linear, order: np.ndarray) -> Layer:
    return _with(layer, **{name: array[order] for name, array in layer.state().items()})
