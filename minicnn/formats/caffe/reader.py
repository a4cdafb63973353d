"""From a .prototxt and a .caffemodel to a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import MinicnnError, WeightsError
from minicnn.formats.caffe import blobs, describe, text
from minicnn.formats.caffe.describe import Described
from minicnn.formats.caffe.entry import SOURCES, entry_of, preprocess_of
from minicnn.formats.caffe.layers import LAYERS, Call
from minicnn.formats.containers.files import escape
from minicnn.formats.graph import ADD, CONCAT, GraphNode, build_chain, flatten_scores
from minicnn.layers import BatchNorm2d, Layer
from minicnn.layers.base import Shape
from minicnn.network import Network

__all__ = ["read"]

MAX_VALUES = 1 << 31  # values of one image in one layer
TRAINING = ("Accuracy", "Silence", "HDF5Output")


def read(path: PathLike, weights: PathLike, mean: np.ndarray | Iterable[float] | None = None) -> Network:
    """Read a Caffe network: its description (.prototxt, of any age) and its weights (.caffemodel).

    Layers keep their names; those that only training has are left out, and a Scale becomes part of the BatchNorm
    before it, under the Scale's name.  Inputs are BGR values of 0..255 minus a mean, Caffe's custom:
    ``preprocess`` says so where the mean is given or the description has it, else it is None, unknown.

    Parameters
    ----------
    path, weights : str or Path
    mean : array of shape (C, H, W), such as ``read_mean`` gives, or numbers, one for each channel, optional
        A mean image larger than the input is cut to its middle.

    Raises
    ------
    WeightsError
        If a file is missing or damaged, they do not fit each other, a layer has no counterpart here, or the
        graph is no list of layers and blocks.

    """
    path = Path(path)
    net = text.read(path)
    layers = describe.layers(net)
    arrays = blobs.read(weights)
    kept = [layer for layer in layers if layer.kind not in SOURCES and not _for_training(layer)]
    entry = entry_of(net, layers, arrays, {name for layer in kept for name in layer.bottoms})
    wired, target = _wired(net, layers, entry.name)
    steps, shape = _steps(wired, entry.name, entry.shape, arrays, target)
    try:
        chain = flatten_scores(build_chain(steps, entry.name, target), shape)
        return Network(chain, entry.shape, preprocess_of(entry, mean), name=net.text("name") or path.stem)
    except MinicnnError as error:
        raise WeightsError(f"{path}: {error}") from None


def _for_training(layer: Described) -> bool:
    return layer.kind in TRAINING or layer.kind.endswith("Loss")


class _Wired(NamedTuple):
    """A layer with the values that it reads and the one that it writes; a blob may hold several, one by one."""

    layer: Described
    inputs: tuple[str, ...]
    output: str


def _wired(net: text.Fields, layers: list[Described], source: str) -> tuple[list[_Wired], str]:
    """Return the layers that compute something, and the value that is the output."""
    now = {source: source}  # the value that each blob holds at this point
    wired: list[_Wired] = []
    trained: set[str] = set()  # values that losses and measures read
    for place, layer in enumerate(layers):
        if _for_training(layer):
            trained.update(now[name] for name in layer.bottoms if name in now)
        elif layer.kind not in SOURCES:
            missing = [name for name in layer.bottoms if name not in now]
            if missing or not layer.bottoms or not layer.tops:
                what = (
                    f"reads {escape(missing[0])!r}, which no layer before it writes" if missing else "is not wired"
                )
                raise layer.error(what)
            inputs = tuple(now[name] for name in layer.bottoms)
            if layer.kind == "Split":
                now.update(dict.fromkeys(layer.tops, inputs[0]))
                continue
            wired.append(_Wired(layer, inputs, f"{place}: {layer.tops[0]}"))
            now[layer.tops[0]] = wired[-1].output
    return wired, _target(net, wired, trained)


def _target(net: text.Fields, wired: list[_Wired], trained: set[str]) -> str:
    """Return the value that no layer reads; of several the last, if losses read the others in training."""
    used = {value for item in wired for value in item.inputs}
    ends = [item for item in wired if item.output not in used]
    others = [item for item in ends if item.output not in trained]
    if not ends or len(others) > 1:
        names = ", ".join(escape(item.layer.name) for item in ends[:8])
        raise net.error(f"{len(ends)} outputs ({names}); expected one, take the others out of the .prototxt")
    return (others or ends)[-1].output


def _steps(
    wired: list[_Wired], source: str, shape: Shape, arrays: dict[str, list[blobs.Blob]], target: str
) -> tuple[dict[str, GraphNode], Shape]:
    """Return how each value comes about, and the shape of the output."""
    shapes, steps = {source: shape}, {}
    reads = Counter(value for item in wired for value in item.inputs)
    for item in _live(wired, target):
        layer = item.layer
        if len(layer.tops) != 1:
            raise layer.error(f"{len(layer.tops)} outputs; expected one")
        if layer.kind in ("Concat", "Eltwise"):
            step, shape = _join(item, [shapes[value] for value in item.inputs])
        else:
            made, shape = _lowered(item, shapes[item.inputs[0]], arrays.get(layer.name, []))
            before = steps.get(item.inputs[0]) if reads[item.inputs[0]] == 1 else None
            step = _with_scale(layer, before, made) or GraphNode(layer.name, item.inputs, tuple(made))
        if prod(shape) > MAX_VALUES:
            raise layer.error(f"gives {shape} for each image, more values than {MAX_VALUES:,}")
        steps[item.output], shapes[item.output] = step, shape
    return steps, shapes[target]


def _live(wired: list[_Wired], target: str) -> list[_Wired]:
    """Return the layers that the output depends on."""
    needed, found = {target}, []
    for item in reversed(wired):
        if item.output in needed:
            needed.update(item.inputs)
            found.append(item)
    return found[::-1]


def _join(item: _Wired, shapes: list[Shape]) -> tuple[GraphNode, Shape]:
    layer = item.layer
    if layer.kind == "Concat":
        fields = layer.param("concat_param")
        axis = fields.integer("axis", fields.integer("concat_dim", 1))
        if axis not in (1, -len(shapes[0])) or len({s[1:] for s in shapes}) > 1:
            raise layer.error(f"concatenates {shapes} along axis {axis}; expected the channels, axis 1")
        return GraphNode(layer.name, item.inputs, join=CONCAT), (sum(s[0] for s in shapes), *shapes[0][1:])
    fields = layer.param("eltwise_param")
    if fields.choice("operation", ("PROD", "SUM", "MAX"), "SUM") != "SUM":
        raise layer.error("there is a block for sums, none for products or maxima")
    if any(c != 1 for c in fields.reals("coeff")) or len(set(shapes)) > 1 or len(shapes) < 2:
        raise layer.error(f"adds {shapes} with coefficients; expected a plain sum of equal shapes")
    return GraphNode(layer.name, item.inputs, join=ADD), shapes[0]


def _lowered(item: _Wired, shape: Shape, arrays: list[blobs.Blob]) -> tuple[list[Layer], Shape]:
    layer = item.layer
    if layer.kind not in LAYERS:
        raise layer.error("no layer does this; cut the net before it in the .prototxt")
    if len(item.inputs) != 1:
        raise layer.error(f"{len(item.inputs)} inputs; expected one")
    try:
        made = LAYERS[layer.kind](Call(layer, shape, arrays))
        for part in made:
            shape = part.output_shape(shape)
    except WeightsError:
        raise
    except MinicnnError as error:
        raise layer.error(str(error)) from None
    return made, shape


def _with_scale(layer: Described, before: GraphNode | None, made: list[Layer]) -> GraphNode | None:
    """Return the step of a BatchNorm that only this Scale reads, with its weight and bias."""
    if layer.kind != "Scale" or before is None or len(before.layers) != 1:
        return None
    norm, scale = before.layers[0], made[0]
    if not isinstance(norm, BatchNorm2d) or norm.affine:
        return None
    parameters = norm.state() | {"weight": scale.weight, "bias": scale.bias}
    return GraphNode(layer.name, before.inputs, (BatchNorm2d(norm.num_features, eps=norm.eps, **parameters),))
