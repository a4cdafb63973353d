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
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from minicnn._utils.types import ImageLike
from minicnn.errors import MinicnnError
from minicnn.explain.prediction import load_views
from minicnn.layers import sequence
from minicnn.layers.transforms.pack import with_one_input
from minicnn.network import Network
from minicnn.network.network import Tape
from minicnn.rules import GRADIENT, RULES

__all__ = ["KindOfLayer", "LayerByRules", "group_by_kind", "rules_by_layer"]


class LayerByRules(NamedTuple):
    """One layer by itself.

    Attributes
    ----------
    layer : str, its dotted name
    kind : str, its class
    deviation : two floats: the largest difference of deconvnet and of guided backpropagation from the gradient, in
        parts of the gradient's largest value; None where the rules are not defined
    pictures : {"x", "dy", and each rule's name: array of shape (H, W)}, one channel of each

    """

    layer: str
    kind: str
    deviation: tuple[float, float] | None
    pictures: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class KindOfLayer:
    """All layers of a kind: how many, their largest deviations, and the first of them."""

    kind: str
    count: int
    deviation: tuple[float, float] | None
    first: LayerByRules


def rules_by_layer(net: Network, image: ImageLike, seed: int = 0) -> Iterator[LayerByRules]:
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

    References
    ----------
    .. [1] Simonyan, Vedaldi, Zisserman 2013, section 4.
    .. [2] Zeiler, Fergus 2013, "Visualizing and understanding convolutional networks".
    .. [3] Springenberg et al. 2014, "Striving for simplicity: the all convolutional net".

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.io import catalogue
    >>> layers = rules_by_layer(minicnn.load("digits"), catalogue.folder("images") / "seven.png")
    >>> [(kind.kind, kind.count) for kind in group_by_kind(layers) if kind.deviation != (0.0, 0.0)]
    [('ReLU', 4)]

    """
    x, _ = load_views(net, image, "one")
    layers = sequence.before_softmax(net.named_layers)
    yield from _trace_layers(layers, x, net.device, np.random.default_rng(seed))


def group_by_kind(layers: Iterable[LayerByRules]) -> list[KindOfLayer]:
    """Return the layers by kind, in the order in which the kinds come."""
    kinds: dict[str, KindOfLayer] = {}
    for layer in layers:
        kind = kinds.get(layer.kind, KindOfLayer(layer.kind, 0, layer.deviation, layer))
        deviation = _maximum(kind.deviation, layer.deviation)
        kinds[layer.kind] = replace(kind, count=kind.count + 1, deviation=deviation)
    return list(kinds.values())


def _maximum(a: tuple[float, float] | None, b: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if a is None or b is None else (max(a[0], b[0]), max(a[1], b[1]))


def _trace_layers(
    layers: sequence.NamedLayers, x: np.ndarray, device: str, rng: np.random.Generator, prefix: str = ""
) -> Iterator[LayerByRules]:
    """Yield every layer on its own; a recursion by hand, as a block's branches all see the block's input."""
    values: dict[str, np.ndarray] = {sequence.INPUT: x}
    for (name, layer), inputs in zip(layers, sequence.read_by(layers), strict=True):
        read = [values[value] for value in inputs]
        alone, x = with_one_input(layer, tuple(read) if len(read) > 1 else read[0])
        net = Network([alone.reading()], device=device)
        y, tape = net.trace(x)
        for branch in layer.branches():
            yield from _trace_layers(branch, x, device, rng, f"{prefix}{name}.")
        if not layer.branches():
            dy = rng.standard_normal(y.shape).astype(y.dtype)
            arrays, deviation = _apply_rules(net, tape, x, dy)
            yield LayerByRules(f"{prefix}{name}", type(layer).__name__, deviation, _pictures(arrays))
        # what follows reads what this one gives, a whole block's output included
        values[name] = y


def _apply_rules(
    net: Network, tape: Tape, x: np.ndarray, dy: np.ndarray
) -> tuple[dict[str, np.ndarray], tuple[float, float] | None]:
    """Return what each rule sends back, and how far deconvnet and guided are from the gradient."""
    arrays = {"x": x, "dy": dy, GRADIENT.name: net.backward(tape, dy, GRADIENT)}
    try:
        arrays |= {rule.name: net.backward(tape, dy, rule) for rule in RULES[1:]}
    except MinicnnError:  # a rectifier for which the others are not defined, such as PReLU
        return arrays, None
    gradient, *others = (arrays[rule.name] for rule in RULES)
    # deviations are in parts of the largest gradient; a gradient that is zero everywhere leaves them as they are
    scale = float(np.abs(gradient).max()) or 1.0
    deconvnet, guided = (float(np.abs(other - gradient).max()) / scale for other in others)
    return arrays, (deconvnet, guided)


def _pictures(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return of maps the channel in which x is largest; of features, rows of them."""
    c = int(np.abs(arrays["x"][0]).reshape(arrays["x"].shape[1], -1).max(axis=1).argmax())
    return {name: _picture(a[0], c) for name, a in arrays.items()}


def _picture(a: np.ndarray, channel: int) -> np.ndarray:
    if a.ndim == 3 and a.shape[1:] != (1, 1):
        # dy may have fewer channels than x, in which the channel was chosen
        return a[min(channel, len(a) - 1)].copy()
    # features (D,) are laid out in rows of about sqrt(D), with zeros after the last
    side = int(np.ceil(np.sqrt(a.size)))
    return np.pad(a.ravel(), (0, side * -(-a.size // side) - a.size)).reshape(-1, side)
