"""Preprocessing and labels as typed on the command line, put into a network."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.network import Network

__all__ = ["apply"]


def apply(net: Network, arguments: Namespace) -> Network:
    """Set the network's preprocessing and labels to what was typed; what was not typed stays.

    Raises
    ------
    MinicnnError
        If a value can't be read or does not fit the network.

    """
    typed = _typed(arguments)
    if typed:
        net.preprocess = _preprocess(net, typed)
    if arguments.labels is not None:
        net.labels = _labels(arguments.labels)
        net.check_labels()
    return net


def _typed(arguments: Namespace) -> dict[str, Any]:
    readers: dict[str, Callable[[str], Any]] = {
        "resize": lambda text: None if text == "none" else int(text),
        "interpolation": str,
        "channels": str,
        "scale": _number,
        "mean": _mean,
        "std": _numbers,
    }
    given = {name: text for name in readers if (text := getattr(arguments, name)) is not None}
    found = {}
    for name, text in given.items():
        try:
            found[name] = readers[name](text)
        except (ValueError, ZeroDivisionError):
            raise MinicnnError(
                f"--{name}: can't read {text!r}; expected numbers, such as 1/255 or 104,117,123"
            ) from None
    return found


def _number(text: str) -> float:
    return float(Fraction(text)) if "/" in text else float(text)


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(_number(part) for part in text.split(","))


def _mean(text: str) -> tuple[float, ...] | np.ndarray:
    """Return numbers, or the mean image (C, H, W) of a file."""
    if text.endswith(".binaryproto"):
        from minicnn.formats.caffe import read_mean

        return read_mean(text)
    if text.endswith(".npy"):
        from minicnn.formats.containers.npz import read_npy

        return read_npy(text)
    return _numbers(text)


def _fitted(mean: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the centre of a mean image, as a centre crop of the picture it is subtracted from has it."""
    if mean.ndim != 3 or mean.shape[1] < size[0] or mean.shape[2] < size[1]:
        raise MinicnnError(f"--mean: expected an image (C, H, W) of at least {size} pixels, found {mean.shape}")
    top, left = ((n - m) // 2 for n, m in zip(mean.shape[1:], size, strict=True))
    return mean[:, top : top + size[0], left : left + size[1]]


def _preprocess(net: Network, typed: dict[str, Any]):
    from minicnn.images import Preprocess

    if isinstance(typed.get("mean"), np.ndarray) and net.input_shape is not None:
        typed["mean"] = _fitted(typed["mean"], tuple(net.input_shape[1:]))
    if net.preprocess is not None:
        return replace(net.preprocess, **typed)
    if net.input_shape is None or len(net.input_shape) != 3:
        raise MinicnnError(f"{net.name}: does not say the size of its input, so that it can't be preprocessed for")
    depth, *size = net.input_shape
    plain = {"channels": "L" if depth == 1 else "RGB", "mean": (0.0,) * depth, "std": (1.0,) * depth}
    return Preprocess(size=tuple(size), **plain | typed)


def _labels(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MinicnnError(f"--labels: can't read {path} ({error})") from None
