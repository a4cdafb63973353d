"""The epsilon of a batch normalisation, read off its values, where one side has folded it into the convolution."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from minicnn.errors import ShapeError
from minicnn.layers import BatchNorm2d, Conv2d, Layer, sequence
from minicnn.network import Network
from minicnn.verify import probe
from minicnn.verify.comparison.distance import read_as
from minicnn.verify.comparison.matching import chains
from minicnn.verify.diagnosis.alternatives import EPSILONS
from minicnn.verify.diagnosis.changes import Change
from minicnn.verify.probe import Norm, Value

__all__ = ["epsilon_changes", "estimate_epsilon"]

Rebuild: TypeAlias = Callable[[Layer], Layer]
FITS = 1e-3  # of each channel's factor: how well one epsilon must explain all of them
LIKE = 0.05  # of an epsilon: as near to a usual one, it is that


def estimate_epsilon(before: np.ndarray, after: np.ndarray, weight: np.ndarray, var: np.ndarray) -> float | None:
    """Return the epsilon of after = weight / sqrt(var + epsilon) before + shift; None if there is none.

    ``before`` and ``after`` are of shape (N, C, ...), the others of (C,).

    Examples
    --------
    >>> x, var = np.random.default_rng(0).normal(size=(1, 2, 8, 8)), np.array([0.1, 2.0])
    >>> estimate_epsilon(x, x / np.sqrt(var + 0.001)[:, None, None], np.ones(2), var)
    0.001

    """
    x, y = (np.moveaxis(a, 1, 0).reshape(a.shape[1], -1).astype(np.float64) for a in (before, after))
    x, y = (a - a.mean(axis=1, keepdims=True) for a in (x, y))
    variance = (x * x).mean(axis=1)
    alive = (variance > 0) & (weight != 0)
    slope = (x * y).mean(axis=1)[alive] / variance[alive]
    weight, var = (a[alive].astype(np.float64) for a in (weight, var))
    if x.shape[1] < 3 or not slope.size or not (slope * weight > 0).all():
        return None
    # each channel says (weight / slope)^2 = var + epsilon, the surer the smaller that is
    total = (weight / slope) ** 2
    epsilon = float(np.average(total - var, weights=total**-2))
    usual = min(EPSILONS, key=lambda eps: abs(eps - epsilon))
    epsilon = usual if abs(usual - epsilon) <= LIKE * usual else epsilon
    fits = epsilon > 0 and np.abs(np.sqrt(total / (var + epsilon)) - 1).max() <= FITS
    straight = np.abs(y[alive] - slope[:, None] * x[alive]).max() <= FITS * np.abs(y).max()
    return float(f"{epsilon:.4g}") if fits and straight else None


def epsilon_changes(
    net: Network, x: np.ndarray, theirs: Sequence[Value], pairs: Mapping[str, Value]
) -> list[Change]:
    """Return the changes to the epsilon that another program's values show, of all layers at once and of each.

    Parameters
    ----------
    net : Network
    x : its input
    theirs : the peer's values
    pairs : the peer's value for each of our layers that has a counterpart

    """
    try:
        # every layer reads the peer's values, so that it shows its own epsilon alone
        log = probe.run(net, x, {name: value.array for name, value in pairs.items()}, dtype=np.float64)
    except (ShapeError, ValueError):
        return []
    sources = {id(theirs[i].norm): theirs[last] for chain in chains(theirs) for last, i in pairwise(chain)}
    edits: dict[str, dict[str, Rebuild]] = {}
    for name, layer in sequence.walk(net.named_layers):
        value, source = pairs.get(name), log.values.get(log.reads[name][0])
        if value is None:
            continue
        if type(layer) is BatchNorm2d and source is not None:
            what, rebuild = _other_epsilon(layer, source.array, value.array)
        elif type(layer) is Conv2d and value.norm is not None and id(value.norm) in sources:
            what, rebuild = _other_fold(value.norm, sources[id(value.norm)], log.values[name].array)
        else:
            continue
        if what:
            edits.setdefault(what, {})[name] = rebuild
    return [change for what, rebuilds in edits.items() for change in _changes(what, rebuilds)]


def _other_epsilon(layer: BatchNorm2d, before: np.ndarray, after: np.ndarray) -> tuple[str, Rebuild]:
    """Return the epsilon that the peer's value shows, in words, and what sets it; "" where it is ours."""
    weight = layer.state().get("weight", np.ones(layer.num_features))
    eps = estimate_epsilon(before, after, weight, layer.state()["running_var"])
    return "" if eps in (None, layer.eps) else f"epsilon {eps:g}", lambda own: replace(own, eps=eps)


def _other_fold(norm: Norm, before: Value, ours: np.ndarray) -> tuple[str, Rebuild]:
    """Return the epsilon that our convolution shows to have been folded with, in words, and what folds it anew."""
    x = read_as(before, ours.shape).array
    eps = estimate_epsilon(x, ours, norm.weight, norm.var) if x.shape == ours.shape else None
    if eps in (None, norm.eps):
        return "", lambda own: own
    # y = factor (conv(x) - mean) + bias: the factor changes, and the bias stays
    ratio = np.sqrt((norm.var + eps) / (norm.var + norm.eps))

    def fold(own: Layer) -> Layer:
        state = own.state()
        bias = (state["bias"] - norm.bias) * ratio + norm.bias
        arrays = {"weight": state["weight"] * ratio[:, None, None, None], "bias": bias}
        return own.with_state({name: array.astype(state[name].dtype) for name, array in arrays.items()})

    return f"epsilon {norm.eps:g}, and not the {eps:g} that is folded into the convolution", fold


def _changes(what: str, rebuilds: Mapping[str, Rebuild]) -> list[Change]:
    """Return the change of all these layers, and of each."""
    names = tuple(rebuilds)
    return [
        Change("batch-norm epsilon", what, some, partial(_rebuild, {name: rebuilds[name] for name in some}))
        for some in ([names] if len(names) > 1 else []) + [(name,) for name in names]
    ]


def _rebuild(rebuilds: Mapping[str, Rebuild], net: Network) -> Network:
    def other(name: str, layer: Layer) -> Layer:
        return rebuilds[name](layer) if name in rebuilds else layer

    return net.with_layers(sequence.map_layers(net.named_layers, other))
