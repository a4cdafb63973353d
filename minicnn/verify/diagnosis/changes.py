"""Changes of a network from one convention to another: network in, network out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from minicnn import layers as nn
from minicnn._utils.types import Shape
from minicnn.errors import MinicnnError
from minicnn.images import Preprocess
from minicnn.layers import Layer
from minicnn.layers.graph import follows_alone, is_passed_by_all, rename_inputs
from minicnn.network import Network
from minicnn.verify.diagnosis.alternatives import LayerContext, alternatives

__all__ = [
    "INPUT",
    "Change",
    "LocatedLayer",
    "apply_changes",
    "class_order_change",
    "count_untouched",
    "layer_changes",
    "locate_layers",
    "order_changes",
    "preprocessing_changes",
]

INPUT = "input"  # what a change of the preprocessing touches
Edit: TypeAlias = Callable[[Network], Network]
# which layers stand before or behind each other, as programs differ in it
SWAPPED = ({nn.LocalResponseNorm, nn.MaxPool2d}, {nn.BatchNorm2d, nn.ReLU}, {nn.BatchNorm2d, nn.ReLU6})


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
    apply: Edit

    def __str__(self) -> str:
        """Return convention, what and where."""
        names = ", ".join(self.layers)
        where = names if len(self.layers) < 4 else f"{len(self.layers)} layers, {names:.40}..."
        return f"{self.convention}: {self.what} ({where})"


class LocatedLayer(NamedTuple):
    """A layer that is no block, its dotted name, and where it stands."""

    name: str
    layer: Layer
    context: LayerContext


def apply_changes(net: Network, changes: Iterable[Change]) -> Network:
    """Return the network with one change after another; MinicnnError where the result is none."""
    for change in changes:
        net = change.apply(net)
    return net


def count_untouched(net: Network, changes: Iterable[Change], end: int | None = None) -> int:
    """Return how many layers of a changed network come before all changes, and give one value to what follows.

    Parameters
    ----------
    net : Network, after the changes
    changes : those that were made
    end : how many layers are to run; all unless given

    """
    touched = {name for change in changes for name in change.layers}
    if INPUT in touched:
        return 0
    start = 0
    for name in net.names:
        if name in touched or any(other.startswith(f"{name}.") for other in touched):
            break
        start += 1
    # a part can run by itself if it reads nothing further up than its beginning
    passed = is_passed_by_all(net.named_layers[:end])
    while start and not (start <= len(passed) and passed[start - 1]):
        start -= 1
    return start


def locate_layers(net: Network) -> list[LocatedLayer]:
    """Return the layers of a network that are no blocks, in the order of the computation."""
    if net.input_shape is None:
        raise MinicnnError(f"{net.name}: does not say the size of its input")
    located = list(_locate(net.named_layers, net.input_shape, ""))
    weighted = [name for name, layer, _ in located if isinstance(layer, nn.Conv2d | nn.Linear)]

    def mark(name: str, context: LayerContext) -> LayerContext:
        first = name in weighted[:1]
        return replace(context, first=first, last=name in weighted[-1:] and not first)

    return [LocatedLayer(name, layer, mark(name, context)) for name, layer, context in located]


def _locate(layers: nn.sequence.NamedLayers, shape: Shape, prefix: str) -> Iterator[LocatedLayer]:
    flattened: dict[str, Shape | None] = {}
    for (name, layer, own, _), inputs in zip(
        nn.sequence.shapes(layers, shape), nn.sequence.read_by(layers), strict=True
    ):
        maps = flattened.get(inputs[0])
        for branch in layer.branches():
            yield from _locate(branch, own, f"{prefix}{name}.")
        if not layer.branches():
            yield LocatedLayer(f"{prefix}{name}", layer, LayerContext(own, maps))
        # a full layer knows from which maps its input was flattened, with no more than a Dropout between
        if isinstance(layer, nn.Flatten):
            flattened[name] = own if len(own) == 3 else None
        elif isinstance(layer, nn.Dropout):
            flattened[name] = maps


def layer_changes(net: Network, names: set[str] | None = None) -> list[Change]:
    """Return the changes of single layers, and of all layers to which the same one applies.

    ``names``: of the layers that must be touched; all by default.
    """
    touched: dict[tuple[str, str, type], list[str]] = {}
    for name, layer, context in locate_layers(net):
        for alternative in alternatives(layer, context):
            touched.setdefault((alternative.convention, alternative.what, type(layer)), []).append(name)
    changes = []
    for (convention, what, _), affected in touched.items():
        single = [(name,) for name in affected if names is None or name in names]
        # a program reads all layers of a class alike: all of them at once is the likelier change
        every = [tuple(affected)] if single and len(affected) > 1 else []
        changes += [Change(convention, what, some, _reread(convention, what, some)) for some in every + single]
    return changes


def order_changes(net: Network, names: set[str] | None = None) -> list[Change]:
    """Return the changes that exchange normalisation with pooling or rectifier, one by one and all at once."""
    layers = net.named_layers
    pairs = [
        (a, b)
        for (a, first), (b, second), alone in zip(layers, layers[1:], follows_alone(layers)[1:], strict=False)
        if {type(first), type(second)} in SWAPPED and alone
    ]
    single = [(pair,) for pair in pairs if names is None or names & set(pair)]
    every = [tuple(pairs)] if len(pairs) > 1 and single else []
    what = "normalisation on the other side"
    return [
        Change("layer order", what, tuple(name for pair in some for name in pair), _exchange(some))
        for some in [*every, *single]
    ]


def preprocessing_changes(net: Network) -> list[Change]:
    """Return the changes of the preprocessing."""
    if net.preprocess is None:
        return []
    return [
        Change(convention, what, (INPUT,), _replace_preprocessing(fields))
        for convention, what, fields in _other_preprocessings(net.preprocess)
        if any(not np.array_equal(value, getattr(net.preprocess, name)) for name, value in fields.items())
    ]


def class_order_change(net: Network, ours: np.ndarray, theirs: np.ndarray, tolerance: float) -> Change | None:
    """Return the change that puts the classes into another order, if the scores (N, K) are the same but for it."""
    weighted = [located for located in locate_layers(net) if isinstance(located.layer, nn.Conv2d | nn.Linear)]
    ours, theirs = (a.reshape(len(a), -1) for a in (ours, theirs))
    if not weighted or ours.shape != theirs.shape:
        return None
    name, last, _ = weighted[-1]
    if len(last.state()["weight"]) != ours.shape[1]:
        return None
    order = np.empty(ours.shape[1], int)
    # the class with the k-th score of ours is that with the k-th score of theirs
    order[np.argsort(theirs[0], kind="stable")] = np.argsort(ours[0], kind="stable")
    difference = np.abs(ours[:, order] - theirs).max()
    if (order == np.arange(len(order))).all() or difference > tolerance * np.abs(theirs).max():
        return None
    layer = last.with_state({key: a[order] for key, a in last.state().items()})
    return Change("class order", _describe_order(order), (name,), _replace_layers({name: layer}))


def _describe_order(order: np.ndarray) -> str:
    classes = np.arange(len(order))
    if (order == classes[::-1]).all():
        return "classes in reverse order"
    shift = int((order[0] - classes[0]) % len(order))
    if (order == np.roll(classes, -shift)).all():
        return f"classes shifted by {min(shift, len(order) - shift)}"
    return f"{int((order != classes).sum())} of {len(order)} classes in another order"


# edits, of a network as it is by then: other changes may come before


def _reread(convention: str, what: str, names: tuple[str, ...]) -> Edit:
    """Return the edit that reads some layers by another convention."""

    def apply(net: Network) -> Network:
        chosen = [located for located in locate_layers(net) if located.name in names]
        return _replace_layers({located.name: _reread_layer(located, convention, what) for located in chosen})(net)

    return apply


def _reread_layer(located: LocatedLayer, convention: str, what: str) -> Layer:
    for alternative in alternatives(located.layer, located.context):
        if (alternative.convention, alternative.what) == (convention, what):
            return alternative.make()
    raise MinicnnError(f"{located.name}: {convention}, {what}: does not apply any more")


def _replace_layers(parts: Mapping[str, Layer]) -> Edit:
    """Return the edit that puts other layers in the place of those named, none of them a block."""
    return lambda net: net.with_layers(nn.sequence.map_layers(net.named_layers, parts.get))


def _exchange(pairs: tuple[tuple[str, str], ...]) -> Edit:
    """Return the edit that exchanges neighbours."""

    def apply(net: Network) -> Network:
        layers = net.named_layers
        for a, b in pairs:
            i = net.names.index(a)
            if net.names[i + 1 : i + 2] != [b]:
                raise MinicnnError(f"{a} and {b} are no neighbours any more")
            (_, first), (_, second) = layers[i : i + 2]
            # the second now reads what the first did, and what read the second reads the first
            swapped = [(b, second.reading(*first.inputs)), (a, first.reading())]
            layers = [*layers[:i], *swapped, *rename_inputs(layers[i + 2 :], {b: a})]
        return net.with_layers(layers)

    return apply


def _replace_preprocessing(fields: Mapping[str, Any]) -> Edit:
    """Return the edit that changes fields of the preprocessing."""

    def apply(net: Network) -> Network:
        if net.preprocess is None:
            raise MinicnnError(f"{net.name}: does not say how an image becomes its input")
        changed = net.with_layers(net.named_layers)
        with warnings.catch_warnings():
            # what is tried out may be unlikely
            warnings.simplefilter("ignore")
            changed.preprocess = replace(net.preprocess, **fields)
        return changed

    return apply


def _other_preprocessings(own: Preprocess) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (convention, what, fields) of every other preprocessing that is known."""
    depth = own.depth
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
        # the means are listed red, green, blue
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
    if max(own.size) <= 256:
        yield "crop", "picture warped to 256 x 256", {"resize": (256, 256)}
    if own.invert != "auto":
        yield "inversion", "light and dark exchanged", {"invert": not own.invert}


_ONES, _ZEROS = (1.0,) * 3, (0.0,) * 3
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# name, scale, mean and deviation in the order red, green, blue
_NORMALISATIONS = (
    ("0..255", 1.0, _ZEROS, _ONES),
    ("0..1", 1 / 255, _ZEROS, _ONES),
    ("-1..1", 1 / 255, (0.5,) * 3, (0.5,) * 3),
    ("(v - 127) / 128", 1.0, (127.0,) * 3, (128.0,) * 3),
    ("torchvision's mean and deviation", 1 / 255, *_IMAGENET),
    ("torchvision's mean alone", 1 / 255, _IMAGENET[0], _ONES),
    ("VGG's mean", 1.0, (123.68, 116.779, 103.939), _ONES),
    ("Caffe's mean", 1.0, (122.67891, 116.66877, 104.00699), _ONES),
)
