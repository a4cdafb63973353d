"""Colour maps built from a formula in CIELAB, and the way from a map of any range to one of them.

Nothing here is a copied table: each map is a path through CIELAB (`minicnn.images.lab`), kept inside what sRGB can
show by giving up chroma, never lightness.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from minicnn.errors import ShapeError
from minicnn.images.lab import lab_to_rgb
from minicnn.report.drawing import current

__all__ = ["COLOUR_MAPS", "colour_map", "normalise"]

COLOUR_MAPS = ("heat", "green", "grey", "ink", "signed")
ENTRIES = 256


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


def _heat() -> np.ndarray:
    """Deep blue over violet, magenta and orange to pale yellow; L* = 2 + 96 t, hue = 290 + 175 t degrees."""
    t = np.linspace(0, 1, ENTRIES)
    lightness, hue = 2 + 96 * t, 290 + 175 * t
    chroma = _smooth_below(np.minimum(80, _max_chroma(lightness, hue)), 33)
    return _to_bytes(_polar(lightness, chroma, hue))


def _green() -> np.ndarray:
    """Dark violet over blue and green to yellow, the way of the colours round the other side."""
    t = np.linspace(0, 1, ENTRIES)
    lightness, hue = 12 + 82 * t, 320 - 215 * t
    chroma = _smooth_below(np.minimum(70, _max_chroma(lightness, hue)), 33)
    return _to_bytes(_polar(lightness, chroma, hue))


def _signed() -> np.ndarray:
    """Blue, near white at zero, orange: L* = 98 - 50 |t|, chroma 60 |t|, hue 282 below zero and 50 above."""
    t = np.linspace(0, 1, ENTRIES // 2 + 1)
    below, above = (_to_bytes(_polar(98 - 50 * t, 60 * t, hue)) for hue in (282, 50))
    # blue to white without the white at zero, which both halves have: an odd number of entries, zero in the middle
    return np.concatenate([below[:0:-1], above])


def _grey() -> np.ndarray:
    """Black to white at even steps of L*, without colour."""
    lightness = np.linspace(0, 100, ENTRIES)
    return _to_bytes(_polar(lightness, np.zeros_like(lightness), np.zeros_like(lightness)))


def _ink() -> np.ndarray:
    """White to black, for print."""
    return _grey()[::-1].copy()


@cache
def table(name: str) -> np.ndarray:
    """Return the entries of a colour map, computed at its first use: (n, 3) uint8, read-only."""
    if name not in COLOUR_MAPS:
        raise ShapeError(f"colour_map: there is no colour map {name!r}; use one of {', '.join(COLOUR_MAPS)}")
    makers = {
        "heat": _heat,
        "green": _green,
        "grey": _grey,
        "ink": lambda: _grey()[::-1].copy(),
        "signed": _signed,
    }
    entries = makers[name]()
    # the cache hands the same array to every caller
    entries.setflags(write=False)
    return entries


def check_map(where: str, values: np.ndarray) -> np.ndarray:
    """Return a map as float64 of shape (H, W), or a ShapeError that begins with the caller's name."""
    values = np.asarray(values)
    if values.ndim != 2 or values.size == 0 or values.dtype.kind not in "buif":
        raise ShapeError(
            f"{where}: expected a map of real numbers of shape (H, W), got {values.dtype} {values.shape}; "
            "reduce a gradient (C, H, W) over its channels first"
        )
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        bad = np.count_nonzero(~np.isfinite(values))
        raise ShapeError(
            f"{where}: expected finite values, got {bad} of {values.size} infinite or NaN; "
            "check the weights and the input that gave the map"
        )
    return values


def colour_map(map: np.ndarray, name: str = "") -> np.ndarray:
    """Colours of a map.

    Parameters
    ----------
    map : (H, W) array
        0..1, -1..1 for "signed"; values outside take the colour of the nearer end.
        `normalise` brings a map of any range there.
    name : {"heat", "green", "grey", "ink", "signed"}, optional
        Unless given that of ``minicnn.report.drawing``, "heat" if none was chosen.
        "heat": deep blue over magenta and orange to pale yellow, L* rising evenly from 2 to 98.
        "signed": blue for negative, near white for zero, orange for positive, alike in lightness on both sides.
        "grey": black to white at even steps of L*, as in the figures of the paper.
        "ink": white to black, for print.
        "green": dark violet over blue and green to yellow.

    Returns
    -------
    (H, W, 3) uint8
        sRGB.

    Raises
    ------
    ShapeError
        If the map isn't a finite (H, W) array or the name is none of these.

    See Also
    --------
    normalise : brings a map into the range of the colours

    Examples
    --------
    >>> import numpy as np
    >>> colour_map(np.array([[0.0, 0.5, 1.0]]), "grey").tolist()
    [[[0, 0, 0], [119, 119, 119], [255, 255, 255]]]

    """
    values, entries = check_map("colour_map", map), table(name or current().colour_map)
    if name == "signed":
        values = (values + 1) / 2
    return entries[np.rint(np.clip(values, 0, 1) * (len(entries) - 1)).astype(np.intp)]


def normalise(map: np.ndarray, clip: float = 99.9) -> np.ndarray:
    """Map divided by a quantile of its own magnitude, ready for `colour_map`.

    m' = clip(m / q, -1, 1),  q = the `clip` % quantile of |m|. Zero stays zero and the sign stays: a map without
    negative values gives 0..1, a signed one -1..1. Values beyond the quantile, (100 - `clip`) % of the pixels,
    saturate, so that one stray pixel can't darken the rest. Where that quantile is zero though the map isn't, q is
    the maximum of |m|; a map of zeros gives zeros.

    Parameters
    ----------
    map : (H, W) array
    clip : float
        In (0, 100]; 100 divides by the maximum and saturates nothing.

    Returns
    -------
    (H, W) array
        The map's own dtype where that is floating, float64 otherwise.

    Raises
    ------
    ShapeError
        If the map isn't a finite (H, W) array or `clip` is outside (0, 100].

    Examples
    --------
    >>> import numpy as np
    >>> normalise(np.array([[0.0, -1.0, 4.0]]), clip=100).tolist()
    [[0.0, -0.25, 1.0]]

    """
    values = check_map("normalise", map)
    if not 0 < clip <= 100:
        raise ShapeError(f"normalise: expected clip in (0, 100] per cent, got {clip}; 99.9 is the default")
    magnitude = np.abs(values)
    # where nearly all of a map is zero the quantile is zero too, and the maximum stands in
    scale = np.percentile(magnitude, clip) or magnitude.max()
    scaled = np.clip(values, -scale, scale) / scale if scale else np.zeros_like(values)
    dtype = np.asarray(map).dtype
    return scaled.astype(dtype if dtype.kind == "f" else np.float64)
