"""How far rounding can take a number: the tolerance of every check is derived here, none is chosen.

A sum of n products computed in a dtype with unit roundoff u has errors of standard deviation at most
u sqrt(n) A, where A is the sum of the products' absolute values; sums over independent errors add in squares.
Hoeffding's inequality gives an error above SIGMAS times that a probability below 2 exp(-SIGMAS^2 / 2) = 3e-14.
For n <= SIGMAS^2 the bound is the worst case itself.  Source: Higham, Mary 2019, "A new approach to probabilistic
rounding error analysis".

What a layer's kind does not tell is registered here: its number of roundings, and for a smooth layer the size of
its gradient's terms.
"""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch
from math import prod

import numpy as np
from numpy.typing import DTypeLike

from minicnn._utils.types import Shape
from minicnn.kernels import reference
from minicnn.kernels.reference.axis_taps import AxisTaps
from minicnn.layers import (
    Add,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    GlobalAvgPool2d,
    Keep,
    Kind,
    Layer,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    LogSoftmax,
    Maximum,
    Minimum,
    PReLU,
    Scale,
    Softmax,
    Subtract,
    Tanh,
    Upsample,
)
from minicnn.layers.layer_norm import Standardisation
from minicnn.layers.pointwise import Pointwise
from minicnn.layers.resampling.base import Resample, Taps
from minicnn.layers.transforms.fuse import ConvReLU2d
from minicnn.layers.transforms.own import is_own
from minicnn.layers.transforms.pack import Packed

__all__ = [
    "SIGMAS",
    "UNDERFLOW",
    "UNITS",
    "forward_scale",
    "gradient_scales",
    "inner",
    "round_to",
    "terms",
    "tolerance",
    "unit",
    "unknown_scale",
]

SIGMAS = 8.0
UNDERFLOW = 1.5e-154  # squares of smaller numbers underflow
UNITS = {"float16": 2.0**-11, "bfloat16": 2.0**-8}  # unit roundoff of what is coarser than float32
UNKNOWN = 128  # roundings in units of u, of a layer of which nothing is known
ELEMENTARY = 16  # roundings of an exponential, a power or a hyperbolic tangent, generously


def unit(dtype: DTypeLike) -> float:
    """Return the unit roundoff of a dtype: half the distance from 1 to the next number."""
    return float(np.finfo(dtype).eps) / 2


def round_to(x: np.ndarray, dtype: str) -> np.ndarray:
    """Return float32 numbers rounded to a coarser dtype, which NumPy need not have."""
    if dtype != "bfloat16":
        return x.astype(dtype).astype(np.float32)
    bits = x.astype(np.float32).view(np.uint32)
    # the upper half of the bits, to nearest, ties to even
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def tolerance(dtype: DTypeLike, *scales: np.ndarray) -> float:
    """Largest error that rounding explains in a sum: SIGMAS u sqrt(sum of the squares of all ``scales``)."""
    return UNDERFLOW + SIGMAS * unit(dtype) * float(np.sqrt(sum(np.vdot(s, s) for s in scales)))


def inner(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Return <a, b>, summed in pairs, and how far rounding can take it.

    NumPy adds blocks of 128 values in eight lanes, and the blocks in pairs: no more than 16 + log2(n) additions
    in a row.  A BLAS dot product adds n / lanes values in a row and would be far less exact.
    """
    products = (a * b).ravel()
    # the n of the module's formula is the depth of the pairwise sum
    depth = 17 + np.log2(max(products.size, 1))
    return float(products.sum()), tolerance(np.float64, np.sqrt(depth) * products)


def forward_scale(layer: Layer, x: np.ndarray, reach: np.ndarray | float = 0.0) -> np.ndarray:
    """Error of each output value in units of u: sqrt(n) A, for inputs up to |x| + reach."""
    size = np.abs(x) + reach
    if is_own(layer):
        return unknown_scale(layer.forward(x, reference)[0])
    if isinstance(layer, ConvReLU2d):
        scale, shift = _scale_and_shift(layer)
        return forward_scale(layer.convolution, x, reach) * scale + 4 * shift
    if isinstance(layer, Standardisation):
        size, _, affine = _standardised(layer, x, size)
        state = absolute(layer).state()
        y = reference.scale_and_shift(size, affine, state.get("weight"), state.get("bias"))
        return np.sqrt(terms(layer, x.shape)) * y
    if layer.kind >= Kind.SMOOTH:
        y, _ = layer.forward(x, reference)
        return np.sqrt(terms(layer, x.shape)) * (np.abs(y) + 1) * (1 + _magnification(layer, size))
    # A, as the layer itself adds it up from absolute values
    y, _ = absolute(layer).forward(size, reference)
    return np.sqrt(terms(layer, x.shape) + 1) * np.abs(y) * _steepest_slope(layer)


def gradient_scales(layer: Layer, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
    """Error of each value of each gradient in units of u: sqrt(n) A; the input's under the name "input"."""
    if isinstance(layer, ConvReLU2d):
        scale, _ = _scale_and_shift(layer)
        return {"input": gradient_scales(layer.convolution, x, dy * scale)["input"] * 2}
    if is_own(layer):
        _, saved = layer.forward(x, reference, Keep.MASKS)
        return {"input": unknown_scale(layer.backward(dy, saved, reference)[0])}
    size, (input_terms, parameter_terms) = np.abs(dy), _gradient_terms(layer, x.shape, dy.shape)
    if layer.kind == Kind.SMOOTH or isinstance(layer, Pointwise):
        scales = {"input": np.sqrt(input_terms) * _smooth_gradient_size(layer, x, size)}
        if isinstance(layer, Standardisation):
            z, _, affine = _standardised(layer, x, np.abs(x))
            sums = {
                "weight": reference.scale_and_shift_weight_grad(z, size, affine),
                "bias": reference.scale_and_shift_bias_grad(size, affine),
            }
            shapes = layer.parameter_shapes()
            scales |= {name: np.sqrt(parameter_terms) * sums[name].reshape(shapes[name]) for name in shapes}
        return scales
    if layer.kind <= Kind.AFFINE:  # the sizes of its terms do not depend on what x is, but on how large
        layer, x = absolute(layer), np.abs(x)
    _, saved = layer.forward(x, reference, Keep.INPUTS)
    dx, others = layer.backward(size, saved, reference, weights=True)
    scales = {"input": np.sqrt(input_terms) * np.abs(dx)}
    return scales | {name: np.sqrt(parameter_terms) * np.abs(value) for name, value in others.items()}


def unknown_scale(values: np.ndarray, terms: np.ndarray | float = 0.0) -> np.ndarray:
    """Error of each value of an array, generously, in units of u, if only sizes are known: its own and of terms.

    ``terms`` are what may have cancelled in it, of any shape; they count by their norm, shared by all values.
    """
    size = np.abs(values.astype(np.float64))
    share = np.sqrt((np.vdot(size, size) + 64 * np.sum(np.square(terms))) / max(size.size, 1))
    return UNKNOWN * (size + share)


def absolute(layer: Layer) -> Layer:
    """Return the layer with the absolute values of its parameters: it adds up the sizes of the terms."""
    state = {name: np.abs(array) for name, array in layer.state().items()}
    # terms that are subtracted add up in size, and the smaller of two values may be the larger in size
    if isinstance(layer, Packed):
        sizes: dict[type[Layer], Layer] = {Subtract: Add(), Minimum: Maximum()}
        return replace(layer, join=sizes.get(type(layer.join), layer.join))
    # x - mean has terms of size |x| and |mean|, which add up as |x| - (-|mean|)
    if "running_mean" in state:
        state["running_mean"] = -state["running_mean"]
    # the others have no weights below 0
    return AbsoluteResample(layer) if isinstance(layer, Upsample) else layer.with_state(state)


class AbsoluteResample(Resample):
    """The layer ``of`` with the absolute values of its weights; a bicubic interpolation has some below 0."""

    of: Resample

    def __init__(self, of: Resample):
        super().__init__()
        object.__setattr__(self, "of", of)

    def taps(self, shape: Shape) -> Taps:
        """Return the same taps, their weights >= 0."""
        return tuple(
            None if t is None else AxisTaps(t.index, np.abs(t.weight), t.size) for t in self.of.taps(shape)
        )


@singledispatch
def terms(layer: Layer, shape: Shape) -> int:
    """Return how many roundings lie between an output value and the inputs, whose shape is (N, ...)."""
    return 1


terms.register(AvgPool2d, lambda layer, shape: prod(layer.kernel_size) + 1)
terms.register(BatchNorm2d, lambda layer, shape: 6)
terms.register(Conv2d, lambda layer, shape: prod(layer.weight.shape[1:]) + 1)
terms.register(ConvTranspose2d, lambda layer, shape: shape[1] // layer.groups * prod(layer.kernel_size) + 1)
terms.register(GlobalAvgPool2d, lambda layer, shape: prod(shape[2:]) + 1)
terms.register(Linear, lambda layer, shape: layer.in_features + 1)
terms.register(LocalResponseNorm, lambda layer, shape: layer.size + ELEMENTARY)
terms.register(LogSoftmax, lambda layer, shape: shape[1] + ELEMENTARY)
terms.register(Resample, lambda layer, shape: sum(2 * t.index.shape[1] for t in layer.taps(shape[1:]) if t) + 1)
terms.register(Packed, lambda layer, shape: len(layer.shapes))
terms.register(Pointwise, lambda layer, shape: ELEMENTARY)
terms.register(Standardisation, lambda layer, shape: prod(layer.statistics_view(shape[1:])[1:2]) + ELEMENTARY)
terms.register(Softmax, lambda layer, shape: shape[1] + ELEMENTARY)
terms.register(Tanh, lambda layer, shape: ELEMENTARY)


@singledispatch
def _gradient_terms(layer: Layer, x: Shape, dy: Shape) -> tuple[int, int]:
    """How many roundings lie behind a value of the input's gradient, and of a parameter's."""
    # an input value belongs to as many windows as a window has taps, at most
    kernel_size = getattr(layer, "kernel_size", (1,))
    return 2 * terms(layer, x) + prod(kernel_size), _pixels(x, dy) + 6


@_gradient_terms.register(Conv2d)
@_gradient_terms.register(ConvTranspose2d)
def _(layer: Conv2d | ConvTranspose2d, x: Shape, dy: Shape) -> tuple[int, int]:
    window = layer.parameter_shapes()["weight"][2:]
    return dy[1] // layer.groups * prod(window) + 1, _pixels(x, dy)


@_gradient_terms.register
def _(layer: Resample, x: Shape, dy: Shape) -> tuple[int, int]:
    # an input value belongs to as many outputs as its row of the transposed map has
    return sum(2 * t.transposed.index.shape[1] for t in layer.taps(x[1:]) if t) + 1, 0


_gradient_terms.register(Scale, lambda layer, x, dy: (2, prod(x)))
_gradient_terms.register(
    Standardisation,
    lambda layer, x, dy: (2 * terms(layer, x), prod(x) // layer.views(x)[1][1] + ELEMENTARY),
)


@_gradient_terms.register
def _(layer: Packed, x: Shape, dy: Shape) -> tuple[int, int]:
    # what is repeated sums over the copies
    return len(layer.shapes) + max(prod(dy[1:]) // prod(shape) for shape in layer.shapes), 0


_gradient_terms.register(Linear, lambda layer, x, dy: (layer.out_features, prod(x[:-1])))


def _pixels(x: Shape, dy: Shape) -> int:
    """Return over how many values a parameter's gradient is summed."""
    return x[0] * max(prod(x[2:]), prod(dy[2:]))


@singledispatch
def _steepest_slope(layer: Layer) -> float:
    """Slope of a rectifier's steeper side; 1 for all other layers."""
    return 1.0


_steepest_slope.register(LeakyReLU, lambda layer: max(1.0, np.abs(layer.negative_slope)))
_steepest_slope.register(PReLU, lambda layer: max(1.0, np.abs(layer.weight).max()))


def _magnification(layer: Layer, size: np.ndarray) -> float:
    """How an exponential magnifies the rounding of its argument; 0 for a power, which does not."""
    return 0.0 if isinstance(layer, LocalResponseNorm | Packed) else 2 * float(size.max(initial=0.0))


@singledispatch
def _smooth_gradient_size(layer: Layer, x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Sum of the absolute values of the terms of a smooth layer's input gradient, for dy >= 0."""
    _, saved = layer.forward(x, reference, Keep.INPUTS)
    return unknown_scale(layer.backward(dy, saved, reference)[0])


@_smooth_gradient_size.register
def _(layer: LocalResponseNorm, x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    y, _ = layer.forward(x, reference)
    # y / x is the power that x is divided by
    own = dy * np.abs(np.divide(y, x, out=np.ones_like(y), where=x != 0))
    return 2 * own + np.abs(reference.local_response_norm_input_grad(np.abs(x), dy, **layer.config()))


@_smooth_gradient_size.register
def _(layer: LogSoftmax, x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    # dx = dy - p sum(dy), each term by its size
    p = np.exp(layer.forward(x, reference)[0])
    return (p * (dy + dy.sum(axis=1, keepdims=True)) + dy) * (1 + _magnification(layer, np.abs(x)))


@_smooth_gradient_size.register
def _(layer: Packed, x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    # a product's, of absolute values
    _, saved = layer.forward(np.abs(x), reference, Keep.MASKS)
    return np.abs(layer.backward(dy, saved, reference)[0])


@_smooth_gradient_size.register
def _(layer: Pointwise, x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    # a slope is a sum of terms of about its own size, or of 1 times x
    slope, _ = layer.backward(np.ones_like(x), x, reference)
    return dy * (np.abs(slope) + 1) * (1 + np.abs(x))


@_smooth_gradient_size.register
def _(layer: Standardisation, x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    # dx = (dy - mean(dy) - y mean(dy y)) / sqrt(var + eps), each term by its size
    z, inverse, affine = _standardised(layer, x, np.abs(x))
    dy = reference.scale_and_shift_input_grad(dy, affine, absolute(layer).state().get("weight"))
    shape = len(inverse), -1, inverse.shape[2]
    dy, z = dy.reshape(shape), z.reshape(shape)
    means = dy.mean(axis=1, keepdims=True) + z * (dy * z).mean(axis=1, keepdims=True)
    return ((dy + means) * inverse).reshape(x.shape)


def _standardised(
    layer: Standardisation, x: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[int, int, int]]:
    """Return the size of the standardised values and of their error, what divides, and the view of the weights."""
    _, (z, inverse) = layer.forward(x, reference, Keep.MASKS)
    statistics, affine = layer.views(x.shape)
    size = size.reshape(statistics)
    # what rounding takes off x and its mean stays in their difference, and is divided by the deviation
    size = inverse * (size + size.mean(axis=1, keepdims=True))
    return 1 + np.abs(z) + size.reshape(x.shape), inverse, affine


@_smooth_gradient_size.register
def _(layer: Softmax, x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    # dx = p (dy - sum(p dy)), each term by its size
    p, _ = layer.forward(x, reference)
    return p * (dy + (dy * p).sum(axis=1, keepdims=True)) * (1 + _magnification(layer, np.abs(x)))


@_smooth_gradient_size.register
def _(layer: Tanh, x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    # dx = dy - y^2 dy with y^2 < 1: two terms of at most dy
    return 2 * dy


def _scale_and_shift(layer: ConvReLU2d) -> tuple[np.ndarray | float, np.ndarray | float]:
    """Return a merged normalisation's |scale| and |shift|, of shape (C, 1, 1); 1 and 0 without."""
    scale, shift = layer.scale_and_shift()
    return (
        1.0 if scale is None else np.abs(scale)[:, None, None],
        0.0 if shift is None else np.abs(shift)[:, None, None],
    )
