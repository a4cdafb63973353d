"""The table of section 4 on a real network: each layer alone, the same numbers sent back, three rules.

| layer | forward | gradient | deconvnet |
|---|---|---|---|
| convolution | X_n * K | df/dX_{n+1} * flip(K) | R_{n+1} * flip(K): identical |
| max-pool | max over q in Omega(p) of X_n(q) | to the arg max | to the arg max, the "switch": identical |
| ReLU | max(X_n, 0) | df/dX_{n+1} 1(X_n > 0) | R_{n+1} 1(R_{n+1} > 0): the only difference |

What the paper does not list (linear layers, normalisation, average pools, additions) is differentiated exactly
whatever the rule, so that there too nothing differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.explain.prediction import views_of
from minicnn.layers import sequence
from minicnn.network import Network
from minicnn.rules import GRADIENT, RULES

__all__ = ["KindOfLayer", "LayerByRules", "kinds_of_layers", "rules_by_layer"]


class LayerByRules(NamedTuple):
    """One layer by itself.

    Attributes
    ----------
    layer : str, its dotted name
    kind : str, its class
    apart : two floats: the largest difference of deconvnet and of guided backpropagation from the gradient, in
        parts of the gradient's largest value; None where the rules are not defined
    pictures : {"x", "dy", and each rule's name: array of shape (H, W)}, one channel of each

    """

    layer: str
    kind: str
    apart: tuple[float, float] | None
    pictures: dict[str, np.ndarray]


class KindOfLayer(NamedTuple):
    """All layers of a kind: how many, their largest differences, and the first of them."""

    kind: str
    count: int
    apart: tuple[float, float] | None
    first: LayerByRules


def rules_by_layer(net: Network, image: Any, seed: int = 0) -> Iterator[LayerByRules]:
    """Every layer of a network, blocks opened: its input is what the image makes of it, dy is random.

    Parameters
    ----------
    net : Network with a ``preprocess``
    image : path, PIL.Image, or uint8 array of shape (H, W, 3); its centre view is looked at
    seed : int, of dy

    Yields
    ------
    layer : LayerByRules

    Raises
    ------
    ImageError
        If the image can't be read.
    MinicnnError
        If the network has no preprocessing.

    """
    x, _ = views_of(net, image, "one")
    yield from _walked(sequence.before_softmax(net.named_layers), x, net.device, np.random.default_rng(seed), "")


def kinds_of_layers(layers: Iterable[LayerByRules]) -> list[KindOfLayer]:
    """Return the layers by kind, in the order in which the kinds come."""
    found: dict[str, KindOfLayer] = {}
    for one in layers:
        kind = found.get(one.kind, KindOfLayer(one.kind, 0, one.apart, one))
        apart = None if one.apart is None or kind.apart is None else _larger(kind.apart, one.apart)
        found[one.kind] = kind._replace(count=kind.count + 1, apart=apart)
    return list(found.values())


def _larger(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    return max(a[0], b[0]), max(a[1], b[1])


def _walked(layers, x, device, rng, prefix) -> Iterator[LayerByRules]:
    for name, layer in layers:
        alone = Network([layer], device=device)
        y, tape = alone.trace(x)
        for branch in layer.branches():
            yield from _walked(branch, x, device, rng, f"{prefix}{name}.")
        if not layer.branches():
            dy = rng.standard_normal(y.shape).astype(y.dtype)
            yield _by_rules(f"{prefix}{name}", layer, x, dy, alone, tape)
        x = y


def _by_rules(name, layer, x, dy, alone, tape) -> LayerByRules:
    pictures = {"x": x, "dy": dy, GRADIENT.name: alone.backward(tape, dy, GRADIENT)}
    try:
        pictures |= {rule.name: alone.backward(tape, dy, rule) for rule in RULES[1:]}
    except MinicnnError:  # a rectifier for which the others are not defined, such as PReLU
        return LayerByRules(name, type(layer).__name__, None, _pictures(pictures))
    gradient, *others = (pictures[rule.name] for rule in RULES)
    scale = float(np.abs(gradient).max()) or 1.0
    deconvnet, guided = (float(np.abs(other - gradient).max()) / scale for other in others)
    return LayerByRules(name, type(layer).__name__, (deconvnet, guided), _pictures(pictures))


def _pictures(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return of maps the channel in which x is largest; of features, rows of them."""
    c = int(np.abs(arrays["x"][0]).reshape(arrays["x"].shape[1], -1).max(axis=1).argmax())
    return {name: _picture(a[0], c) for name, a in arrays.items()}


def _picture(a: np.ndarray, channel: int) -> np.ndarray:
    if a.ndim == 3 and a.shape[1:] != (1, 1):
        return a[min(channel, len(a) - 1)].copy()
    side = int(np.ceil(np.sqrt(a.size)))
    return np.pad(a.ravel(), (0, side * -(-a.size // side) - a.size)).reshape(-1, side)
