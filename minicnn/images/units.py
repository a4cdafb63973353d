"""Preprocessing whose numbers do not belong together: a mean of 0..255 for values of 0..1, and such."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from minicnn.images.preprocess import Preprocess

__all__ = ["units_that_differ", "unlikely_numbers"]

# means of ImageNet in the order blue, green, red, for values of 0..255 and of 0..1
_BGR_MEANS = np.array([(103.939, 116.779, 123.68), (104.0, 117.0, 123.0), (0.406, 0.456, 0.485)])


def units_that_differ(preprocess: Preprocess) -> str | None:
    """Return a sentence where the mean or the std is not of the values that scale makes; or None.

    Examples
    --------
    >>> from types import SimpleNamespace as Numbers
    >>> print(units_that_differ(Numbers(channels="L", scale=1, mean=(0.4,), std=(1,))))
    a mean of 0.4 is of values of 0..1, and scale 1 makes them 0..255: likely are scale 1/255, or a mean of 102
    >>> print(units_that_differ(Numbers(channels="L", scale=1 / 255, mean=(0.5,), std=(4.46,))))
    a std of 4.46 is more than values of 0..1 have: what is typed divides, likely is 1/std, 0.2242

    """
    if isinstance(preprocess.channels, int):
        return None  # the planes of an array are of any unit
    top, mean, std = _top(preprocess), _largest(preprocess.mean), _largest(preprocess.std)
    if top <= 2 < mean or (top < 50 and mean > max(10, 2 * top)) or (top > 100 and 0 < mean < 1):
        return _explain("mean", mean, preprocess)
    if (top <= 2 and 2 * top < std <= 10) or (top > 100 and std < 0.1):
        how = "more" if top <= 2 else "less"
        return (
            f"a std of {std:g} is {how} than values of 0..{top:g} have: what is typed divides, likely is 1/std, "
            f"{1 / std:.4g}"
        )
    if (top <= 2 and std > 10) or (top > 100 and std < 1):
        return _explain("std", std, preprocess)
    return None


def unlikely_numbers(preprocess: Preprocess) -> str | None:
    """Return what else is unlikely where it is typed, and what is likelier; or None.

    Examples
    --------
    >>> from minicnn import Preprocess
    >>> print(unlikely_numbers(Preprocess((8, 8), scale=255)))
    scale 255 makes 0..65025 of values of 0..255: likely are 1/255 and 1

    """
    top, scale, mean = _top(preprocess), preprocess.scale, preprocess.mean
    if scale < 0:
        return f"scale {_shown(scale)} makes what is light dark: likely is {_shown(-scale)}"
    if top > 256:
        return f"scale {scale:g} makes 0..{top:g} of values of 0..255: likely are 1/255 and 1"
    if np.max(mean) < 0:
        return f"a mean of {-_largest(mean):g} is added, for the mean is taken away: likely is {_largest(mean):g}"
    is_bgr = any(np.allclose(mean, bgr, rtol=0.01) for bgr in _BGR_MEANS if np.size(mean) == 3)
    if preprocess.channels == "RGB" and is_bgr:
        return "the mean is ImageNet's in the order blue, green, red, and the channels are RGB: likely is BGR"
    return None


def _top(preprocess: Preprocess) -> float:
    return 255 * abs(preprocess.scale)


def _largest(values: Sequence[float] | np.ndarray) -> float:
    return float(np.abs(np.asarray(values, np.float64)).max())


def _shown(scale: float) -> str:
    return f"{'-' if scale < 0 else ''}1/255" if abs(scale) == 1 / 255 else f"{scale:g}"


def _explain(name: str, value: float, preprocess: Preprocess) -> str:
    """Return what is of another unit, and the two sets of numbers that fit: of a new scale, and of this one."""
    top = _top(preprocess)
    numbers = {"mean": _largest(preprocess.mean), "std": _largest(preprocess.std)}
    # no mean, and no std, are of any unit
    given = {key: number for key, number in numbers.items() if number != {"mean": 0, "std": 1}[key]}
    # of values of 0..255; one of these is of the other unit than scale
    large = {key for key, number in given.items() if number > (2 if key == "mean" else 10)}
    is_small = name not in large
    odd = {key for key in given if (key in large) != is_small}
    scale = abs(preprocess.scale)
    to_this, to_other, other = (top, 1 / 255, "1/255") if is_small else (scale, 1 / scale, "1")
    rest = {key: given[key] * to_other for key in given.keys() - odd}
    choices = [[f"scale {other}", *_listed(rest)], _listed({key: given[key] * to_this for key in odd})]
    first, second = (" with ".join(choice) for choice in sorted(choices, key=len))
    unit = "0..1" if is_small else "0..255"
    return (
        f"a {name} of {value:g} is of values of {unit}, and scale {_shown(preprocess.scale)} makes them 0..{top:g}"
        f": likely are {first}, or {second}"
    )


def _listed(numbers: dict[str, float]) -> list[str]:
    return [f"a {name} of {numbers[name]:.4g}" for name in ("mean", "std") if name in numbers]
