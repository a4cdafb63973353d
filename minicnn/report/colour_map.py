"""Maps in colours, and the way from a map of any range to one of them."""

from __future__ import annotations

import numpy as np

from minicnn._utils.colour_names import BOTH_SIGNS, COLOUR_MAPS
from minicnn.errors import ShapeError
from minicnn.report.drawing import current
from minicnn.report.palettes import palette

__all__ = ["COLOUR_MAPS", "colour_map", "normalise"]


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


def colour_map(map: np.ndarray, name: str | None = None) -> np.ndarray:
    """Colours of a map.

    Parameters
    ----------
    map : (H, W) array
        0..1, -1..1 for "signed" and "purple-green"; values outside take the colour of the nearer end. `normalise`
        brings a map of any range there.
    name : a name of `COLOUR_MAPS`, optional
        What `drawing` chose, or "heat", unless given. Lightness L* rises evenly, in "blues" and "ink" it falls;
        "signed" and "purple-green" are near white at zero and alike in lightness on both sides.

    Returns
    -------
    (H, W, 3) uint8
        sRGB.

    Raises
    ------
    ShapeError
        If the map isn't a finite (H, W) array or there is no such colour map.

    See Also
    --------
    normalise : brings a map into the range of the colours
    minicnn.report.drawing : chooses the colours of all figures drawn inside of it

    Examples
    --------
    >>> import numpy as np
    >>> colour_map(np.array([[0.0, 0.5, 1.0]]), "grey").tolist()
    [[[0, 0, 0], [119, 119, 119], [255, 255, 255]]]

    """
    name = name or current().colour_map or "heat"
    values, entries = check_map("colour_map", map), palette(name)
    if name in BOTH_SIGNS:
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
