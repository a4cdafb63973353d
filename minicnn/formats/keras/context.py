"""What surrounds a layer of a Keras file, and what several layers ask of it."""

from __future__ import annotations

from typing import NamedTuple

from minicnn.formats.containers.files import escape
from minicnn.formats.keras.model import Spec
from minicnn.shapes import IntPair

__all__ = ["BuildContext", "Shape", "count_channels", "map_size", "padding_mode", "sizes"]

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
