"""Changes of a network from one convention to another: network in, network out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.images import Preprocess
from minicnn.layers import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    ReLU6,
    sequence,
)
from minicnn.layers.blocks import Block
from minicnn.network import Network
from minicnn.verify.diagnosis.alternatives import alternatives

__all__ = ["INPUT", "Change", "class_order", "of_input", "of_layers", "of_order", "placed"]

INPUT = "input"  # what a change of the preprocessing touches
SIDE = "normalisation on the other side"
SWAPPED = ({LocalResponseNorm, MaxPool2d}, {BatchNorm2d, ReLU}, {BatchNorm2d, ReLU6})


@dataclass(frozen=True)
class Change:
    """One convention read in another way.

    Attributes
    ----------
    convention : such as "kernel order", "pool rounding", "LRN alpha"
    what : the other program may have done
    layers : names that it touches; "input" for the preprocessing
    apply : network to network; raises MinicnnError where the result is none

    """

    convention: str
    what: str
    layers: tuple[str, ...]
    apply: Callable[[Network], Network]

    def __str__(self) -> str:
        """Return convention, what and where."""
        names = ", ".join(self.layers)
        where = names if len(self.layers) < 4 else f"{len(self.layers)} layers, {names:.40}..."
        return f"{self.convention}: {self.what} ({where})"


class Placed(NamedTuple):
    """A layer that is no block: dotted name, input shape, the maps it was flattened from, first or last."""

    name: str
    layer: Layer
    shape: tuple[int, ...]
    maps: tuple[int, ...] | None
    place: str


def placed(net: Network) -> list[Placed]:
    """Return the layers of a network that are no blocks, in the order of the computation."""
    found = list(_placed(net.named_layers, net.input_shape, ""))
    weighted = [leaf.name for leaf in found if isinstance(leaf.layer, Conv2d | Linear)]
    places = dict.fromkeys(weighted[-1:], "last") | dict.fromkeys(weighted[:1], "first")
    return [leaf._replace(place=places.get(leaf.name, "")) for leaf in found]


def _placed(layers: sequence.NamedLayers, shape: tuple[int, ...], prefix: str) -> Iterator[Placed]:
    maps = None
    for name, layer, own, _ in sequence.shapes(layers, shape):
        if isinstance(layer, Block):
            for branch in layer.branches():
                yield from _placed(branch, own, f"{prefix}{name}.")
        else:
            yield Placed(f"{prefix}{name}", layer, own, maps, "")
        if isinstance(layer, Flatten):
            maps = own if len(own) == 3 else None
        elif not isinstance(layer, Dropout):
            maps = None


def of_layers(net: Network, names: set[str] | None = None) -> list[Change]:
    """Return the changes of single layers, and of all layers to which the same one applies.

    ``names``: of the layers that must be touched; all by default.
    """
    ways: dict[tuple[str, str, type], list[str]] = {}
    for leaf in placed(net):
        for convention, what, _ in alternatives(leaf.layer, leaf.shape, leaf.maps, leaf.place):
            ways.setdefault((convention, what, type(leaf.layer)), []).append(leaf.name)
    found = []
    for (convention, what, _), touched in ways.items():
        wanted = [(name,) for name in touched if names is None or name in names]
        every = [tuple(touched)] if wanted and len(touched) > 1 else []
        found += [Change(convention, what, some, _reading(convention, what, some)) for some in every + wanted]
    return found


def of_order(net: Network, names: set[str] | None = None) -> list[Change]:
    """Return the changes that exchange normalisation with pooling or rectifier, one by one and all at once."""
    steps = [
        (a, b)
        for (a, first), (b, second) in zip(net.named_layers, net.named_layers[1:], strict=False)
        if {type(first), type(second)} in SWAPPED
    ]
    wanted = [pair for pair in steps if names is None or names & set(pair)]
    every = [tuple(steps)] if len(steps) > 1 and wanted else []
    return [
        Change(
            "layer order",
            "normalisation on the other side",
            tuple(n for p in pairs for n in p),
            _exchanging(pairs),
        )
        for pairs in [*every, *((pair,) for pair in wanted)]
    ]


def of_input(net: Network) -> list[Change]:
    """Return the changes of the preprocessing."""
    if net.preprocess is None:
        return []
    return [
        Change(convention, what, (INPUT,), _preprocessing(fields))
        for convention, what, fields in _readings(net.preprocess)
        if any(not np.array_equal(value, getattr(net.preprocess, name)) for name, value in fields.items())
    ]


def class_order(net: Network, ours: np.ndarray, theirs: np.ndarray, tolerance: float) -> Change | None:
    """Return the change that puts the classes into another order, if the scores (N, K) are the same but for it."""
    last = next((leaf for leaf in reversed(placed(net)) if isinstance(leaf.layer, Conv2d | Linear)), None)
    ours, theirs = (a.reshape(len(a), -1) for a in (ours, theirs))
    if last is None or ours.shape != theirs.shape or len(last.layer.weight) != ours.shape[1]:
        return None
    order = np.empty(ours.shape[1], int)
    order[np.argsort(theirs[0], kind="stable")] = np.argsort(ours[0], kind="stable")
    difference = np.abs(ours[:, order] - theirs).max()
    if (order == np.arange(len(order))).all() or difference > tolerance * np.abs(theirs).max():
        return None
    layer = last.layer.with_state({name: a[order] for name, a in last.layer.state().items()})
    return Change("class order", _order_named(order), (last.name,), _replacing({last.name: layer}))


def _order_named(order: np.ndarray) -> str:
    classes = np.arange(len(order))
    if (order == classes[::-1]).all():
        return "classes in reverse order"
    shift = int((order[0] - classes[0]) % len(order))
    if (order == np.roll(classes, -shift)).all():
        return f"classes shifted by {min(shift, len(order) - shift)}"
    return f"{int((order != classes).sum())} of {len(order)} classes in another order"


def _reading(convention: str, what: str, names: tuple[str, ...]) -> Callable[[Network], Network]:
    """Return the change of some layers, as they are by then: other changes may come before it."""

    def apply(net: Network) -> Network:
        parts = {leaf.name: _read(leaf, convention, what) for leaf in placed(net) if leaf.name in names}
        return _with_parts(net, parts)

    return apply


def _read(leaf: Placed, convention: str, what: str) -> Layer:
    for *key, make in alternatives(leaf.layer, leaf.shape, leaf.maps, leaf.place):
        if key == [convention, what]:
            return make()
    raise MinicnnError(f"{leaf.name}: {convention}, {what}: does not apply any more")


def _with_parts(net: Network, parts: Mapping[str, Layer]) -> Network:
    """Return the network with other layers in the place of those named, none of them a block."""
    return net.with_layers(sequence.map_layers(net.named_layers, parts.get))


def _replacing(parts: Mapping[str, Layer]) -> Callable[[Network], Network]:
    return lambda net: _with_parts(net, parts)


def _exchanging(pairs: tuple[tuple[str, str], ...]) -> Callable[[Network], Network]:
    def apply(net: Network) -> Network:
        layers = net.named_layers
        for a, b in pairs:
            i = net.names.index(a)
            if net.names[i + 1 : i + 2] != [b]:
                raise MinicnnError(f"{a} and {b} are no neighbours any more")
            layers[i], layers[i + 1] = layers[i + 1], layers[i]
        return net.with_layers(layers)

    return apply


def _preprocessing(fields: Mapping) -> Callable[[Network], Network]:
    def apply(net: Network) -> Network:
        changed = net.with_layers(net.named_layers)
        changed.preprocess = replace(net.preprocess, **fields)
        return changed

    return apply


def _readings(own: Preprocess) -> Iterator[tuple[str, str, dict]]:
    """Yield (convention, what, fields) of every other preprocessing that is known."""
    depth = len(own.channels)
    mean, image = own.mean, isinstance(own.mean, np.ndarray)
    if depth == 3:
        other = {"channels": "BGR" if own.channels == "RGB" else "RGB"}
        swapped = {"mean": mean[::-1], "std": own.std[::-1]}
        yield "channel order", f"{other['channels']} instead of {own.channels}", other
        yield "channel order", f"{other['channels']}, with mean and deviation in its order", other | swapped
        yield "mean", "mean and deviation in the other channel order", swapped
    if image:
        yield "mean", "mean pixel instead of a mean image", {"mean": tuple(map(float, mean.mean(axis=(1, 2))))}
        yield "mean", "mean image turned by transposition", {"mean": mean.swapaxes(1, 2)}
    yield "mean", "no mean", {"mean": (0.0,) * depth}
    for factor, what in ((255.0, "255"), (1 / 255, "1/255")):
        values = {"mean": np.asarray(mean) * factor if image else tuple(m * factor for m in mean)}
        yield "mean", f"mean times {what}", values
        yield "scale", f"scale times {what}", {"scale": own.scale * factor}
    for name, scale, means, stds in _NORMALISATIONS:
        order = slice(None, None, -1 if own.channels == "BGR" else 1)
        values = {"mean": means[:depth][order], "std": stds[:depth][order]}
        yield "scale and mean", name, {"scale": scale} | values
    for way in ("nearest", "bilinear", "bicubic", "lanczos"):
        yield "interpolation", way, {"interpolation": way}
    short = min(own.size)
    sides = {
        "whole picture, warped": None,
        "no margin": max(own.size),
        "256": 256,
        "margin of 1/8": round(short / 0.875),
    }
    for what, resize in sides.items():
        if resize is None or resize >= max(own.size):
            yield "crop", f"short side: {what}" if resize else what, {"resize": resize}
    if own.invert != "auto":
        yield "inversion", "light and dark exchanged", {"invert": not own.invert}


_ONE, _NONE = (1.0,) * 3, (0.0,) * 3
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# name, scale, mean and deviation in the order red, green, blue
_NORMALISATIONS = (
    ("0..255", 1.0, _NONE, _ONE),
    ("0..1", 1 / 255, _NONE, _ONE),
    ("-1..1", 1 / 255, (0.5,) * 3, (0.5,) * 3),
    ("(v - 127) / 128", 1.0, (127.0,) * 3, (128.0,) * 3),
    ("torchvision's mean and deviation", 1 / 255, *_IMAGENET),
    ("torchvision's mean alone", 1 / 255, _IMAGENET[0], _ONE),
    ("VGG's mean", 1.0, (123.68, 116.779, 103.939), _ONE),
    ("Caffe's mean", 1.0, (122.67891, 116.66877, 104.00699), _ONE),
)
