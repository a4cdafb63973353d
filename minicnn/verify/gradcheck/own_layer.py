"""Layers and functions of one's own, of which nothing is known: their gradients against extrapolated differences.

What is checked first is what every layer must do: the same for the same input, and leave its arguments alone.
Outputs that lie on a kink at x have no derivative there; they are left out, and checked at a point beside x.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from math import inf
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minicnn._utils.derivative import STEPS, differentiate
from minicnn._utils.raised import describe_error
from minicnn.errors import MinicnnError
from minicnn.kernels import reference
from minicnn.layers import Keep, Layer
from minicnn.verify.gradcheck.functions import FunctionPair
from minicnn.verify.gradcheck.layer import trainable
from minicnn.verify.gradcheck.probes import (
    Claim,
    Measured,
    Sampling,
    check_claim,
    extrapolate,
    failed,
    step_within,
)
from minicnn.verify.gradcheck.report import EXTRAPOLATED, UNDECIDED, Row, RowLabel
from minicnn.verify.gradcheck.trace import run_forward
from minicnn.verify.rounding import unknown_scale

__all__ = ["OwnCase", "check_own_layer"]

Values = Mapping[str, np.ndarray]
BESIDE = 1 / 512  # how far the point beside x is off, as a share of the largest value
KINK_DIRECTIONS = 2
WORK = 200  # NumPy's overhead for each value of a small array, in multiply-adds


class OwnCase(NamedTuple):
    """A layer of somebody's own, and what reaches it.

    Attributes
    ----------
    name : dotted
    layer : in float64
    own : as the device runs it, in the device's dtype
    x : float64 array, or a tuple of one for each input

    """

    name: str
    layer: Layer
    own: Layer
    x: Any


class _Subject(NamedTuple):
    """A layer on a device as a function of named arrays: its inputs and its parameters."""

    name: str
    layer: Layer
    own: Layer
    x: Any
    kernels: ModuleType
    dtype: DTypeLike

    def values(self) -> dict[str, np.ndarray]:
        """Return inputs, "input" or "input 0", "input 1", ..., and parameters, by name."""
        state = self.layer.state()
        inputs = {f"input {i}": part for i, part in enumerate(self.x)} if self.joins else {"input": self.x}
        return inputs | {name: state[name] for name in trainable(self.layer)}

    @property
    def joins(self) -> bool:
        """Whether it has several inputs."""
        return isinstance(self.x, tuple)

    def place(self, layer: Layer, values: Values, dtype: DTypeLike) -> tuple[Layer, Any]:
        """Return the layer with the parameters among the values, and copies of its inputs, as it takes them."""
        arrays, count = [array.astype(dtype) for array in values.values()], len(self.x) if self.joins else 1
        state = dict(zip(list(values)[count:], arrays[count:], strict=True))
        return (layer.with_state(state) if state else layer), tuple(arrays[:count]) if self.joins else arrays[0]

    def forward(self, values: Values) -> np.ndarray:
        """Output in float64."""
        layer, x = self.place(self.layer, values, np.float64)
        return np.array(run_forward(self.name, layer, x, reference)[0])

    def run(self, values: Values) -> tuple[Layer, np.ndarray, Any]:
        """Return the device's layer, its output, and what it leaves for ``backward``."""
        layer, x = self.place(self.own, values, self.dtype)
        return layer, *run_forward(self.name, layer, x, self.kernels, Keep.INPUTS)

    def gradients(self, values: Values, dy: np.ndarray) -> dict[str, np.ndarray]:
        """Return what its backward says, by the values' names."""
        layer, _, saved = self.run(values)
        return self.send_back(layer, dy.astype(self.dtype), saved)

    def send_back(self, layer: Layer, dy: np.ndarray, saved: Any, weights: bool = True) -> dict[str, np.ndarray]:
        """Return the gradients by the values' names."""
        result = layer.backward(dy, saved, self.kernels, weights=weights)
        if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[1], dict):
            raise MinicnnError("backward gives something else than (dx, {parameter's name: gradient})")
        dx, others = result[0], {name: np.array(gradient) for name, gradient in result[1].items()}
        if not self.joins:
            return {"input": np.array(dx), **others}
        if not isinstance(dx, tuple | list) or len(dx) != len(self.x):
            raise MinicnnError(f"backward gives {type(dx).__name__}, expected {len(self.x)} arrays, one an input")
        return {**{f"input {i}": np.array(part) for i, part in enumerate(dx)}, **others}


def check_own_layer(
    own: OwnCase, kernels: ModuleType, dtype: DTypeLike, rng: np.random.Generator, sampling: Sampling
) -> Iterator[Row]:
    """Yield a row for each fault of its manners; without one, rows for each input and each parameter."""
    case = _Subject(*own, kernels, dtype)
    values = case.values()
    faults = list(_faults(case, values, rng))
    yield from (failed(_label(case, what, "twice"), sentence) for what, sentence in faults)
    if faults:
        return
    y = case.forward(values)
    size = STEPS * 2 * (y.size + sum(array.size for array in values.values()))
    sampling = sampling.limit_work(WORK * size)
    resolved = _resolved(case, values, rng)
    if resolved.any():
        yield from _rows(case, values, np.where(resolved, rng.standard_normal(y.shape), 0), rng, sampling)
    if not resolved.all():
        yield from _rows_beside(case, values, rng, sampling, bool(resolved.any()))


def _label(case: _Subject, what: str, how: str) -> RowLabel:
    return RowLabel(case.name, type(case.layer).__name__, what, how)


def _faults(case: _Subject, values: Values, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Yield what the layer does that none may, as (what, sentence)."""
    layer, x = case.place(case.own, values, case.dtype)
    y, saved = run_forward(case.name, layer, x, case.kernels, Keep.INPUTS)
    _, before = case.place(case.own, values, case.dtype)
    if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(_tuple(x), _tuple(before), strict=True)):
        yield "forward", "forward writes into its input; it must leave it as it is"
        return
    shape = layer.output_shape(tuple(a.shape[1:] for a in x) if case.joins else x.shape[1:])
    if tuple(shape) != y.shape[1:] and not isinstance(layer, FunctionPair):
        yield "output_shape", f"output_shape says {tuple(shape)}, forward gives {y.shape[1:]} for each image"
    dy = rng.standard_normal(y.shape).astype(case.dtype)
    given = dy.copy()
    try:
        first, second = (case.send_back(layer, dy, saved) for _ in range(2))
        again, saved = run_forward(case.name, layer, before, case.kernels, Keep.MASKS)
        alone = case.send_back(layer, dy, saved, weights=False)
    except Exception as error:  # whatever somebody's code raises
        sentence = str(error) if isinstance(error, MinicnnError) else f"backward raised {describe_error(error)}"
        yield "backward", sentence
        return
    if not np.array_equal(dy, given):
        yield "backward", "backward writes into dy; it must leave it as it is"
    elif any(not _same(first[k], second[k]) for k in first):
        yield "backward", "backward gives another gradient the second time, for the same dy"
    elif any(not _same(first[k], alone[k]) for k in alone):
        yield "backward", "backward gives another dx where weights is False, and forward keeps Keep.MASKS"
    if not _same(y, again):
        yield "forward", "forward gives another output the second time, for the same input"


def _tuple(x: Any) -> tuple[np.ndarray, ...]:
    return x if isinstance(x, tuple) else (x,)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether two arrays are equal but for rounding."""
    if np.shape(a) != np.shape(b):
        return False
    return np.allclose(a, b, 1e-5, 1e-5 * float(np.abs(np.nan_to_num(a)).max(initial=0.0)), equal_nan=True)


def _resolved(case: _Subject, values: Values, rng: np.random.Generator) -> np.ndarray:
    """Return which outputs have a derivative: along random directions, in which no value stays, kinks are seen."""
    slopes = []
    for name, array in [*values.items()] * KINK_DIRECTIONS:
        v = rng.choice((-1.0, 1.0), array.shape) * rng.uniform(0.5, 1.5, array.shape)
        slopes.append(differentiate(_along(case, values, name, v), step_within(inf, array, v)))
    return np.logical_and.reduce([slope.resolved for slope in slopes])


def _along(case: _Subject, values: Values, name: str, v: np.ndarray) -> Callable[[float], np.ndarray]:
    """Return the output as a function of a step of one of the values along v."""
    return lambda t: case.forward({**values, name: values[name] + t * v})


def _rows_beside(
    case: _Subject, values: Values, rng: np.random.Generator, sampling: Sampling, at_x: bool
) -> Iterator[Row]:
    """Yield rows at a point beside, where no output lies on a kink; none if there are others ``at_x`` alone."""
    for _ in range(3):
        moved = {
            name: a + BESIDE * rng.uniform(-1, 1, a.shape) * (np.abs(a).max(initial=0.0) or 1.0)
            for name, a in values.items()
        }
        moved = {name: a.astype(case.dtype).astype(np.float64) for name, a in moved.items()}
        with np.errstate(all="ignore"):
            resolved = _resolved(case, moved, rng)
        if resolved.any():
            dy = np.where(resolved, rng.standard_normal(resolved.shape), 0)
            yield from _rows(case, moved, dy, rng, sampling, f"{EXTRAPOLATED}, beside x")
            return
    if not at_x:
        yield failed(_label(case, "input", EXTRAPOLATED), UNDECIDED)


def _rows(
    case: _Subject,
    values: Values,
    dy: np.ndarray,
    rng: np.random.Generator,
    sampling: Sampling,
    how: str = EXTRAPOLATED,
) -> Iterator[Row]:
    dy = dy.astype(case.dtype).astype(np.float64)

    def derivative(name: str, v: np.ndarray) -> Measured | None:
        return extrapolate(_along(case, values, name, v), dy, step_within(inf, values[name], v))

    gradients = case.gradients(values, dy)
    y = case.forward(values)
    weighted = np.multiply(y, dy, out=np.zeros_like(dy), where=dy != 0)
    for name, array in values.items():
        gradient = gradients.get(name)
        # terms as large as y over x may cancel in a gradient
        terms = weighted / (np.abs(array).max(initial=0.0) or 1.0)
        scale = np.zeros_like(array) if gradient is None else unknown_scale(gradient, terms)
        claim = Claim(array, gradient, scale)
        yield check_claim(_label(case, name, how), claim, partial(derivative, name), case.dtype, rng, sampling)
