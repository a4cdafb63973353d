"""Where an output of a resize lies in its input, by each convention, and what it reads there.

Conventions and rounding modes have ONNX's names (operator Resize); torch's are "half_pixel", or "align_corners",
and "asymmetric" for its mode "nearest".
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from minicnn.kernels.reference.axis_taps import AxisTaps

__all__ = ["COORDINATES", "ROUNDINGS", "cubic_taps", "linear_taps", "nearest_taps"]

COORDINATES = (
    "half_pixel",
    "asymmetric",
    "align_corners",
    "pytorch_half_pixel",
    "tf_half_pixel_for_nn",
    "half_pixel_symmetric",
)
ROUNDINGS = ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")


def _positions(size: int, out: int, ratio: float, coordinates: str, dtype: Any = np.float64) -> np.ndarray:
    """Return where each of ``out`` outputs lies among ``size`` inputs; ``ratio`` inputs for an output."""
    p, step, half = np.arange(out, dtype=dtype), dtype(ratio), dtype(0.5)
    if coordinates == "asymmetric":
        return p * step
    if coordinates == "align_corners":
        return p * dtype((size - 1) / (out - 1)) if out > 1 else 0 * p
    if coordinates == "tf_half_pixel_for_nn":
        return (p + half) * step
    if coordinates == "pytorch_half_pixel" and out == 1:
        return 0 * p
    if coordinates == "half_pixel_symmetric":
        # the centre stays in its place, though the output's size was rounded
        offset = dtype(size) / 2 * (1 - dtype(out) / (dtype(size) / step))
        return offset + (p + half) * step - half
    return (p + half) * step - half


@lru_cache(256)
def nearest_taps(size: int, out: int, ratio: float, coordinates: str, rounding: str) -> AxisTaps:
    """Return the nearest input of each output.

    Examples
    --------
    >>> nearest_taps(2, 5, 2 / 5, "asymmetric", "floor").index.ravel().tolist()
    [0, 0, 0, 1, 1]

    """
    half = np.float32(0.5)
    # in float32, as torch and onnxruntime: a place on the border of two inputs falls to the same side as theirs
    if coordinates == "half_pixel" and rounding == "round_prefer_ceil":
        # floor(x + 1/2) for x + 1/2 = (p + 1/2) ratio, which is torch's "nearest-exact" to the last bit
        places = np.floor(_positions(size, out, ratio, "tf_half_pixel_for_nn", np.float32))
    else:
        x = _positions(size, out, ratio, coordinates, np.float32)
        shift = half if rounding.startswith("round") else np.float32(0)
        places = np.floor(x + shift) if rounding in ("floor", "round_prefer_ceil") else np.ceil(x - shift)
    return AxisTaps.select(np.clip(places, 0, size - 1), size)


@lru_cache(256)
def linear_taps(size: int, out: int, ratio: float, coordinates: str) -> AxisTaps:
    """Return the two neighbours of each output, weighted by their distances; beyond the border it has the last.

    Examples
    --------
    >>> linear_taps(2, 4, 1 / 2, "half_pixel").weight.tolist()
    [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [1.0, 0.0]]

    """
    x = np.clip(_positions(size, out, ratio, coordinates), 0, size - 1)
    first = np.floor(x)
    weight = np.stack([first + 1 - x, x - first], axis=1)
    return _weighted(np.stack([first, first + 1], axis=1), weight, size)


@lru_cache(256)
def cubic_taps(
    size: int, out: int, ratio: float, coordinates: str, a: float = -0.75, exclude_outside: bool = False
) -> AxisTaps:
    """Return four neighbours of each output, weighted by the cubic convolution kernel with parameter ``a``.

    Source: Keys 1981, "Cubic convolution interpolation for digital image processing", equation 4.

    Examples
    --------
    >>> cubic_taps(4, 8, 1 / 2, "half_pixel").weight[3].round(3).tolist()
    [-0.105, 0.879, 0.262, -0.035]

    """
    x = _positions(size, out, ratio, coordinates)
    # (out, 4): places and their distances from x
    index = np.floor(x)[:, None] + np.arange(-1, 3)
    d = np.abs(x[:, None] - index)
    near, far = ((a + 2) * d - (a + 3)) * d * d + 1, ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    weight = np.where(d <= 1, near, far)
    if exclude_outside:
        weight = np.where((index >= 0) & (index < size), weight, 0)
        weight /= weight.sum(axis=1, keepdims=True)
    return _weighted(np.clip(index, 0, size - 1), weight, size)


def _weighted(index: np.ndarray, weight: np.ndarray, size: int) -> AxisTaps:
    # what has no weight is not read: 0 times an infinite value is NaN
    return AxisTaps(np.where(weight == 0, -1, index).astype(np.int64), weight, size)
