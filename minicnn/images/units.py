"""Preprocessing whose numbers do not belong together: a mean of 0..255 for values of 0..1, and such."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from minicnn.images.preprocess import Preprocess

__all__ = ["mean_of_other_unit", "unlikely_units"]

# means of ImageNet in the order blue, green, red, for values of 0..255 and of 0..1
_BGR_MEANS = np.array([(103.939, 116.779, 123.68), (104.0, 117.0, 123.0), (0.406, 0.456, 0.485)])


def mean_of_other_unit(scale: float, mean: Sequence[float] | np.ndarray) -> str | None:
    """Return a sentence where a mean of 0..255 is taken from values of 0..1, which leaves all but a constant.

    Examples
    --------
    >>> print(mean_of_other_unit(1 / 255, (102, 102, 102)))
    a mean of 102 is of values of 0..255, and scale 1/255 makes them 0..1: likely are scale 1, or a mean of 0.4

    """
    top, largest = 255 * abs(scale), _largest(mean)
    if top > 2 or largest <= 2:
        return None
    return _explain("mean", largest, "0..255", f"{top / 255:g}" if top != 1 else "1/255", top, 1)


def unlikely_units(preprocess: Preprocess) -> str | None:
    """Return what else is unlikely about scale, mean and std, and what is likelier; or None.

    Examples
    --------
    >>> from minicnn import Preprocess
    >>> print(unlikely_units(Preprocess((8, 8), scale=1, mean=(0.4, 0.4, 0.4))))
    a mean of 0.4 is of values of 0..1, and scale 1 makes them 0..255: likely are scale 1/255, or a mean of 102

    """
    top = 255 * abs(preprocess.scale)
    mean, std = _largest(preprocess.mean), _largest(preprocess.std)
    if top > 256:
        return f"scale {preprocess.scale:g} makes 0..{top:g} of values of 0..255: likely are 1/255 and 1"
    # a mean or std of the other unit, the larger value first
    for name, value, is_large, is_small in (
        ("mean", mean, False, 0 < mean < 1),  # the large one is doubted where the Preprocess is made
        ("std", std, std > 10, std < 1),
    ):
        if top <= 2 and is_large:
            return _explain(name, value, "0..255", f"{top / 255:g}" if top != 1 else "1/255", top, 1)
        if top > 100 and is_small:
            return _explain(name, value, "0..1", f"{preprocess.scale:g}", top, 255)
    is_bgr = any(
        np.allclose(preprocess.mean, bgr, rtol=0.01) for bgr in _BGR_MEANS if np.size(preprocess.mean) == 3
    )
    if preprocess.channels == "RGB" and is_bgr:
        return "the mean is ImageNet's in the order blue, green, red, and the channels are RGB: likely is BGR"
    return None


def _largest(values: Sequence[float] | np.ndarray) -> float:
    return float(np.abs(np.asarray(values, np.float64)).max())


def _explain(name: str, value: float, unit: str, scale: str, top: float, factor: int) -> str:
    likely = "1/255" if factor == 255 else "1"
    other = value * factor if factor == 255 else value / 255
    return (
        f"a {name} of {value:g} is of values of {unit}, and scale {scale} makes them 0..{top:g}: "
        f"likely are scale {likely}, or a {name} of {other:.4g}"
    )
