"""What the settings of a ``Preprocess`` may be; anything else is refused when it is made."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.images.files import MAX_PIXELS

if TYPE_CHECKING:
    from minicnn.images.preprocess import Preprocess

__all__ = ["INTERPOLATIONS", "check_settings"]

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
CHANNELS = ("RGB", "BGR", "L", "RGBA", "BGRA", "LA")
LIMIT = 1e9  # of the numbers: what is larger, or as small, overflows float32 a few layers on


def check_settings(settings: Preprocess) -> None:
    """Raise MinicnnError for the first setting that is out of its range."""
    for is_right, message in _list_checks(settings):
        if not is_right:
            raise MinicnnError(f"Preprocess: {message}")


def _list_checks(of: Preprocess) -> Iterator[tuple[bool, str]]:
    """Yield whether each setting is right and what to say if not; a later one may rely on those before it."""
    yield (
        _is_size(of.channels) or of.channels in CHANNELS,
        f"channels: expected one of {CHANNELS} or a number, got {of.channels!r}",
    )
    yield _is_area(of.size), f"size: expected (height, width), at most {MAX_PIXELS:,} pixels, got {of.size!r}"
    resize, depth = of.resize, of.depth
    yield (
        resize is None or _is_size(resize) or _is_area(resize),
        f"resize: expected pixels, (height, width) or None, got {resize!r}",
    )
    if resize is not None:
        smallest = resize if isinstance(resize, tuple | list) else (resize, resize)
        fits = smallest[0] >= of.size[0] and smallest[1] >= of.size[1]
        yield fits, f"resize: {resize} is smaller than the input {of.size!r}"
    yield (
        of.interpolation in INTERPOLATIONS,
        f"interpolation: expected one of {INTERPOLATIONS}, got {of.interpolation!r}",
    )
    yield _is_number(of.scale, 1 / LIMIT), f"scale: expected 1e-9 to 1e9 in size, got {of.scale!r}"
    yield (
        _is_mean(of.mean, depth, of.size),
        f"mean: expected {depth} numbers up to 1e9, or an image of the input's shape, got {_describe(of.mean)}",
    )
    yield (
        _are_numbers(of.std, depth, 1 / LIMIT) and all(value > 0 for value in of.std),
        f"std: expected {depth} numbers of 1e-9 to 1e9, which the values are divided by, got {of.std!r}",
    )
    yield isinstance(of.mirror, bool), f"mirror: expected True or False, got {of.mirror!r}"
    yield (
        isinstance(of.invert, bool) or (isinstance(of.invert, str) and of.invert == "auto"),
        f"invert: expected True, False or 'auto', got {of.invert!r}",
    )


def _is_area(value: Any) -> bool:
    """Return whether a value is (height, width) of a picture that fits into memory."""
    listed = isinstance(value, tuple | list) and len(value) == 2 and all(map(_is_size, value))
    return listed and value[0] * value[1] <= MAX_PIXELS


def _is_size(value: Any) -> bool:
    # bool is an Integral too, and True no size
    return isinstance(value, Integral) and not isinstance(value, bool) and 0 < int(value) <= 1 << 16


def _is_mean(mean: Any, depth: int, size: tuple[int, int]) -> bool:
    if isinstance(mean, np.ndarray) and mean.ndim == 3:
        numeric = mean.dtype.kind in "fiu" and mean.shape == (depth, *size)
        return numeric and bool((np.abs(mean) <= LIMIT).all())
    return _are_numbers(mean, depth)


def _describe(mean: Any) -> str:
    if not isinstance(mean, np.ndarray) or mean.ndim < 2:
        return reprlib.repr(mean)
    fault = " with NaN or numbers that are too large" if mean.dtype.kind == "f" else f" of {mean.dtype}"
    return f"an array of shape {mean.shape}{fault if mean.ndim == 3 else ''}"


def _is_number(value: Any, smallest: float = 0.0) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    magnitude: Any = abs(value)  # of whatever type, and compared as such: a large int has no float
    return bool(smallest <= magnitude <= LIMIT)


def _are_numbers(values: Any, count: int, smallest: float = 0.0) -> bool:
    listed = isinstance(values, tuple | list) or (isinstance(values, np.ndarray) and values.ndim == 1)
    return listed and len(values) == count and all(_is_number(v, smallest) for v in values)
