"""What surrounds a layer of a Keras file, and what several layers ask of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.formats.containers.files import escape
from minicnn.formats.keras.model import Spec
from minicnn.layers import Layer, Permute
from minicnn.shapes import IntPair

__all__ = [
    "BuildContext",
    "Shape",
    "check_channels_axis",
    "check_weights",
    "count_channels",
    "find_axis",
    "map_size",
    "padding_mode",
    "sizes",
    "softmax_over",
]

Shape = tuple[int | None, ...]


class BuildContext(NamedTuple):
    """What surrounds a layer: its input's shape, (C, H, W) or (F,), None where open, and the file's layout."""

    shape: Shape
    channels_first: bool  # maps are C x H x W in the file too
    flips: bool  # kernels are turned by 180 degrees: Theano convolved
    version: int | None  # Keras's main version, where the file says
    old_backend: bool = False  # Keras up to 2.3 by itself, on TensorFlow 1


def map_size(spec: Spec, context: BuildContext) -> IntPair:
    """Return the height and width of the input, which must be known."""
    match context.shape:
        case (_, int(height), int(width)):
            return height, width
    raise spec.error(f"needs the size of its input, which is {escape(context.shape)}; fix it in the model's input")


def sizes(context: BuildContext) -> tuple[int, ...] | None:
    """Return the input's shape, None where any of it is open."""
    sizes = tuple(n for n in context.shape if n is not None)
    return sizes if len(sizes) == len(context.shape) else None


def count_channels(spec: Spec, context: BuildContext) -> int:
    """Return the channels of the input, which must be maps."""
    if len(context.shape) != 3 or context.shape[0] is None:
        raise spec.error(f"expected maps, found an input of {escape(context.shape)}")
    return context.shape[0]


def padding_mode(spec: Spec) -> str:
    """Return "valid" or "same"."""
    padding = spec.get("padding", "valid")
    if padding not in ("valid", "same"):
        raise spec.error(f"padding: expected 'valid' or 'same', found {escape(padding)!r}")
    return padding


def find_axis(spec: Spec, axis: object, rank: int, channels_first: bool) -> int:
    """Return which of our axes one of the file's is, of images with ``rank`` axes; the batch's is 0."""
    if not isinstance(axis, int) or not -rank <= axis <= rank or axis == 0:
        raise spec.error(f"axis: expected one behind the batch's, found {escape(axis)}")
    place = axis if axis > 0 else rank + 1 + axis
    # N x H x W x C to N x C x H x W
    return place if channels_first or rank != 3 else {3: 1, 1: 2, 2: 3}[place]


def softmax_over(layer: Layer, axis: int, rank: int) -> list[Layer]:
    """Return a softmax, which goes over the first axis of an image, over another, 1 to ``rank``."""
    if axis == 1:
        return [layer]
    order = (axis - 1, *(a for a in range(rank) if a != axis - 1))
    back = tuple(order.index(a) for a in range(rank))
    return [Permute(order), layer, Permute(back)]


def check_channels_axis(spec: Spec, context: BuildContext) -> None:
    """Raise unless the setting ``axis`` is that of the channels, or of features."""
    axis = spec.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if find_axis(spec, axis, len(context.shape), context.channels_first) != 1:
        raise spec.error(f"axis: expected that of the channels, found {escape(axis)}")


def check_weights(spec: Spec, arrays: list[np.ndarray], *ranks: int) -> list[np.ndarray]:
    """Return the arrays, float32 or float64, once there are as many as expected, of these numbers of axes."""
    if tuple(a.ndim for a in arrays) != ranks or any(a.dtype.kind != "f" or not a.size for a in arrays):
        given = ", ".join(f"{a.dtype} {a.shape}" for a in arrays[:6]) or "none"
        quantised = any(a.dtype.kind in "iu" for a in arrays)
        then = "; it is quantised: save the model as it was before" if quantised else ""
        raise spec.error(f"expected {len(ranks)} weights with {ranks} axes, found {escape(given)}{then}")
    return [a if a.dtype == np.float64 else a.astype(np.float32, copy=False) for a in arrays]
