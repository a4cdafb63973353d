"""Maps at another resolution: nearest neighbour, bilinear and bicubic interpolation."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from math import floor, isfinite
from numbers import Real
from typing import Any

from minicnn.errors import ShapeError
from minicnn.kernels.reference.axis_taps import AxisTaps
from minicnn.layers.base import IntOrPair, Shape, check_maps
from minicnn.layers.resampling.base import Resample, Taps
from minicnn.layers.resampling.coordinates import COORDINATES, ROUNDINGS, cubic_taps, linear_taps, nearest_taps
from minicnn.shapes import IntPair, pair

__all__ = ["Upsample"]

MODES = ("nearest", "nearest-exact", "bilinear", "bicubic")
MAX_SIZE = 1 << 16


@dataclass(frozen=True, eq=False, repr=False)
class Upsample(Resample, capturable=True):
    """Maps resized, larger or smaller: (N, C, H, W) to (N, C, P, Q).

    Parameters
    ----------
    size : int or pair, optional
        (P, Q).
    scale_factor : number or pair, optional
        P = floor(H scale_factor), in place of ``size``.
    mode : "nearest", "nearest-exact", "bilinear" or "bicubic"
    align_corners : bool, optional
        Whether the corner pixels' centres keep their places; bilinear and bicubic only.
    recompute_scale_factor : bool, optional
        Whether places follow H / P rather than ``scale_factor``, where both differ.
    coordinates : str, optional
        ONNX's convention of what place an output has in the input, instead of torch's.
    rounding : str, optional
        ONNX's mode of rounding to the nearest place: "floor", "ceil", "round_prefer_floor", "round_prefer_ceil".
    cubic_coeff_a : float
        Parameter of the cubic kernel.
    exclude_outside : bool
        Whether the cubic kernel leaves out places outside of the map, rather than repeating its border.

    Raises
    ------
    ShapeError
        For arguments that fit no resize.

    See Also
    --------
    torch.nn.Upsample : the same layer; there are no other conventions
    PixelShuffle : more pixels out of channels

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> import numpy as np
    >>> x = np.array([[[[0.0, 4.0]]]])
    >>> Network([layers.Upsample(size=(1, 4))])(x).tolist()
    [[[[0.0, 0.0, 4.0, 4.0]]]]
    >>> Network([layers.Upsample(size=(1, 4), mode="bilinear")])(x).tolist()
    [[[[0.0, 1.0, 3.0, 4.0]]]]

    """

    size: IntOrPair = None
    scale_factor: Any = None
    mode: str = "nearest"
    align_corners: bool | None = None
    recompute_scale_factor: bool | None = None
    _: KW_ONLY
    coordinates: str | None = None
    rounding: str | None = None
    cubic_coeff_a: float = -0.75
    exclude_outside: bool = False

    def __post_init__(self) -> None:
        if (self.size is None) == (self.scale_factor is None):
            raise ShapeError("Upsample: expected either a size or a scale_factor")
        if self.size is not None:
            object.__setattr__(self, "size", pair(self.size, "Upsample: size"))
        else:
            object.__setattr__(self, "scale_factor", _factors(self.scale_factor))
        for name, value, known in (
            ("mode", self.mode, MODES),
            ("coordinates", self.coordinates, (None, *COORDINATES)),
            ("rounding", self.rounding, (None, *ROUNDINGS)),
        ):
            if value not in known:
                choices = ", ".join(str(k) for k in known if k)
                raise ShapeError(f"Upsample: {name}: expected one of {choices}, got {value!r}")
        if not isinstance(self.cubic_coeff_a, int | float) or not isfinite(self.cubic_coeff_a):
            raise ShapeError(f"Upsample: cubic_coeff_a: expected a number, got {self.cubic_coeff_a!r}")
        if self.align_corners and self.mode.startswith("nearest"):
            raise ShapeError("Upsample: align_corners has no meaning in mode 'nearest'")

    def output_size(self, size: IntPair) -> IntPair:
        """Return (P, Q) for maps of ``size`` (H, W)."""
        if self.size is not None:
            return self.size
        height, width = (floor(n * scale) for n, scale in zip(size, self.scale_factor, strict=True))
        return height, width

    def taps(self, shape: Shape) -> Taps:
        _, h, w = check_maps(shape, "Upsample")
        out = self.output_size((h, w))
        if min(out) < 1 or max(out) > MAX_SIZE:
            raise ShapeError(f"Upsample: maps of {h} x {w} become {out[0]} x {out[1]}; expected 1 to {MAX_SIZE}")
        return None, *(self._axis_taps(axis, n, p) for axis, (n, p) in enumerate(zip((h, w), out, strict=True)))

    def _axis_taps(self, axis: int, size: int, out: int) -> AxisTaps:
        given = self.scale_factor is not None and not self.recompute_scale_factor
        ratio = 1 / self.scale_factor[axis] if given else size / out
        coordinates = self.coordinates or ("align_corners" if self.align_corners else "half_pixel")
        if self.mode == "bilinear":
            return linear_taps(size, out, ratio, coordinates)
        if self.mode == "bicubic":
            return cubic_taps(size, out, ratio, coordinates, self.cubic_coeff_a, self.exclude_outside)
        exact = self.mode == "nearest-exact"
        place = self.coordinates or ("half_pixel" if exact else "asymmetric")
        return nearest_taps(size, out, ratio, place, self.rounding or ("round_prefer_ceil" if exact else "floor"))


def _factors(value: Any) -> tuple[float, float]:
    values = value if isinstance(value, tuple | list) else (value, value)
    if len(values) != 2 or not all(isinstance(v, Real) and 0 < float(v) < MAX_SIZE for v in values):
        raise ShapeError(f"Upsample: scale_factor: expected a number > 0 or a pair of them, got {value!r}")
    return float(values[0]), float(values[1])
