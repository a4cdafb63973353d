"""How far rounding can take a number: the tolerance of every check is derived here, none is chosen.

A sum of n products computed in a dtype with unit roundoff u has errors of standard deviation at most
u sqrt(n) A, where A is the sum of the products' absolute values; sums over independent errors add in squares.
Hoeffding's inequality gives an error above SIGMAS times that a probability below 2 exp(-SIGMAS^2 / 2) = 3e-14.
For n <= SIGMAS^2 the bound is the worst case itself.  Source: Higham, Mary 2019, "A new approach to probabilistic
rounding error analysis".
"""

from __future__ import annotations

from math import prod

import numpy as np

from minicnn.kernels import reference
from minicnn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    GlobalAvgPool2d,
    Keep,
    Kind,
    Layer,
    Linear,
    LocalResponseNorm,
    LogSoftmax,
    PReLU,
    Softmax,
    Tanh,
)
from minicnn.layers.transforms.fuse import ConvReLU2d

__all__ = ["SIGMAS", "forward_scale", "gradient_scales", "inner", "terms", "tolerance", "unit"]

SIGMAS = 8.0
UNDERFLOW = 1.5e-154  # squares of smaller numbers underflow


def unit(dtype) -> float:
    """Return the unit roundoff of a dtype: half the distance from 1 to the next number."""
    return float(np.finfo(dtype).eps) / 2


def tolerance(dtype, *terms: np.ndarray) -> float:
    """Largest error that rounding explains in a sum: SIGMAS u sqrt(sum of the squares of all ``terms``)."""
    return UNDERFLOW + SIGMAS * unit(dtype) * float(np.sqrt(sum(np.vdot(t, t) for t in terms)))


def inner(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Return <a, b>, summed in pairs, and how far rounding can take it.

    NumPy adds blocks of 128 values in eight lanes, and the blocks in pairs: no more than 16 + log2(n) additions
    in a row.  A BLAS dot product adds n / lanes values in a row and would be far less exact.
    """
    products = (a * b).ravel()
    depth = 17 + np.log2(max(products.size, 1))
    return float(products.sum()), tolerance(np.float64, np.sqrt(depth) * products)


def forward_scale(layer: Layer, x: np.ndarray, reach: np.ndarray | float = 0.0) -> np.ndarray:
    """Error of each output value in units of u: sqrt(n) A, for inputs up to |x| + reach."""
    size = np.abs(x) + reach
    if isinstance(layer, ConvReLU2d):
        return forward_scale(layer.convolution, x, reach) * _norm_scale(layer) + 4 * _norm_shift(layer)
    if layer.kind is Kind.SMOOTH:
        y, _ = layer.forward(x, reference)
        return np.sqrt(terms(layer, x.shape)) * (np.abs(y) + 1) * (1 + _largest(layer, size))
    y, _ = absolute(layer).forward(size, reference)
    return np.sqrt(terms(layer, x.shape) + 1) * np.abs(y) * _steepest(layer)


def gradient_scales(layer: Layer, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
    """Error of each value of each gradient in units of u: sqrt(n) A; the input's under the name "input"."""
    if isinstance(layer, ConvReLU2d):
        return {"input": gradient_scales(layer.convolution, x, dy * _norm_scale(layer))["input"] * 2}
    size, counts = np.abs(dy), _gradient_terms(layer, x.shape, dy.shape)
    if layer.kind is Kind.SMOOTH:
        return {"input": np.sqrt(counts[0]) * _smooth_size(layer, x, size)}
    part, at = (absolute(layer), np.abs(x)) if layer.kind <= Kind.AFFINE else (layer, x)
    _, saved = part.forward(at, reference, Keep.INPUTS)
    dx, others = part.backward(size, saved, reference, weights=True)
    scales = {"input": np.sqrt(counts[0]) * np.abs(dx)}
    return scales | {name: np.sqrt(counts[1]) * np.abs(value) for name, value in others.items()}


def absolute(layer: Layer) -> Layer:
    """Return the layer with the absolute values of its parameters: it adds up the sizes of the terms."""
    state = {name: np.abs(array) for name, array in layer.state().items()}
    if "running_mean" in state:
        state["running_mean"] = -state["running_mean"]
    return layer.with_state(state)


def terms(layer: Layer, shape: tuple[int, ...]) -> int:
    """Return how many roundings lie between an output value and the inputs, ``shape`` (N, ...) is the input's."""
    if isinstance(layer, Conv2d):
        return prod(layer.weight.shape[1:]) + 1
    if isinstance(layer, ConvTranspose2d):
        return shape[1] // layer.groups * prod(layer.kernel_size) + 1
    if isinstance(layer, Linear):
        return layer.in_features + 1
    if isinstance(layer, AvgPool2d):
        return prod(layer.kernel_size) + 1
    if isinstance(layer, GlobalAvgPool2d):
        return prod(shape[2:]) + 1
    if isinstance(layer, LocalResponseNorm):
        return layer.size + 16
    return {BatchNorm2d: 6, Softmax: shape[1] + 16, LogSoftmax: shape[1] + 16, Tanh: 16}.get(type(layer), 1)


def _gradient_terms(layer: Layer, x: tuple[int, ...], dy: tuple[int, ...]) -> tuple[int, int]:
    """How many roundings lie behind a value of the input's gradient, and of a parameter's."""
    sums = x[0] * max(prod(x[2:]), prod(dy[2:]))
    if isinstance(layer, Conv2d | ConvTranspose2d):
        return dy[1] // layer.groups * prod(layer.kernel_size) + 1, sums
    if isinstance(layer, Linear):
        return layer.out_features, x[0]
    return 2 * terms(layer, x) + prod(getattr(layer, "kernel_size", (1,))), sums + 6


def _norm_scale(layer: ConvReLU2d):
    scale, _ = layer._scale_and_shift()
    return 1.0 if scale is None else np.abs(scale)[:, None, None]


def _norm_shift(layer: ConvReLU2d):
    _, shift = layer._scale_and_shift()
    return 0.0 if shift is None else np.abs(shift)[:, None, None]


def _steepest(layer: Layer) -> float:
    """Slope of a rectifier's steeper side."""
    slope = np.abs(getattr(layer, "negative_slope", 0.0))
    return max(1.0, slope, np.abs(layer.weight).max() if isinstance(layer, PReLU) else 0.0)


def _largest(layer: Layer, size: np.ndarray) -> float:
    """How an exponential magnifies the rounding of its argument; 0 for a power, which does not."""
    return 0.0 if isinstance(layer, LocalResponseNorm) else 2 * float(size.max(initial=0.0))


def _smooth_size(layer: Layer, x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Sum of the absolute values of the terms of a smooth layer's input gradient, for dy >= 0."""
    y, _ = layer.forward(x, reference)
    if isinstance(layer, LocalResponseNorm):
        own = dy * np.abs(np.divide(y, x, out=np.ones_like(y), where=x != 0))
        return 2 * own + np.abs(reference.local_response_norm_input_grad(np.abs(x), dy, **layer.config()))
    if isinstance(layer, Tanh):
        return 2 * dy
    p = np.exp(y) if isinstance(layer, LogSoftmax) else y
    mixed = (
        dy + dy.sum(axis=1, keepdims=True)
        if isinstance(layer, LogSoftmax)
        else dy + (dy * p).sum(1, keepdims=True)
    )
    return (p * mixed + (dy if isinstance(layer, LogSoftmax) else 0)) * (1 + _largest(layer, np.abs(x)))
