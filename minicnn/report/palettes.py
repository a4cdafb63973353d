"""Colour maps built from a formula in CIELAB.

Nothing here is a copied table: each map is a path through CIELAB (`minicnn.images.lab`), kept inside what sRGB can
show by giving up chroma, never lightness, which rises or falls evenly: equal steps of a value look equal.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from minicnn._utils.colour_names import BOTH_SIGNS, COLOUR_MAPS
from minicnn.errors import ShapeError
from minicnn.images.lab import lab_to_rgb

__all__ = ["palette"]

ENTRIES = 256
# L* at 0 and at 1, hue in degrees there, and the largest chroma
PATHS = {
    "heat": ((2, 98), (290, 465), 80),
    "blue-yellow": ((12, 92), (300, 102), 62),
    "blues": ((98, 18), (255, 285), 62),
    "grey": ((0, 100), (0, 0), 0),
    "ink": ((100, 0), (0, 0), 0),
}
HUES = {"signed": (282, 50), "purple-green": (315, 145)}  # below and above zero


@cache
def palette(name: str) -> np.ndarray:
    """Return the entries of a colour map, computed at its first use: (n, 3) uint8, read-only.

    Raises
    ------
    ShapeError
        If there is no such map.

    """
    if name not in COLOUR_MAPS:
        raise ShapeError(f"colour_map: there is no colour map {name!r}; use one of {', '.join(COLOUR_MAPS)}")
    entries = _both_signs(*HUES[name]) if name in BOTH_SIGNS else _one_sign(*PATHS[name])
    # the cache hands the same array to every caller
    entries.setflags(write=False)
    return entries


def _one_sign(lightness: tuple[int, int], hue: tuple[int, int], chroma: int) -> np.ndarray:
    """Return a path along which lightness and hue change evenly."""
    t = np.linspace(0, 1, ENTRIES)
    light, turned = (ends[0] + (ends[1] - ends[0]) * t for ends in (lightness, hue))
    if not chroma:
        return _to_bytes(_polar(light, np.zeros_like(t), turned))
    return _to_bytes(_polar(light, _smooth_below(np.minimum(chroma, _max_chroma(light, turned)), 33), turned))


def _both_signs(below: float, above: float) -> np.ndarray:
    """Return two hues that meet in near white at zero: L* = 98 - 50 |t|, chroma 60 |t| on both sides."""
    t = np.linspace(0, 1, ENTRIES // 2 + 1)
    lower, upper = (_to_bytes(_polar(98 - 50 * t, 60 * t, hue)) for hue in (below, above))
    # without the white at zero, which both halves have: an odd number of entries, zero in the middle
    return np.concatenate([lower[:0:-1], upper])


def _polar(lightness: np.ndarray, chroma: np.ndarray, hue: np.ndarray | float) -> np.ndarray:
    """Return CIELAB colours of lightness, chroma and hue in degrees."""
    angle = np.radians(hue)
    return np.stack([lightness, chroma * np.cos(angle), chroma * np.sin(angle)], axis=-1)


def _max_chroma(lightness: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """Return the largest chroma that sRGB can show at each lightness and hue, by bisection."""
    low, high = np.zeros_like(lightness), np.full_like(lightness, 150.0)
    for _ in range(40):
        # low can be shown and high can't: the limit lies between them, to 150 / 2^40 in the end
        middle = (low + high) / 2
        rgb = lab_to_rgb(_polar(lightness, middle, hue))
        inside = ((rgb >= 0) & (rgb <= 1)).all(axis=-1)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return low


def _smooth_below(values: np.ndarray, width: int) -> np.ndarray:
    """Smooth a curve from below: the moving minimum, then the moving mean of the same odd width."""
    # each minimum has the curve's own point in its window, so that their mean stays below the curve
    for reduce in (np.min, np.mean):
        windows = sliding_window_view(np.pad(values, width // 2, mode="edge"), width)
        values = reduce(windows, axis=-1)
    return values


def _to_bytes(lab: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(lab_to_rgb(lab), 0, 1) * 255).astype(np.uint8)
