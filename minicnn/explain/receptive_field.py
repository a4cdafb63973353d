"""Receptive fields: which pixels of the input one activation can depend on, computed exactly.

The output p of a window reads the inputs p stride - top + d r for its taps r = 0, ..., R - 1, those inside of the
borders.  Rows and columns are followed so, separately, from the activation back to the image.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from minicnn import layers as nn
from minicnn._utils.types import Shape
from minicnn.errors import ShapeError
from minicnn.kernels.reference.axis_taps import AxisTaps
from minicnn.layers import Layer
from minicnn.layers.resampling.base import Resample
from minicnn.layers.resampling.padding import ValueBorder
from minicnn.network import Network
from minicnn.shapes import sides

__all__ = ["Box", "receptive_field"]

Places: TypeAlias = tuple[set[int], set[int]]  # rows and columns


class Box(NamedTuple):
    """Pixels xmin <= x < xmax, ymin <= y < ymax.

    See Also
    --------
    minicnn.explain.receptive_field : what returns it, with an example

    """

    xmin: int
    ymin: int
    xmax: int
    ymax: int


def receptive_field(net: Network, layer: str, row: int = 0, column: int = 0) -> Box:
    """Receptive field, in pixels of the network's input, of the activations at one place of a layer's maps.

    Parameters
    ----------
    net : Network with an ``input_shape``
    layer : str, a layer's name; a dotted name reaches into blocks
    row, column : int, the place; without meaning for layers of features, which see everything

    Returns
    -------
    box : Box

    Raises
    ------
    ShapeError
        If the network has no input shape, or the place is outside of the layer's maps.
    MinicnnError
        If there is no such layer.

    Examples
    --------
    >>> import minicnn
    >>> receptive_field(minicnn.load("digits"), "conv_layers.0", row=10, column=4)
    Box(xmin=3, ymin=9, xmax=6, ymax=12)

    """
    if net.input_shape is None:
        raise ShapeError(f"{net.name}: has no input_shape; receptive fields end at the borders of one")
    layers = nn.sequence.truncate_at(net.named_layers, layer)
    shape = nn.sequence.output_shape(layers, net.input_shape)
    if len(shape) == 3 and not (0 <= row < shape[1] and 0 <= column < shape[2]):
        raise ShapeError(
            f"({row}, {column}) is outside of the maps of {layer!r}, which are {shape[1]} x {shape[2]}"
        )
    rows, columns = ({row}, {column}) if len(shape) == 3 else ({0}, {0})
    rows, columns = _trace_back(layers, net.input_shape, rows, columns)
    if not rows or not columns:
        return Box(0, 0, 0, 0)  # a window on padding alone
    return Box(min(columns), min(rows), max(columns) + 1, max(rows) + 1)


def _trace_back(layers: nn.sequence.NamedLayers, shape: Shape, rows: set[int], columns: set[int]) -> Places:
    """Follow rows and columns from the output of a list of layers to its input of ``shape``."""
    places: dict[str, Places] = {layers[-1][0] if layers else nn.sequence.INPUT: (rows, columns)}
    read = dict(zip([name for name, _ in layers], nn.sequence.read_by(layers), strict=True))
    for name, layer, before, after in reversed(list(nn.sequence.shapes(layers, shape))):
        if name in places:
            own, inputs = places.pop(name), read[name]
            ends = (
                _join_inputs(layer, before, after, *own)
                if len(inputs) > 1
                else [_layer_input(layer, before, *own)]
            )
            # where a value is read twice, the places of both ways
            for value, end in zip(inputs, ends, strict=True):
                others = places.get(value, (set(), set()))
                places[value] = others[0] | end[0], others[1] | end[1]
    return places.get(nn.sequence.INPUT, (set(), set()))


def _join_inputs(
    layer: Layer, before: tuple[Shape, ...], after: Shape, rows: set[int], columns: set[int]
) -> list[Places]:
    """Return the places of each of several inputs."""
    ends, start = [], [0, 0]
    for shape in before:
        if len(shape) != 3:
            ends.append(({0}, {0}))
            continue
        places = []
        for axis, place in enumerate((rows, columns)):
            n = shape[1 + axis]
            if isinstance(layer, nn.Cat) and layer.dim == 2 + axis:
                # one behind the other along this axis
                places.append({p - start[axis] for p in place if 0 <= p - start[axis] < n})
                start[axis] += n
            else:
                # an axis of size 1 is repeated
                places.append(place if n == after[1 + axis] else {0})
        ends.append((places[0], places[1]))
    return ends


def _layer_input(layer: Layer, before: Shape, rows: set[int], columns: set[int]) -> Places:
    if layer.branches():
        # all branches read the block's input; an empty one, the identity, hands the places on as they are
        ends = [_trace_back(branch, before, rows, columns) for branch in layer.branches()]
        return {p for end in ends for p in end[0]}, {p for end in ends for p in end[1]}
    if len(before) != 3:
        # features (D,) have no rows and columns: place 0 stands for all of them
        return {0}, {0}
    sizes, places = before[1:], (rows, columns)
    if isinstance(layer, ValueBorder):
        left, _, top, _ = layer.padding
        # output place p shows input place p - by, or padding
        read = [{p - by for p in place} for place, by in zip(places, (top, left), strict=True)]
    elif isinstance(layer, Resample) and len(layer.output_shape(before)) == 3:
        read = [_taps_inputs(taps, place) for taps, place in zip(layer.taps(before)[1:], places, strict=True)]
    elif isinstance(layer, nn.Permute):
        # what were channels are all read at every place
        read = [set(range(n)) for n in sizes]
        for place, axis in zip(places, layer.axes[1:], strict=True):
            if axis > 0:
                read[axis - 1] = place
    elif isinstance(layer, nn.PixelShuffle):
        read = [{p // layer.upscale_factor for p in place} for place in places]
    elif isinstance(layer, nn.PixelUnshuffle):
        r = layer.downscale_factor
        read = [{p * r + i for p in place for i in range(r)} for place in places]
    elif hasattr(layer, "kernel_size"):
        read = [_window_inputs(layer, axis, sizes, place) for axis, place in enumerate(places)]
    elif layer.output_shape(before)[1:] == sizes:
        # what keeps the size, a rectifier or a normalisation, reads each map at the output's own place
        read = list(places)
    else:
        # the rest, such as flattening or a mean over the map, may read every place
        read = [set(range(n)) for n in sizes]
    # places in the padding are not of the input
    inside = [{p for p in place if 0 <= p < n} for place, n in zip(read, sizes, strict=True)]
    return inside[0], inside[1]


def _taps_inputs(taps: AxisTaps | None, outputs: set[int]) -> set[int]:
    """Return the places that these outputs read along an axis; -1 is none."""
    return outputs if taps is None else {int(p) for p in taps.index[sorted(outputs)].ravel()}


def _window_inputs(layer: Any, axis: int, sizes: Shape, outputs: set[int]) -> set[int]:
    """Return the inputs that the taps of these outputs' windows read, padding included."""
    stride, dilation = layer.stride[axis], getattr(layer, "dilation", (1, 1))[axis]
    padding = (
        layer.geometry((sizes[0], sizes[1]))["padding"] if isinstance(layer, nn.Conv2d) else sides(layer.padding)
    )
    before, taps = padding[axis][0], [dilation * tap for tap in range(layer.kernel_size[axis])]
    if isinstance(layer, nn.ConvTranspose2d):
        # input q spreads to the outputs q stride - before + t: solved for q, where that is a whole number
        return {(p + before - t) // stride for p in outputs for t in taps if (p + before - t) % stride == 0}
    return {p * stride - before + t for p in outputs for t in taps}
