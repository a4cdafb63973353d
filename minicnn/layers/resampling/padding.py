"""Borders around maps: of one value, mirrored, repeated or wrapped around."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from minicnn.errors import ShapeError
from minicnn.kernels.reference.axis_taps import AxisTaps
from minicnn.layers.base import Backward, Forward, Keep, Kernels, Kind, Layer, Rng, Shape, check_maps
from minicnn.layers.resampling.base import Resample, Taps, check_length
from minicnn.rules import GRADIENT, Rule
from minicnn.shapes import MAX_BORDER, Sides

__all__ = [
    "CircularPad2d",
    "ConstantPad2d",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "ValueBorder",
    "ZeroPad2d",
    "ZeroPad3d",
]


@dataclass(frozen=True, eq=False, repr=False)
class _Border(Layer):
    """Rows and columns around maps; a side below 0 takes some away."""

    padding: Any  # given as a number or (left, right, top, bottom), kept as four

    def __post_init__(self) -> None:
        given = (self.padding,) * 4 if isinstance(self.padding, int) else tuple(self.padding)
        if len(given) != 4 or not all(isinstance(p, int) and abs(p) <= MAX_BORDER for p in given):
            raise ShapeError(
                f"{type(self).__name__}: padding: expected a whole number or (left, right, top, bottom), "
                f"got {self.padding!r}"
            )
        object.__setattr__(self, "padding", given)

    @property
    def sides(self) -> Sides:
        """The borders as the kernels take them: ((top, bottom), (left, right))."""
        left, right, top, bottom = self.padding
        return (top, bottom), (left, right)

    def output_shape(self, shape: Shape) -> Shape:
        c, *size = check_maps(shape, type(self).__name__)
        height, width = (before + n + after for n, (before, after) in zip(size, self.sides, strict=True))
        kept = [n + min(before, 0) + min(after, 0) for n, (before, after) in zip(size, self.sides, strict=True)]
        # no side may take away more than there is
        if min(height, width, *kept) < 1:
            h, w = size
            raise ShapeError(f"{type(self).__name__}: padding {self.padding} leaves nothing of maps of {h} x {w}")
        return c, height, width


@dataclass(frozen=True, eq=False, repr=False)
class ValueBorder(_Border):
    """Borders of one value, 0 unless the layer has another."""

    @property
    def border(self) -> float:
        """The value."""
        return float(getattr(self, "value", 0.0))

    @property
    def kind(self) -> Kind:
        return Kind.AFFINE if self.border else Kind.LINEAR

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        return kernels.constant_pad2d(x, self.sides, value=self.border), None

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        return kernels.constant_pad2d_input_grad(dy, self.sides), {}


@dataclass(frozen=True, eq=False, repr=False)
class ConstantPad2d(ValueBorder, capturable=True):
    """Borders of one value: (N, C, H, W) to (N, C, top + H + bottom, left + W + right).

    Parameters
    ----------
    padding : int, or (left, right, top, bottom) as in torch
        A side below 0 takes rows or columns away.
    value : float

    Raises
    ------
    ShapeError
        If ``padding`` is neither.

    See Also
    --------
    torch.nn.ConstantPad2d : the same layer

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.ConstantPad2d((1, 0, 0, 1), 3.0)])(np.ones((1, 1, 1, 2))).tolist()
    [[[[3.0, 1.0, 1.0], [3.0, 3.0, 3.0]]]]

    """

    value: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.value, int | float):
            raise ShapeError(f"ConstantPad2d: value: expected a number, got {self.value!r}")


@dataclass(frozen=True, eq=False, repr=False)
class ZeroPad2d(ValueBorder, capturable=True):
    """Zeros around each map: (N, C, H, W) to (N, C, top + H + bottom, left + W + right).

    Parameters
    ----------
    padding : int, or (left, right, top, bottom) as in torch
        A side below 0 takes rows or columns away.

    Raises
    ------
    ShapeError
        If ``padding`` is neither.

    See Also
    --------
    torch.nn.ZeroPad2d : the same layer

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.ZeroPad2d((1, 0, 0, 1))])(np.ones((1, 1, 1, 2))).tolist()
    [[[[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]]]

    """


@dataclass(frozen=True, eq=False, repr=False)
class _CopiedBorder(Resample, _Border):
    """Borders made of the map's own pixels."""

    _mode: ClassVar[str]

    def taps(self, shape: Shape) -> Taps:
        _Border.output_shape(self, shape)  # checks the sides
        both_sides, name = zip(shape[1:], self.sides, strict=True), type(self).__name__
        return None, *(_border_taps(name, n, both, self._mode) for n, both in both_sides)


@lru_cache(256)
def _border_taps(name: str, size: int, border: tuple[int, int], mode: str) -> AxisTaps | None:
    before, after = border
    check_length(size)
    # a mirror without the border's own pixel has size - 1 others, a map wrapped around all of them
    limit = {"reflect": size - 1, "wrap": size}.get(mode, MAX_BORDER)
    if max(border) > limit:
        raise ShapeError(f"{name}: a border of {max(border)} around maps of {size}; expected at most {limit}")
    cut = slice(max(-before, 0), size - max(-after, 0))
    # torch mirrors the whole map, and wraps around what is left of it
    source = np.arange(size)[cut] if mode == "wrap" else np.arange(size)
    places = np.pad(source, (max(before, 0), max(after, 0)), mode=mode)  # type: ignore[call-overload]
    if mode != "wrap":
        places = places[cut.start : len(places) - max(-after, 0)]
    return AxisTaps.select(places, size) if any(border) else None


@dataclass(frozen=True, eq=False, repr=False)
class ReflectionPad2d(_CopiedBorder, capturable=True):
    """Maps mirrored at their border pixels: (N, C, H, W) to (N, C, top + H + bottom, left + W + right).

    Parameters
    ----------
    padding : int, or (left, right, top, bottom) as in torch
        Less than the map's size; a side below 0 takes rows or columns away.

    Raises
    ------
    ShapeError
        If ``padding`` is neither, or too large for a map.

    See Also
    --------
    torch.nn.ReflectionPad2d : the same layer

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.ReflectionPad2d((2, 1, 0, 0))])(np.array([[[[1.0, 2.0, 3.0]]]])).tolist()
    [[[[3.0, 2.0, 1.0, 2.0, 3.0, 2.0]]]]

    """

    _mode = "reflect"


@dataclass(frozen=True, eq=False, repr=False)
class ReplicationPad2d(_CopiedBorder, capturable=True):
    """Border pixels repeated: (N, C, H, W) to (N, C, top + H + bottom, left + W + right).

    Parameters
    ----------
    padding : int, or (left, right, top, bottom) as in torch
        A side below 0 takes rows or columns away.

    Raises
    ------
    ShapeError
        If ``padding`` is neither.

    See Also
    --------
    torch.nn.ReplicationPad2d : the same layer

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.ReplicationPad2d((2, 1, 0, 0))])(np.array([[[[1.0, 2.0, 3.0]]]])).tolist()
    [[[[1.0, 1.0, 1.0, 2.0, 3.0, 3.0]]]]

    """

    _mode = "edge"


@dataclass(frozen=True, eq=False, repr=False)
class CircularPad2d(_CopiedBorder, capturable=True):
    """Maps wrapped around: (N, C, H, W) to (N, C, top + H + bottom, left + W + right).

    Parameters
    ----------
    padding : int, or (left, right, top, bottom) as in torch
        At most the map's size; a side below 0 takes rows or columns away.

    Raises
    ------
    ShapeError
        If ``padding`` is neither, or too large for a map.

    See Also
    --------
    torch.nn.CircularPad2d : the same layer

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.CircularPad2d((2, 1, 0, 0))])(np.array([[[[1.0, 2.0, 3.0]]]])).tolist()
    [[[[2.0, 3.0, 1.0, 2.0, 3.0, 1.0]]]]

    """

    _mode = "wrap"


@dataclass(frozen=True, eq=False, repr=False)
class ZeroPad3d(Resample, capturable=True):
    """Zeros along channels, height and width: (N, C, H, W) to (N, front + C + back, top + H + bottom, ...).

    Parameters
    ----------
    padding : (left, right, top, bottom, front, back) as in torch
        A side below 0 takes away.

    Raises
    ------
    ShapeError
        If it is not six whole numbers, or leaves nothing.

    See Also
    --------
    torch.nn.ZeroPad3d : the same layer, given maps
    ZeroPad2d : around height and width alone

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.ZeroPad3d((0, 0, 0, 0, 1, 0))])(np.ones((1, 1, 1, 2))).tolist()
    [[[[0.0, 0.0]], [[1.0, 1.0]]]]

    """

    padding: tuple[int, ...]

    def __post_init__(self) -> None:
        given = self.padding
        valid = isinstance(given, tuple | list) and len(given) == 6
        if not valid or not all(isinstance(p, int) and abs(p) <= MAX_BORDER for p in given):
            raise ShapeError(f"ZeroPad3d: padding: expected six whole numbers, got {given!r}")
        object.__setattr__(self, "padding", tuple(given))

    def taps(self, shape: Shape) -> Taps:
        check_maps(shape, "ZeroPad3d")
        left, right, top, bottom, front, back = self.padding
        borders = (front, back), (top, bottom), (left, right)
        return tuple(_zero_taps(n, both) for n, both in zip(shape, borders, strict=True))


@lru_cache(256)
def _zero_taps(size: int, border: tuple[int, int]) -> AxisTaps | None:
    before, after = border
    check_length(size)
    places = np.arange(-before, size + after)
    if min(size + min(before, 0) + min(after, 0), len(places)) < 1:
        raise ShapeError(f"ZeroPad3d: {border} leaves nothing of an axis of {size}")
    inside = (places >= 0) & (places < size)
    return AxisTaps.select(np.where(inside, places, -1), size) if any(border) else None
