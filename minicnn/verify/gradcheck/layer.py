"""One layer's gradients against its own forward pass: by difference quotient, adjoint identity or complex step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import NamedTuple

import numpy as np

from minicnn.kernels import reference
from minicnn.layers import Keep, Kind, Layer
from minicnn.layers.transforms.fuse import ConvReLU2d
from minicnn.verify.gradcheck.report import UNDECIDED, Row
from minicnn.verify.kinks import (
    clearance,
    complex_step,
    parameter_tangent,
    room,
    tangent,
)
from minicnn.verify.rounding import (
    SIGMAS,
    forward_scale,
    gradient_scales,
    inner,
    tolerance,
    unit,
)

__all__ = ["Direction", "Effort", "Leaf", "gaussian", "leaf_rows", "probed_row", "step_within"]

WORK = 500_000_000  # multiply-adds spent on the entries of one tensor: about a second
# v -> (value, tolerance) of a directional derivative, or None where x lies on a kink
Derivative = Callable[[np.ndarray], tuple[float, float] | None]


class Effort(NamedTuple):
    """How much is checked: Gaussian directions for every gradient; each entry where there are at most so many."""

    directions: int = 3
    entries: int = 64

    def within(self, cost: int) -> Effort:
        """Return the effort for a layer of so many multiply-adds: entry by entry where that is little work."""
        return self._replace(entries=min(self.entries, WORK // max(cost, 1)))


class Leaf(NamedTuple):
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


class Direction(NamedTuple):
    """A direction, and what to call it."""

    where: str
    v: np.ndarray


def leaf_rows(leaf: Leaf, kernels: ModuleType, dtype, rng: np.random.Generator, effort: Effort) -> Iterator[Row]:
    """Rows for a layer's input and each of its parameters."""
    x = leaf.x.astype(dtype)
    y, saved = leaf.own.forward(x, kernels, Keep.INPUTS)
    dy = _cotangent(leaf, y.shape, dtype, rng)
    weights = not isinstance(leaf.own, ConvReLU2d)
    dx, others = leaf.own.backward(dy.astype(dtype), saved, kernels, weights=weights)
    claimed = {"input": dx, **others}
    effort = effort.within(max(leaf.x.size, len(x) * leaf.layer.multiply_adds(x.shape[1:])))
    scales = gradient_scales(leaf.layer, leaf.x, dy)
    for what in ("input", *trainable(leaf.layer)):
        array = leaf.x if what == "input" else leaf.layer.state()[what]
        for how, derivative in _derivatives(leaf, what, dy, scales[what]):
            yield probed_row(
                (leaf.name, type(leaf.layer).__name__, what, how),
                (array, claimed.get(what), scales[what]),
                derivative,
                dtype,
                rng,
                effort,
            )


def trainable(layer: Layer) -> list[str]:
    """Names of the parameters that a gradient reaches."""
    return [name for name in layer.parameter_shapes() if not name.startswith("running_")]


def _cotangent(leaf: Leaf, shape, dtype, rng) -> np.ndarray:
    """Random dy, 0 where x is at a kink, or, before a merged rectifier, where rounding decides on which side."""
    dy = rng.standard_normal(shape).astype(dtype).astype(np.float64)
    near: np.ndarray | float = 0.0
    if isinstance(leaf.own, ConvReLU2d):
        near = SIGMAS * unit(dtype) * forward_scale(leaf.layer, leaf.x)
    return np.where(clearance(leaf.layer, leaf.x) > near, dy, 0.0)


def _derivatives(leaf: Leaf, what: str, dy, scale) -> Iterator[tuple[str, Derivative]]:
    """Return the ways in which the forward pass tells <J v, dy>, by name."""
    layer, x = leaf.layer, leaf.x

    def bilinear(image):
        def derivative(v):
            value, summation = inner(image(v), dy)
            return value, tolerance(np.float64, scale * v) + summation

        return derivative

    if what == "input" and layer.kind is Kind.SMOOTH:
        yield "complex step", bilinear(lambda v: complex_step(layer, x, v))
        return
    yield "difference quotient", lambda v: _quotient(leaf, what, dy, v)
    if what == "input" and layer.kind <= Kind.AFFINE:
        yield "adjoint identity", bilinear(lambda v: tangent(layer, x, v))
    if what != "input":
        yield "adjoint identity", bilinear(lambda v: parameter_tangent(layer, x, {what: v}))


def _quotient(leaf: Leaf, what: str, dy, v) -> tuple[float, float]:
    """Central difference inside of the linear piece: exact but for the rounding of two forward passes."""
    layer, x = leaf.layer, leaf.x
    if what == "input":
        free = np.broadcast_to(room(layer, x, v), dy.shape)[dy != 0]
        h = step_within(free.min(initial=np.inf), x, v)
        above, below = (layer.forward(x + s * v, reference)[0] for s in (h, -h))
        scale = forward_scale(layer, x, h * np.abs(v))
    else:
        a = layer.state()[what]
        h = step_within(np.inf, a, v)
        above, below = (layer.with_state({what: a + s * v}).forward(x, reference)[0] for s in (h, -h))
        scale = forward_scale(layer.with_state({what: np.abs(a) + h * np.abs(v)}), x)
    # where dy is 0 a pool of nothing but padding may say minus infinity
    difference = np.subtract(above, below, out=np.zeros_like(dy), where=dy != 0)
    weighed = np.multiply(scale, dy, out=np.zeros_like(dy), where=dy != 0)
    value, summation = inner(difference, dy)
    return value / (2 * h), tolerance(np.float64, weighed) / h + summation / (2 * h)


def step_within(free: float, x: np.ndarray, v: np.ndarray) -> float:
    """Half the way to the nearest kink, and no more than the size of x itself."""
    reach = (np.abs(x).max(initial=0.0) or 1.0) / (np.abs(v).max(initial=0.0) or 1.0)
    return float(min(free / 2, reach))


def gaussian(shape, rng: np.random.Generator, count: int) -> Iterator[Direction]:
    """Yield so many random directions."""
    for k in range(count):
        yield Direction(f"direction {k}", rng.standard_normal(shape))


def _entries(array: np.ndarray) -> Iterator[Direction]:
    for index in np.ndindex(array.shape):
        v = np.zeros(array.shape)
        v[index] = 1
        yield Direction(str(tuple(map(int, index))), v)


def probed_row(names, arrays, derivative: Derivative, dtype, rng, effort: Effort) -> Row:
    """Compare <gradient, v> with the derivative along v, for unit vectors and Gaussian directions.

    Parameters
    ----------
    names : layer, kind, what, how
    arrays : x or a parameter, its gradient as claimed, and the gradient's rounding in units of u

    """
    array, gradient, scale = arrays
    if gradient is None or gradient.shape != array.shape or gradient.dtype != dtype:
        found = "missing" if gradient is None else f"{gradient.dtype} {gradient.shape}"
        return Row(*names, 0, False, np.inf, 0.0, np.inf, f"gradient is {found}, expected {array.shape}", np.inf)
    gradient = gradient.astype(np.float64)
    if not np.isfinite(gradient).all():
        return Row(*names, 0, False, np.inf, 0.0, np.inf, "gradient is not finite", np.inf)
    every = array.size <= effort.entries
    probes = [*(_entries(array) if every else ()), *gaussian(array.shape, rng, effort.directions)]
    tried = [_measure(probe, gradient, scale, derivative, dtype) for probe in probes]
    measured = [m for m in tried if m is not None]
    if not measured:
        return Row(*names, 0, False, np.inf, 0.0, np.inf, UNDECIDED, np.inf)
    error, tol, ulps, where = max(measured, key=_severity)
    norm = float(np.linalg.norm(gradient))
    sees = float(np.median([m[1] for m in measured[-effort.directions :]])) / norm if norm > 0 else 0.0
    return Row(*names, len(measured), every, error, tol, ulps, where, sees)


def _measure(probe: Direction, gradient, scale, derivative: Derivative, dtype) -> tuple | None:
    found = derivative(probe.v)
    if found is None:
        return None
    value, rounding = found
    claimed, summation = inner(gradient, probe.v)
    tol = rounding + tolerance(dtype, scale * probe.v) + summation
    error = abs(value - claimed)
    last_place = float(np.spacing(np.asarray(abs(claimed), dtype)))
    return error, tol, error / last_place, probe.where


def _severity(measured) -> float:
    error, tol, *_ = measured
    if not np.isfinite(error):
        return np.inf
    return error / tol if tol > 0 else (np.inf if error > 0 else 0.0)
