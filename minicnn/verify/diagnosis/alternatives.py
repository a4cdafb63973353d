"""What else a layer's parameters and geometry may have meant: the conventions in which programs differ.

``alternatives`` takes a layer whose weights were loaded, and yields what the other program may have done; what is
known of a class of layers is registered here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial, singledispatch
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

from minicnn import layers as nn
from minicnn._utils.types import Shape
from minicnn.layers import Layer
from minicnn.shapes import same_padding

__all__ = ["Alternative", "LayerContext", "alternatives", "reorder"]

EPSILONS = (1e-3, 1e-4, 2e-5, 1e-5, 1e-6)  # TensorFlow; Caffe's converters; MXNet; torch; Keras's successors


class Alternative(NamedTuple):
    """Another reading of a layer.

    Attributes
    ----------
    convention : such as "kernel order"
    what : the other program may have done
    make : function that returns the layer which computes it

    """

    convention: str
    what: str
    make: Callable[[], Layer]


@dataclass(frozen=True)
class LayerContext:
    """Where a layer stands in its network.

    Attributes
    ----------
    shape : of its input, without the batch axis
    maps : (C, H, W) of the maps that were flattened into the input of a full layer, or None
    first, last : whether it is the first convolution or full layer, or else the one that gives the scores

    """

    shape: Shape
    maps: Shape | None = None
    first: bool = False
    last: bool = False


@singledispatch
def alternatives(layer: Layer, context: LayerContext) -> Iterator[Alternative]:
    """Yield what else the layer may be; nothing for a class of which no other convention is known."""
    return iter(())


# weights


def reorder(weight: np.ndarray, order: Sequence[int], shape: Shape | None = None) -> np.ndarray:
    """Return what a buffer of that shape means whose axes were in ``order``, though it was read in ours."""
    shape = shape or weight.shape
    stored = weight.reshape([shape[axis] for axis in order])
    # axis k of the buffer is our axis order[k]; argsort inverts that
    return np.ascontiguousarray(stored.transpose(np.argsort(order)))


def _other_orders(shape: Shape, letters: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and the order of each way to store an array that is not ours; axes of length 1 have none."""
    # orders that differ in axes of length 1 alone are the same
    seen = {tuple(i for i in range(len(shape)) if shape[i] > 1)}
    for order in permutations(range(len(shape))):
        key = tuple(i for i in order if shape[i] > 1)
        if key not in seen:
            seen.add(key)
            yield "".join(letters[i] for i in order), order


@alternatives.register(nn.Conv2d)
@alternatives.register(nn.ConvTranspose2d)
def _(layer: nn.Conv2d | nn.ConvTranspose2d, context: LayerContext) -> Iterator[Alternative]:
    weight = layer.state()["weight"]
    if max(weight.shape[2:]) > 1:
        for what, axes in (("both ways", (2, 3)), ("top to bottom", 2), ("left to right", 3)):
            yield Alternative("kernel flip", f"kernels flipped {what}", partial(_flip, layer, axes))
    if context.first and context.shape[0] > 1:
        yield Alternative("channel order", "input channels reversed", partial(_flip, layer, 1))
    for name, order in _other_orders(weight.shape, "OIHW" if isinstance(layer, nn.Conv2d) else "IOHW"):
        yield Alternative("kernel order", f"kernels stored as {name}", partial(_reorder_weight, layer, order))
    if isinstance(layer, nn.Conv2d):
        yield from _groups(layer)
        yield from _paddings(layer, context)
        yield from _classes(layer, context)


def _groups(layer: nn.Conv2d) -> Iterator[Alternative]:
    if not 1 < layer.groups <= 8:
        return
    filters = np.arange(layer.out_channels)
    # our filter i is the file's filter order[i]
    orders = {
        "groups in reverse order": filters.reshape(layer.groups, -1)[::-1],
        "filters dealt to the groups in turn": filters.reshape(-1, layer.groups).T,
        "filters dealt from the groups in turn": filters.reshape(layer.groups, -1).T,
    }
    for what, order in orders.items():
        yield Alternative("groups", what, partial(_reorder_outputs, layer, order.reshape(-1)))


def _classes(layer: nn.Conv2d | nn.Linear, context: LayerContext) -> Iterator[Alternative]:
    if not context.last:
        return
    classes = np.arange(len(layer.state()["weight"]))
    orders = {
        "classes in reverse order": classes[::-1],
        "classes shifted by one, a background class first": np.roll(classes, -1),
        "classes shifted by one, a background class last": np.roll(classes, 1),
    }
    for what, order in orders.items():
        yield Alternative("class order", what, partial(_reorder_outputs, layer, order))


@alternatives.register
def _(layer: nn.Linear, context: LayerContext) -> Iterator[Alternative]:
    yield Alternative("matrix order", "matrix stored as (in, out)", partial(_reorder_weight, layer, (1, 0)))
    if context.maps is not None:
        for name, order in _other_orders(context.maps, "CHW"):
            make = partial(_reorder_inputs, layer, context.maps, order)
            yield Alternative("flattening", f"maps flattened as {name}", make)
    for factor in (0.5, 2.0):
        yield Alternative("dropout scale", f"weights times {factor:g}", partial(_scale_weight, layer, factor))
    yield from _classes(layer, context)


@alternatives.register
def _(layer: nn.Flatten, context: LayerContext) -> Iterator[Alternative]:
    if len(context.shape) == 3:
        for name, order in _other_orders(context.shape, "CHW"):
            steps = [("permute", nn.Permute(order)), ("flatten", layer)]
            yield Alternative("flattening", f"maps flattened as {name}", partial(nn.Sequential, steps))


# geometry


def _paddings(layer: nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d, context: LayerContext) -> Iterator[Alternative]:
    """Yield other sides for the same amount of padding, TensorFlow's SAME, half a window, and none."""
    config, (height, width) = layer.config(), context.shape[1:]
    window, dilation = config["kernel_size"], config.get("dilation", (1, 1))
    own = layer.geometry((height, width))["padding"] if isinstance(layer, nn.Conv2d) else config["padding"]
    same = same_padding((height, width), window, config["stride"], dilation)
    half = tuple((d * (k - 1) // 2,) * 2 for k, d in zip(window, dilation, strict=True))
    paddings = {
        "padding as TensorFlow's SAME": same,
        "padding of half a window on each side": half,
        "the larger padding on the other side": tuple(side[::-1] for side in own),
        "one pixel of padding moved to the top and left": tuple((a + 1, b - 1) for a, b in own),
        "one pixel of padding moved to the bottom and right": tuple((a - 1, b + 1) for a, b in own),
        "no padding": ((0, 0), (0, 0)),
    }
    seen = [own]
    for what, padding in paddings.items():
        if padding not in seen and min(map(min, padding)) >= 0 and _is_smaller(padding, window, dilation):
            seen.append(padding)
            yield Alternative("padding", what, partial(replace, layer, padding=padding))


def _is_smaller(padding: Any, window: Any, dilation: Any) -> bool:
    """Return whether each side is smaller than the window."""
    return all(max(side) <= d * (k - 1) for side, k, d in zip(padding, window, dilation, strict=True))


@alternatives.register(nn.MaxPool2d)
@alternatives.register(nn.AvgPool2d)
def _(layer: nn.MaxPool2d | nn.AvgPool2d, context: LayerContext) -> Iterator[Alternative]:
    word = "down" if layer.ceil_mode else "up"
    make = partial(replace, layer, ceil_mode=not layer.ceil_mode)
    yield Alternative("pool rounding", f"output size rounded {word}", make)
    if isinstance(layer, nn.AvgPool2d) and layer.padding != ((0, 0), (0, 0)):
        counted = "left out of" if layer.count_include_pad else "counted in"
        make = partial(replace, layer, count_include_pad=not layer.count_include_pad)
        yield Alternative("pool mean", f"padding {counted} the mean", make)
    yield from _paddings(layer, context)


# normalisation and rectifiers


@alternatives.register
def _(layer: nn.LocalResponseNorm, context: LayerContext) -> Iterator[Alternative]:
    for what, factor in (("not divided by the window", layer.size), ("divided by the window", 1 / layer.size)):
        yield Alternative("LRN alpha", f"alpha {what}", partial(replace, layer, alpha=layer.alpha * factor))
    for k in (1.0, 2.0):
        if k != layer.k:
            yield Alternative("LRN k", f"k = {k:g}", partial(replace, layer, k=k))
    for what, size in (("a radius", 2 * layer.size + 1), ("a diameter", (layer.size - 1) // 2)):
        if size >= 1:
            make = partial(replace, layer, size=size, alpha=layer.alpha / layer.size * size)  # alpha / n stays
            yield Alternative("LRN window", f"window given as {what}: size {size}", make)
    for beta in (0.5, 0.75, 1.0):
        if beta != layer.beta:
            yield Alternative("LRN beta", f"beta = {beta:g}", partial(replace, layer, beta=beta))


@alternatives.register
def _(layer: nn.BatchNorm2d, context: LayerContext) -> Iterator[Alternative]:
    for eps in EPSILONS:
        if eps != layer.eps:
            yield Alternative("batch-norm epsilon", f"epsilon {eps:g}", partial(replace, layer, eps=eps))
    var = layer.state()["running_var"]
    # var' + eps = (sqrt(var) + eps)^2, solved for the var' that our layer needs
    outside = np.maximum((np.sqrt(np.abs(var)) + layer.eps) ** 2 - layer.eps, 0).astype(var.dtype)
    make = partial(_with_arrays, layer, running_var=outside)
    yield Alternative("batch-norm epsilon", "epsilon added to the deviation", make)
    for what, arrays in _other_statistics(layer):
        yield Alternative("batch-norm statistics", what, partial(_with_arrays, layer, **arrays))


def _other_statistics(layer: nn.BatchNorm2d) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield what else the arrays of a batch normalisation may be, and the arrays that they then are."""
    state = layer.state()
    mean, var = state["running_mean"], state["running_var"]
    yield "deviations where variances are expected", {"running_var": var**2}
    yield "variances where deviations are expected", {"running_var": np.sqrt(np.abs(var))}
    if (var > 0).all():
        yield "inverse variances", {"running_var": 1 / var}
    if (mean > 0).all():
        yield "mean and variance exchanged", {"running_mean": var, "running_var": mean}
    if layer.affine:
        weight, bias = state["weight"], state["bias"]
        yield "weight and bias exchanged", {"weight": bias, "bias": weight}
        yield "mean and bias exchanged", {"bias": mean, "running_mean": bias}
        if (weight > 0).all():
            yield "variance and weight exchanged", {"weight": var, "running_var": weight}


@alternatives.register
def _(layer: nn.LeakyReLU, context: LayerContext) -> Iterator[Alternative]:
    for slope in (0.01, 0.1, 0.2, 0.3):
        if slope != layer.negative_slope:
            yield Alternative("rectifier", f"slope {slope:g}", partial(nn.LeakyReLU, slope))


@alternatives.register
def _(layer: nn.ReLU, context: LayerContext) -> Iterator[Alternative]:
    yield Alternative("rectifier", "a ceiling of 6", nn.ReLU6)


@alternatives.register
def _(layer: nn.ReLU6, context: LayerContext) -> Iterator[Alternative]:
    yield Alternative("rectifier", "no ceiling", nn.ReLU)


# layers with other parameters


def _with_arrays(layer: Layer, **arrays: np.ndarray) -> Layer:
    return layer.with_state({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def _flip(layer: Layer, axes: int | tuple[int, ...]) -> Layer:
    return _with_arrays(layer, weight=np.flip(layer.state()["weight"], axes))


def _reorder_weight(layer: Layer, order: tuple[int, ...]) -> Layer:
    return _with_arrays(layer, weight=reorder(layer.state()["weight"], order))


def _reorder_inputs(layer: nn.Linear, maps: Shape, order: tuple[int, ...]) -> Layer:
    columns = reorder(np.arange(layer.in_features), order, maps).reshape(-1)
    return _with_arrays(layer, weight=layer.state()["weight"][:, columns])


def _scale_weight(layer: nn.Linear, factor: float) -> Layer:
    weight = layer.state()["weight"]
    return _with_arrays(layer, weight=weight * np.asarray(factor, weight.dtype))


def _reorder_outputs(layer: nn.Conv2d | nn.Linear, order: np.ndarray) -> Layer:
    return _with_arrays(layer, **{name: array[order] for name, array in layer.state().items()})
