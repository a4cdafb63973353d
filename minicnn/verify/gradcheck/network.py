"""A whole network's gradients: of its scores in its input, of its loss in its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minicnn.kernels import is_reference, on, reference
from minicnn.layers import Keep, sequence
from minicnn.layers.transforms.own import is_own
from minicnn.layers.transforms.pack import with_one_input
from minicnn.network import Network
from minicnn.network.linear_piece import scores_chain
from minicnn.verify.gradcheck.precision import float32_slack
from minicnn.verify.gradcheck.probes import Claim, Measured, Sampling, check_claim, extrapolate, step_within
from minicnn.verify.gradcheck.report import EXTRAPOLATED, Row, RowLabel
from minicnn.verify.gradcheck.trace import Trace
from minicnn.verify.linearise import linearise
from minicnn.verify.rounding import forward_scale, inner, tolerance

__all__ = ["check_input_gradient", "check_loss_gradient"]

NAME, KIND = "(whole net)", "Network"
CURVED = 1e-5  # share of x that a step may take where a smooth layer bends the way; the error falls as its square


def check_input_gradient(
    net: Network, x: np.ndarray, device: str, dtype: DTypeLike, rng: np.random.Generator, sampling: Sampling
) -> Row:
    """Row for the input gradient of the whole net, as ``Network.input_gradient`` gives it."""
    layers = scores_chain(net)
    shape = sequence.output_shape(layers, x.shape[1:])
    dy = rng.standard_normal((len(x), *shape)).astype(dtype)
    last, _ = layers[-1]
    gradient = net.to(device).input_gradient(x.astype(dtype), dy, layer=last)
    dy = dy.astype(np.float64)
    trace, rounding = _propagate_rounding(layers, x, lambda y: dy)
    own, known = sequence.astype(layers, dtype), not _has_own(layers)

    def value(x: np.ndarray) -> float:
        return inner(sequence.forward(layers, x, reference)[0], dy)[0]

    def derivative(v: np.ndarray) -> Measured | None:
        line = linearise(layers, x, v)
        reach = step_within(np.inf, x, v)
        if known:
            interval = _Interval(line.nearest(), line.curved, reach)
            measured = _difference_quotient(lambda s: value(x + s * v), interval, rounding)
        else:
            measured = extrapolate(
                lambda s: sequence.forward(layers, x + s * v, reference)[0], dy, reach, rounding
            )
        if measured is None or is_reference(device):
            return measured
        slack = float32_slack(own, on(device), trace, line, dtype)
        return Measured(measured.value, measured.tolerance + slack)

    label = RowLabel(NAME, KIND, "input", "difference quotient" if known else EXTRAPOLATED)
    return check_claim(label, Claim(x, gradient, np.abs(gradient) * 4), derivative, dtype, rng, sampling)


def check_loss_gradient(net: Network, x: np.ndarray, rng: np.random.Generator, sampling: Sampling) -> Row:
    """Row for ``Network.loss_gradient``: all parameters move at once, each by its own size."""
    layers = scores_chain(net)
    labels = rng.integers(sequence.output_shape(layers, x.shape[1:])[0], size=len(x))
    _, gradients = net.to("reference").loss_gradient(x, labels)
    parameters, y = _Parameters(layers), sequence.forward(layers, x, reference)[0]
    _, rounding = _propagate_rounding(layers, x, lambda y: reference.cross_entropy_input_grad(y, labels))

    def loss(v: np.ndarray, s: float) -> float:
        moved = {name: parameters.state[name] + s * d for name, d in parameters.moves(v).items()}
        scores, _ = sequence.forward(sequence.with_state_dict(layers, moved), x, reference)
        return float(reference.cross_entropy(scores, labels))

    def derivative(v: np.ndarray) -> Measured | None:
        # rounding of the loss itself: exponentials, and a sum over the classes
        own = (1 + np.abs(y).max()) * np.sqrt(y.shape[1] + 16)
        if _has_own(layers):
            # a loss near 0 comes of scores that are not: its own size says nothing of its rounding
            noise = tolerance(np.float64, np.array([rounding + own]))
            return extrapolate(lambda s: np.array([loss(v, s)]), np.ones(1), 1.0, noise=noise)
        line = linearise(layers, x, np.zeros_like(x), parameters.moves(v))
        return _difference_quotient(lambda s: loss(v, s), _Interval(line.nearest(), True, 1.0), rounding + own)

    label = RowLabel(NAME, KIND, "loss", EXTRAPOLATED)
    array, gradient = parameters.concatenate(parameters.state), parameters.concatenate_gradients(gradients)
    claim = Claim(array, gradient, np.zeros_like(array) if gradient is None else np.abs(gradient) * 4)
    return check_claim(label, claim, derivative, np.float64, rng, sampling._replace(entries=0))


def _has_own(layers: sequence.NamedLayers) -> bool:
    """Return whether a layer is one's own: then kinks may lie anywhere."""
    return any(is_own(layer) for _, layer in sequence.walk(layers))


class _Parameters:
    """All parameters that a gradient reaches, as one array, each in units of its own size."""

    def __init__(self, layers: sequence.NamedLayers):
        state = sequence.state_dict(layers)
        self.state = {n: a for n, a in state.items() if not n.rpartition(".")[2].startswith("running_")}
        # a parameter that is all zeros has no size of its own
        self.sizes = {name: float(np.sqrt(np.mean(a * a))) or 1e-2 for name, a in self.state.items()}
        self.splits = np.cumsum([a.size for a in self.state.values()])[:-1]

    def moves(self, v: np.ndarray) -> dict[str, np.ndarray]:
        """Return the direction v as one array a parameter."""
        parts = zip(self.state.items(), np.split(v, self.splits), strict=True)
        return {name: self.sizes[name] * part.reshape(a.shape) for (name, a), part in parts}

    def concatenate(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """Return the parameters' arrays one after another."""
        return np.concatenate([arrays[name].ravel() for name in self.state])

    def concatenate_gradients(self, gradients: dict[str, np.ndarray]) -> np.ndarray | None:
        """Return the gradient with respect to v; None if one is missing."""
        if any(name not in gradients for name in self.state):
            return None
        return self.concatenate({name: self.sizes[name] * gradients[name] for name in self.state})


def _propagate_rounding(
    layers: sequence.NamedLayers, x: np.ndarray, cotangent: Callable[[np.ndarray], np.ndarray]
) -> tuple[Trace, float]:
    """Return what passes through each layer, and by how much rounding moves the scalar f, in units of u.

    ``cotangent`` is the function from the scores to the gradient of f with respect to them.  A rounding error of
    an output value moves f by the cotangent there times the error; errors add in squares.
    """
    trace = Trace()
    steps = sequence.map_layers(layers, trace.attach)
    y, tape = sequence.forward(steps, x, reference, Keep.MASKS)
    dx, _ = sequence.backward(steps, cotangent(y), tape, reference)
    # x itself is rounded too
    squares = float(np.vdot(dx * x, dx * x))
    for name, layer in sequence.walk(layers):
        weighted = forward_scale(*with_one_input(layer, trace.inputs[name])) * trace.cotangents[name]
        squares += float(np.vdot(weighted, weighted))
    return trace, float(np.sqrt(squares))


class _Interval(NamedTuple):
    """How far a scalar function of a step may be followed.

    Attributes
    ----------
    kink : the step to the nearest kink
    curved : whether a smooth layer bends the function in between
    size : the step that is as large as the point itself

    """

    kink: float
    curved: bool
    size: float

    @property
    def step(self) -> float:
        """Half the way to the kink, and so short that curvature is small."""
        step = float(min(self.kink / 2, self.size))
        return min(step, CURVED * self.size) if self.curved else step


def _difference_quotient(f: Callable[[float], float], interval: _Interval, rounding: float) -> Measured | None:
    """Central difference of f between kinks; where it is curved, extrapolated from two steps to none (Richardson).

    With an error c h^2 a difference D has D(h) - D(h / 2) = 3 c h^2 / 4; that is taken as what is left, too.
    """
    h = interval.step
    if h == 0:
        return None

    def central(h: float) -> float:
        return (f(h) - f(-h)) / (2 * h)

    # errors of f at the two ends, over the step
    noise = tolerance(np.float64, np.array([rounding])) / h
    if not interval.curved:
        return Measured(central(h), noise)
    coarse, fine = central(h), central(h / 2)
    return Measured((4 * fine - coarse) / 3, abs(coarse - fine) + 4 * noise)
