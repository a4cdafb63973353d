"""What a MatConvNet network says about its input and its classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn.errors import WeightsError
from minicnn.formats.containers.files import escape
from minicnn.formats.fields import describe_unread
from minicnn.images import Preprocess
from minicnn.images.settings import INTERPOLATIONS

__all__ = ["read_input_shape", "read_labels", "read_preprocess"]

MAX_SIDE = 1 << 14  # pixels a side
MAX_CHANNELS = 1 << 10
# what a normalisation may say: what is read of it, and how training varies images
_KEYS = "imageSize averageImage imageStd interpolation border fullImageSize cropSize keepAspect".split()
_KEYS += "rgbVariance transformation numAugments".split()


def read_input_shape(meta: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """Return (C, H, W) out of ``normalization.imageSize`` = [H W C] or ``inputSize``; None where it is open."""
    for size in (_read_normalisation(meta).get("imageSize"), meta.get("inputSize")):
        numbers = _to_numbers(size)
        if 2 <= len(numbers) <= 4 and all(1 <= n <= MAX_SIDE and n == int(n) for n in numbers):
            height, width, *depth = (int(n) for n in numbers)
            channels = depth[0] if depth else 1
            return (channels, height, width) if channels <= MAX_CHANNELS else None
    return None


def read_preprocess(meta: Mapping[str, Any]) -> Preprocess | None:
    """Return how an image becomes the input; None where the file does not say, or the input is no image.

    RGB or grey values 0..255, minus ``averageImage`` (an image, or a value a channel); where there is an
    ``imageStd`` of a network from PyTorch, values 0..1, divided by it.  The short side is first brought to the
    input's plus ``border``, or to ``fullImageSize``, or to the input's divided by ``cropSize``; where none of
    them is given the image is warped, as MatConvNet's own examples do.
    """
    shape, normalisation = read_input_shape(meta), _read_normalisation(meta)
    if shape is None or not normalisation or shape[0] not in (1, 3):
        return None
    channels, height, width = shape
    given = normalisation.get("imageStd")
    std, has_std = _to_numbers(given), isinstance(given, np.ndarray) and given.size > 0
    if has_std and (len(std) != channels or not all(s > 0 for s in std)):
        values = f"{np.asarray(given).ravel().tolist()!r:.80}"
        raise WeightsError(f"meta.normalization.imageStd: expected {channels} numbers above 0, got {values}")
    interpolation = normalisation.get("interpolation", "bicubic")
    unknown = [key for key, value in normalisation.items() if key not in _KEYS and not _is_empty(value)]
    if unknown or interpolation not in INTERPOLATIONS:
        what = describe_unread(unknown) if unknown else f"interpolation {escape(interpolation)!r} is not known"
        raise WeightsError(f"meta.normalization: {what}")
    mean = _read_mean(normalisation.get("averageImage"), shape)
    if mean is None:
        return None
    return Preprocess(
        size=(height, width),
        resize=_read_resize(normalisation, [height, width]),
        interpolation=interpolation,
        channels="RGB" if channels == 3 else "L",
        scale=1 / 255 if has_std else 1.0,
        mean=mean,
        std=tuple(std) if has_std else (1.0,) * channels,
    )


def read_labels(meta: Mapping[str, Any], scores: tuple[int, ...] | None) -> list[str] | None:
    """Return the classes' descriptions, or else their names; None unless there is one for each score."""
    classes = meta.get("classes")
    for key in ("description", "name"):
        labels = classes.get(key) if isinstance(classes, dict) else None
        if isinstance(labels, list) and (len(labels),) == scores and all(isinstance(s, str) for s in labels):
            return labels
    return None


def _read_normalisation(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    normalisation = meta.get("normalization")
    return normalisation if isinstance(normalisation, dict) else {}


def _is_empty(value: Any) -> bool:
    return isinstance(value, np.ndarray) and not value.size


def _to_numbers(value: Any) -> list[float]:
    if not isinstance(value, np.ndarray) or not 1 <= value.size <= 16:
        return []
    numbers = value.ravel(order="F").astype(float)
    return numbers.tolist() if np.isfinite(numbers).all() else []


def _read_mean(average: Any, shape: tuple[int, int, int]) -> Any:
    """Return a mean image (C, H, W), or a mean for each channel; None where it is of another kind."""
    channels, height, width = shape
    if not isinstance(average, np.ndarray) or not average.size:
        return (0.0,) * channels
    if average.dtype.kind == "f" and not np.isfinite(average).all():
        raise WeightsError("meta.normalization.averageImage: holds NaN or infinity; expected values of 0..255")
    if average.size == channels:
        return tuple(_to_numbers(average)) or None
    # MATLAB drops trailing axes of length 1, here that of a single channel
    image = average.reshape(*average.shape, *(1,) * (3 - average.ndim)) if average.ndim < 3 else average
    if image.ndim != 3 or image.shape[2] != channels:
        return None
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)
    # an image of another size fits no pixel of the input, but the mean of each channel does
    return tuple(image.mean(axis=(0, 1), dtype=np.float64).tolist())


def _read_resize(normalisation: Mapping[str, Any], size: list[int]) -> int | tuple[int, int] | None:
    """Return the short side, or height and width where the file says that the aspect is not kept."""
    border, full, crop = (_to_numbers(normalisation.get(key)) for key in ("border", "fullImageSize", "cropSize"))
    side = _find_short_side(border, full, crop, size)
    if side is None or any(_to_numbers(normalisation.get("keepAspect", np.ones(1)))):
        return side
    # a short side is the input's plus a margin: here each side gets its own
    height, width = (n + (border[-i] if border else side - min(size)) for i, n in ((0, size[0]), (1, size[1])))
    return int(height), int(width)


def _find_short_side(border: list[float], full: list[float], crop: list[float], size: list[int]) -> int | None:
    if border and any(border):
        side = min(size) + border[0]
    elif full:
        side = full[0]
    elif crop and 0 < crop[0] <= 1:
        side = round(min(size) / crop[0])
    else:
        return None
    return int(side) if max(size) <= side <= MAX_SIDE else None
