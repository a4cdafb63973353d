"""One layer's gradients against its own forward pass: by difference quotient, adjoint identity or complex step."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minicnn._utils.types import Shape
from minicnn.kernels import reference
from minicnn.layers import Keep, Kind, Layer
from minicnn.layers.kinks import clearance, complex_step, distance_to_kink, parameter_tangent, tangent
from minicnn.layers.transforms.fuse import ConvReLU2d
from minicnn.verify.gradcheck.probes import Claim, Derivative, Measured, Sampling, check_claim, step_within
from minicnn.verify.gradcheck.report import Row, RowLabel
from minicnn.verify.rounding import SIGMAS, UNDERFLOW, forward_scale, gradient_scales, inner, tolerance, unit

__all__ = ["LayerCase", "check_layer"]


class LayerCase(NamedTuple):
    """A layer that is no block, and an input that reaches it.

    Attributes
    ----------
    name : dotted
    layer, x : in float64
    own : the layer as the device runs it, in the device's dtype

    """

    name: str
    layer: Layer
    own: Layer
    x: np.ndarray

    @property
    def multiply_adds(self) -> int:
        """Work of a forward pass, and one step a value where that is more."""
        return max(self.x.size, len(self.x) * self.layer.multiply_adds(self.x.shape[1:]))


def check_layer(
    case: LayerCase, kernels: ModuleType, dtype: DTypeLike, rng: np.random.Generator, sampling: Sampling
) -> Iterator[Row]:
    """Yield rows for a layer's input and each of its parameters.

    A merged convolution is checked in its input alone: its parameters are those of the convolution alone.
    """
    merged = isinstance(case.own, ConvReLU2d)
    # the gradient under test is the device's; what it must equal is computed by the reference in float64
    y, saved = case.own.forward(case.x.astype(dtype), kernels, Keep.INPUTS)
    # rounded to the device's dtype, so that both sides start from the same cotangent
    dy = _draw_cotangent(case, y.shape, dtype, rng)
    dx, others = case.own.backward(dy.astype(dtype), saved, kernels, weights=not merged)
    gradients = {"input": dx, **others}
    scales = gradient_scales(case.layer, case.x, dy)
    sampling = sampling.limit_work(case.multiply_adds)
    for what in ("input", *([] if merged else trainable(case.layer))):
        array = case.x if what == "input" else case.layer.state()[what]
        claim = Claim(array, gradients.get(what), scales[what])
        for how, derivative in _derivatives(case, what, dy, scales[what]):
            label = RowLabel(case.name, type(getattr(case.layer, "join", case.layer)).__name__, what, how)
            yield check_claim(label, claim, derivative, dtype, rng, sampling)


def trainable(layer: Layer) -> list[str]:
    """Names of the parameters that a gradient reaches."""
    return [name for name in layer.parameter_shapes() if not name.startswith("running_")]


def _draw_cotangent(case: LayerCase, shape: Shape, dtype: DTypeLike, rng: np.random.Generator) -> np.ndarray:
    """Random dy, 0 where x is at a kink, or, before a merged rectifier, where rounding decides on which side."""
    dy = rng.standard_normal(shape).astype(dtype).astype(np.float64)
    # nearer than numbers can be divided by is on the kink
    uncertain: np.ndarray | float = UNDERFLOW * float(np.abs(case.x).max(initial=0.0))
    if isinstance(case.own, ConvReLU2d):
        uncertain = SIGMAS * unit(dtype) * forward_scale(case.layer, case.x)
    return np.where(clearance(case.layer, case.x) > uncertain, dy, 0.0)


def _derivatives(
    case: LayerCase, what: str, dy: np.ndarray, scale: np.ndarray
) -> Iterator[tuple[str, Derivative]]:
    """Yield the ways in which the forward pass tells <J v, dy>: name, and function of v."""
    layer, x = case.layer, case.x

    def along_input(v: np.ndarray) -> Measured:
        # J v by a forward pass: Im f(x + i t v) / t where the layer is smooth
        moved = complex_step(layer, x, v) if layer.kind == Kind.SMOOTH else tangent(layer, x, v)
        value, summation = inner(moved, dy)
        return Measured(value, tolerance(np.float64, scale * v) + summation)

    def along_parameter(v: np.ndarray) -> Measured:
        value, summation = inner(np.asarray(parameter_tangent(layer, x, {what: v})), dy)
        return Measured(value, tolerance(np.float64, scale * v) + summation)

    # a smooth layer has curvature, of which a difference quotient would keep a share
    if what == "input" and layer.kind >= Kind.SMOOTH:
        yield "complex step", along_input
        return
    yield "difference quotient", lambda v: _difference_quotient(case, what, dy, v)
    if what != "input":
        yield "adjoint identity", along_parameter
    elif layer.kind <= Kind.AFFINE:
        yield "adjoint identity", along_input


def _difference_quotient(case: LayerCase, what: str, dy: np.ndarray, v: np.ndarray) -> Measured:
    """Central difference inside of the linear piece: exact but for the rounding of two forward passes."""
    layer, x = case.layer, case.x
    if what == "input":
        # the room of those outputs that count: kinks where dy is 0 do not matter
        free = np.broadcast_to(distance_to_kink(layer, x, v), dy.shape)[dy != 0]
        h = step_within(free.min(initial=np.inf), x, v)
        above, below = (layer.forward(x + s * v, reference)[0] for s in (h, -h))
        # inputs may be as large as |x| + h |v| in one of the two passes
        scale = forward_scale(layer, x, h * np.abs(v))
    else:
        a = layer.state()[what]
        # a layer is linear in each parameter: no kink on the way
        h = step_within(np.inf, a, v)
        above, below = (layer.with_state({what: a + s * v}).forward(x, reference)[0] for s in (h, -h))
        scale = forward_scale(layer.with_state({what: np.abs(a) + h * np.abs(v)}), x)
    # where dy is 0 a pool of nothing but padding may say minus infinity
    difference = np.subtract(above, below, out=np.zeros_like(dy), where=dy != 0)
    weighted = np.multiply(scale, dy, out=np.zeros_like(dy), where=dy != 0)
    value, summation = inner(difference, dy)
    # two passes with independent errors over 2 h: at most one tolerance over h
    return Measured(value / (2 * h), tolerance(np.float64, weighted) / h + summation / (2 * h))
