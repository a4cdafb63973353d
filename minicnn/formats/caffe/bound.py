"""A layer of a Caffe net with the shapes of its inputs and its blobs: what the functions of all layers ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minicnn.errors import WeightsError
from minicnn.formats.caffe.blobs import Blob
from minicnn.formats.caffe.describe import LayerParameter
from minicnn.formats.caffe.text import Fields
from minicnn.formats.containers.files import escape
from minicnn.layers import Layer
from minicnn.layers.base import Shape
from minicnn.layers.joins import Join
from minicnn.shapes import IntPair

__all__ = ["BoundLayer", "Branch"]


class Branch(NamedTuple):
    """``join`` of the first input and what ``layers`` make of input number ``source``; then ``after``."""

    layers: list[Layer]
    join: Join
    after: Sequence[Layer] = ()
    source: int = 0


class BoundLayer(NamedTuple):
    """One layer, the shapes of its inputs for an image, its blobs, and which of a Slice's outputs is meant."""

    layer: LayerParameter
    shapes: list[Shape]
    blobs: list[Blob]
    part: int = 0

    @property
    def shape(self) -> Shape:
        """The shape of its first input."""
        return self.shapes[0]

    def error(self, what: str) -> WeightsError:
        """Return an error that names the layer."""
        return self.layer.error(what)

    def maps(self) -> Shape:
        """Return the shape if it is (C, H, W)."""
        if len(self.shape) != 3:
            raise self.error(f"expected maps (C, H, W), got {self.shape}")
        return self.shape

    def arrays(self, *shapes: Shape) -> list[np.ndarray]:
        """Return the blobs, which must have these shapes; leading ones do not count, as in old files."""
        if len(self.blobs) != len(shapes):
            raise self.error(f"the weights hold {len(self.blobs)} blobs, expected {len(shapes)}")
        for blob, shape in zip(self.blobs, shapes, strict=True):
            if _strip_leading_ones(blob.shape) != _strip_leading_ones(shape):
                raise self.error(f"a blob of shape {escape(blob.shape)}, expected {shape}")
        return [blob.values.reshape(shape) for blob, shape in zip(self.blobs, shapes, strict=True)]

    def pair(self, fields: Fields, name: str, default: int | None = None) -> IntPair:
        """Return kernel_size, stride, pad or dilation: one number, two, or ``name_h`` and ``name_w``."""
        stem = name.removesuffix("_size")
        if f"{stem}_h" in fields or f"{stem}_w" in fields:
            if name in fields:
                raise self.error(f"{name} and {stem}_h or {stem}_w; expected one way to say it")
            values = [fields.integer(f"{stem}_h", default or 0), fields.integer(f"{stem}_w", default or 0)]
        else:
            values = fields.integers(name) or ([] if default is None else [default])
        if len(values) not in (1, 2) or any(not 0 <= v < 1 << 16 for v in values):
            raise self.error(f"{name}: expected one whole number or two, got {escape(values)}")
        return values[0], values[-1]

    def axis(self, fields: Fields, default: int, name: str = "axis", old_name: str = "") -> int:
        """Return an axis counted from the first, the batch's; negative ones count from the last."""
        if old_name and name in fields and old_name in fields:
            raise self.error(f"has {name} and {old_name}; expected one of them")
        axis = fields.integer(name, fields.integer(old_name, default) if old_name else default)
        rank = len(self.shape) + 1
        if not -rank <= axis < rank or axis % rank == 0:
            raise self.error(f"{name} {axis}; expected one after the batch of {rank}")
        return axis % rank

    def check_channels(self, fields: Fields) -> None:
        """Raise unless the setting ``axis`` is that of the channels."""
        if fields.integer("axis", 1) not in (1, -len(self.shape)):
            raise self.error(f"axis {fields.integer('axis')}; expected the channels, axis 1")


def _strip_leading_ones(shape: Shape) -> Shape:
    # old files write every blob with four axes
    first = next((i for i, n in enumerate(shape) if n != 1), len(shape))
    return tuple(shape[first:])
