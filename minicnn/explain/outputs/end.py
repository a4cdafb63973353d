"""The end of a network as scores of classes: its classes on the first axis, what keeps their order left out.

Files end in what programs do with their answers: maps are turned to have the classes last, before a softmax or
behind it; probabilities are clipped, or made percents.  What is explained are the scores before all that.
"""

from __future__ import annotations

import numpy as np

from minicnn.layers import (
    BatchNorm2d,
    Dropout,
    Hardtanh,
    IndexSelect,
    Log,
    LogSoftmax,
    Permute,
    ReLU,
    Scale,
    Slice,
    Softmax,
)
from minicnn.layers.base import Layer
from minicnn.layers.pointwise import Pointwise
from minicnn.layers.sequence import NamedLayers, read_by

__all__ = ["find_hidden_posterior", "with_classes_first"]

# of what leaves each value in a place of its own
_ONE_BY_ONE = (Pointwise, Hardtanh, ReLU, Dropout)
_OF_TAIL = (*_ONE_BY_ONE, Permute, Softmax, LogSoftmax, Scale, BatchNorm2d, Slice, IndexSelect)
MARGIN = 1e-3  # bounds of probabilities that only keep logarithms finite are nearer to 0 and 1


def with_classes_first(layers: NamedLayers) -> NamedLayers:
    """Return the layers with their classes on the first axis, ending in the posterior if only order follows it.

    Examples
    --------
    >>> from minicnn.layers import Conv2d, Sigmoid
    >>> tail = [("turn", Permute((1, 2, 0))), ("prob", Sigmoid()), ("clip", Hardtanh(0, 1))]
    >>> [name for name, _ in with_classes_first([("conv", Conv2d(3, 4, 1)), *tail])]
    ['conv', 'prob']

    """
    start = _find_tail(layers)
    tail = layers[start:]
    kept, rest = _turn(tail)
    at = _find_posterior(kept)
    turned = any(isinstance(layer, Permute) and len(layer.axes) > 2 for _, layer in kept)
    if at is not None and not turned and all(_keeps_order(layer) for _, layer in [*kept[at + 1 :], *rest]):
        kept, rest = kept[: at + 1], []
    if [name for name, _ in kept] == [name for name, _ in tail]:
        return layers
    # each reads the one before it, which may be another now
    first = layers[start][1].inputs
    chain = [layer if i else layer.reading(*first) for i, (_, layer) in enumerate([*kept, *rest])]
    names = [name for name, _ in [*kept, *rest]]
    return [*layers[:start], *zip(names, chain, strict=True)]


def find_hidden_posterior(layers: NamedLayers) -> tuple[Layer, Layer] | None:
    """Return a softmax or sigmoid near the end with the layer behind it; None where it is the end, or not there.

    Examples
    --------
    >>> find_hidden_posterior([("prob", Softmax()), ("part", Scale((), weight=-1.0, bias=False))])[0]
    Softmax()

    """
    tail = layers[_find_tail(layers) :]
    at = _find_posterior(tail)
    return None if at is None or at == len(tail) - 1 else (tail[at][1], tail[at + 1][1])


def _find_tail(layers: NamedLayers) -> int:
    """Return where the chain of layers begins that go by the value, or turn axes."""
    reads = read_by(layers)
    at = len(layers)
    while at > 0 and isinstance(layers[at - 1][1], _OF_TAIL) and len(reads[at - 1]) == 1:
        if at < len(layers) and reads[at] != (layers[at - 1][0],):
            break
        at -= 1
    return at


def _find_posterior(tail: NamedLayers) -> int | None:
    return max((i for i, (_, layer) in enumerate(tail) if layer.is_posterior), default=None)


def _keeps_order(layer: Layer) -> bool:
    """Return whether of probabilities the larger stays the larger, and none is mixed with another."""
    if isinstance(layer, Scale | BatchNorm2d):
        numbers = [np.unique(array) for array in layer.state().values()]
        return all(len(n) == 1 for n in numbers) and bool(layer.state()["weight"].flat[0] > 0)
    if isinstance(layer, Hardtanh):
        return layer.min_val <= MARGIN and layer.max_val >= 1 - MARGIN
    return isinstance(layer, Dropout | Log | Permute)


def _turn(tail: NamedLayers) -> tuple[NamedLayers, NamedLayers]:
    """Return the tail with the classes first all along, and its rest that goes by other axes, with them last.

    A turn of the axes waits until a layer needs it; behind all it is left out, or taken back.
    """
    kept: NamedLayers = []
    axes: tuple[int, ...] = (0, 1, 2)
    for i, (name, layer) in enumerate(tail):
        if isinstance(layer, Permute) and len(layer.axes) == 3:
            axes = tuple(axes[axis] for axis in layer.axes)
        elif axes == (0, 1, 2):
            kept.append((name, layer.reading()))
        elif (before := _before_turn(layer, axes)) is not None:
            kept.append((name, before))
        else:
            rest = [(f"{name}_axes", Permute(axes)), *((n, other.reading()) for n, other in tail[i:])]
            total = axes
            for _, other in tail[i:]:
                total = tuple(total[axis] for axis in other.axes) if isinstance(other, Permute) else total
            back = tuple(total.index(axis) for axis in range(3))
            return (kept, [*rest, (f"{name}_classes", Permute(back))]) if total[-1] == 0 else (tail, [])
    return (kept if axes == (0, 1, 2) or axes[-1] == 0 else tail), []


def _before_turn(layer: Layer, axes: tuple[int, ...]) -> Layer | None:
    """Return what does before the axes are turned what a layer does behind; None if nothing does."""
    if isinstance(layer, _ONE_BY_ONE) or (isinstance(layer, Softmax | LogSoftmax) and axes[0] == 0):
        return layer.reading()
    if isinstance(layer, Scale) and all(n == 1 for n in layer.shape):
        return layer.reading()
    if isinstance(layer, Scale) and axes[-1] == 0 and len(layer.shape) == 1:
        arrays = {name: array.reshape(-1, 1, 1) for name, array in layer.state().items()}
        return Scale((*layer.shape, 1, 1), arrays.get("bias", False), weight=arrays["weight"])
    return None
