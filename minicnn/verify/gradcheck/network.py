"""A whole network's gradients: of its scores in its input, of its loss in its parameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minicnn.kernels import is_reference, on, reference
from minicnn.layers import Keep, sequence
from minicnn.network import Network
from minicnn.verify.gradcheck.layer import Effort, probed_row, step_within
from minicnn.verify.gradcheck.precision import slack
from minicnn.verify.gradcheck.report import Row
from minicnn.verify.gradcheck.trace import Recorded
from minicnn.verify.kinks import around
from minicnn.verify.rounding import forward_scale, inner, tolerance

__all__ = ["loss_row", "scores_chain", "whole_row"]

NAME, KIND = "(whole net)", "Network"
CURVED = 1e-5  # share of x that a step may take where a smooth layer bends the way; the error falls as its square


def scores_chain(net: Network) -> sequence.NamedLayers:
    """Return the layers up to the scores, in float64."""
    return sequence.astype(sequence.before_softmax(net.named_layers), np.float64)


def influences(layers: sequence.NamedLayers, x: np.ndarray, dy_of: Callable) -> tuple[Recorded, float]:
    """Return what passes through each layer, and by how much rounding moves the scalar f, in units of u.

    A rounding error of an output value moves f by the cotangent there times the error; errors add in squares.
    """
    met = Recorded()
    steps = sequence.map_layers(layers, met.around)
    y, tape = sequence.forward(steps, x, reference, Keep.MASKS)
    dx, _ = sequence.backward(steps, dy_of(y), tape, reference)
    squares = float(np.vdot(dx * x, dx * x))
    for name, layer in sequence.walk(layers):
        weighed = forward_scale(layer, met.inputs[name]) * met.cotangents[name]
        squares += float(np.vdot(weighed, weighed))
    return met, float(np.sqrt(squares))


def whole_row(net: Network, x: np.ndarray, device: str, dtype, rng: np.random.Generator, effort: Effort) -> Row:
    """Row for the input gradient of the whole net, as ``Network.input_gradient`` gives it."""
    layers = scores_chain(net)
    shape = sequence.output_shape(layers, x.shape[1:])
    dy = rng.standard_normal((len(x), *shape)).astype(dtype)
    last = layers[-1][0]
    claimed = net.to(device).input_gradient(x.astype(dtype), dy, layer=last)
    dy = dy.astype(np.float64)
    met, rounding = influences(layers, x, lambda y: dy)
    own = sequence.astype(layers, dtype)

    def value(x):
        return inner(sequence.forward(layers, x, reference)[0], dy)[0]

    def derivative(v):
        _, _, seen = around(layers, x, v)
        found = _difference(lambda s: value(x + s * v), seen.nearest(), seen.smooth, x, v, rounding)
        if found is None or is_reference(device):
            return found
        return found[0], found[1] + slack(own, on(device), met, seen, dtype)

    names = (NAME, KIND, "input", "difference quotient")
    return probed_row(names, (x, claimed, np.abs(claimed) * 4), derivative, dtype, rng, effort)


def loss_row(net: Network, x: np.ndarray, rng: np.random.Generator, effort: Effort) -> Row:
    """Row for ``Network.loss_gradient``: all parameters move at once, each by its own size."""
    layers = scores_chain(net)
    labels = rng.integers(sequence.output_shape(layers, x.shape[1:])[0], size=len(x))
    _, claimed = net.to("reference").loss_gradient(x, labels)
    state = {
        name: a
        for name, a in sequence.state_dict(layers).items()
        if not name.rpartition(".")[2].startswith("running_")
    }
    sizes = {name: float(np.sqrt(np.mean(a * a))) or 1e-2 for name, a in state.items()}
    splits = np.cumsum([a.size for a in state.values()])[:-1]
    _, rounding = influences(layers, x, lambda y: reference.cross_entropy_input_grad(y, labels))

    def moves(v):
        parts = zip(state.items(), np.split(v, splits), strict=True)
        return {name: sizes[name] * part.reshape(a.shape) for (name, a), part in parts}

    def loss(v, s):
        moved = {name: state[name] + s * d for name, d in moves(v).items()}
        scores, _ = sequence.forward(sequence.with_state_dict(layers, moved), x, reference)
        return float(reference.cross_entropy(scores, labels))

    def derivative(v):
        y, _, seen = around(layers, x, np.zeros_like(x), moves(v))
        own = (1 + np.abs(y).max()) * np.sqrt(y.shape[1] + 16)
        flat = np.ones(1)
        return _difference(lambda s: loss(v, s), seen.nearest(), True, flat, flat, rounding + own)

    missing = [name for name in state if name not in claimed]
    gradient = None if missing else np.concatenate([(sizes[n] * claimed[n]).ravel() for n in state])
    array = np.concatenate([a.ravel() for a in state.values()])
    arrays = (array, gradient, np.abs(gradient) * 4 if gradient is not None else 0)
    return probed_row(
        (NAME, KIND, "loss", "Richardson"), arrays, derivative, np.float64, rng, effort._replace(entries=0)
    )


def _difference(f, free: float, bent: bool, x, v, rounding: float) -> tuple[float, float] | None:
    """Central difference of f between kinks; where the way is bent, extrapolated from two steps to none.

    With an error c h^2 a difference D has D(h) - D(h / 2) = 3 c h^2 / 4; that is taken as what is left, too.
    """
    h = step_within(free, x, v)
    h = min(h, CURVED * step_within(np.inf, x, v)) if bent else h

    if h == 0:
        return None

    def central(h):
        return (f(h) - f(-h)) / (2 * h)

    noise = tolerance(np.float64, np.array([rounding])) / h
    if not bent:
        return central(h), noise
    whole, half = central(h), central(h / 2)
    return (4 * half - whole) / 3, abs(whole - half) + 4 * noise
