"""Preprocessing and labels as typed on the command line, put into a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.images import Preprocess
from minicnn.network import Network

__all__ = ["apply_preprocessing"]


def apply_preprocessing(net: Network, typed: Mapping[str, str]) -> Network:
    """Set the network's preprocessing and labels to what was typed; what was not typed stays.

    Parameters
    ----------
    net : Network, changed in place
    typed : text of each option by its name, as ``minicnn.cli.common.add_preprocessing`` collects it

    Raises
    ------
    MinicnnError
        If a value can't be read or does not fit the network.

    """
    settings = {name: _parse(name, typed[name]) for name in PARSERS if name in typed}
    if settings:
        net.preprocess = _merge(net, settings)
    if "labels" in typed:
        net.labels = _read_labels(typed["labels"])
        net.check_labels()
    return net


def _parse(name: str, text: str) -> Any:
    try:
        return PARSERS[name](text)
    except (ValueError, ZeroDivisionError):
        raise MinicnnError(
            f"--{name}: can't read {text!r}; expected numbers, such as 1/255 or 104,117,123"
        ) from None


def _parse_resize(text: str) -> int | tuple[int, ...] | None:
    if text == "none":
        return None
    return tuple(map(int, text.split(","))) if "," in text else int(text)


def _parse_number(text: str) -> float:
    return float(Fraction(text)) if "/" in text else float(text)


def _parse_numbers(text: str) -> tuple[float, ...]:
    return tuple(_parse_number(part) for part in text.split(","))


def _parse_mean(text: str) -> tuple[float, ...] | np.ndarray:
    """Return numbers, or the mean image (C, H, W) of a file."""
    if text.endswith(".binaryproto"):
        from minicnn.formats.caffe import read_mean

        return read_mean(text)
    if text.endswith(".npy"):
        from minicnn.formats.containers.npz import read_npy

        return read_npy(text)
    return _parse_numbers(text)


# in the order in which they are read, so that of several bad values the first of these is named
PARSERS: dict[str, Callable[[str], Any]] = {
    "resize": _parse_resize,
    "interpolation": str,
    "channels": str,
    "scale": _parse_number,
    "mean": _parse_mean,
    "std": _parse_numbers,
}


def _crop_mean(mean: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return the centre of a mean image, as a centre crop of the picture it is subtracted from has it."""
    if mean.ndim != 3 or mean.shape[1] < size[0] or mean.shape[2] < size[1]:
        raise MinicnnError(f"--mean: expected an image (C, H, W) of at least {size} pixels, found {mean.shape}")
    top, left = ((n - m) // 2 for n, m in zip(mean.shape[1:], size, strict=True))
    return mean[:, top : top + size[0], left : left + size[1]]


def _merge(net: Network, settings: dict[str, Any]) -> Preprocess:
    """Return the network's preprocessing with ``settings`` in it, or one made of them and of neutral values."""
    if isinstance(settings.get("mean"), np.ndarray) and net.input_shape is not None:
        settings["mean"] = _crop_mean(settings["mean"], tuple(net.input_shape[1:]))
    if net.preprocess is not None:
        return replace(net.preprocess, **settings)
    if net.input_shape is None or len(net.input_shape) != 3:
        raise MinicnnError(f"{net.name}: does not say the size of its input, so that it can't be preprocessed for")
    depth, height, width = net.input_shape
    neutral = {"channels": "L" if depth == 1 else "RGB", "mean": (0.0,) * depth, "std": (1.0,) * depth}
    return Preprocess(size=(height, width), **neutral | settings)


def _read_labels(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MinicnnError(f"--labels: can't read {path} ({error})") from None
