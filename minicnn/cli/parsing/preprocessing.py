"""Preprocessing and labels as typed on the command line, put into a network."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.images import Preprocess
from minicnn.images.preprocess import COLOURS
from minicnn.images.units import unlikely_numbers
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
        if doubt := unlikely_numbers(net.preprocess):
            warnings.warn(doubt, stacklevel=2)
    if "labels" in typed:
        _set_labels(net, typed["labels"])
    return net


def _parse(name: str, text: str) -> Any:
    try:
        return PARSERS[name](text)
    except (ValueError, ZeroDivisionError):
        size, numbers = "a size, such as 256, or 240,320, or none", "numbers, such as 1/255 or 104,117,123"
        expected = size if name == "resize" else numbers
        raise MinicnnError(f"--{name}: can't read {text!r}; expected {expected}") from None


def _parse_resize(text: str) -> int | tuple[int, ...] | None:
    if text == "none":
        return None
    return tuple(map(int, text.split(","))) if "," in text else int(text)


def _parse_number(text: str) -> float:
    above, has_below, below = text.partition("/")
    return float(above) / float(below) if has_below else float(text)


def _parse_numbers(text: str) -> tuple[float, ...]:
    """Return numbers with commas or spaces between, as Python writes a list or without brackets."""
    return tuple(_parse_number(part) for part in text.strip(" []()").replace(",", " ").split())


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
        return replace(net.preprocess, **_spread(settings, net.preprocess.depth))
    if net.input_shape is not None and len(net.input_shape) not in (1, 3):
        raise MinicnnError(
            f"{net.name}: takes inputs of {net.input_shape}, such as signals, which no picture becomes; "
            "give it arrays from Python"
        )
    if net.input_shape is None or len(net.input_shape) == 1:
        what = "does not say the size of its input" if net.input_shape is None else "takes vectors"
        raise MinicnnError(f"{net.name}: {what}, so that it can't be preprocessed for; give --input-size H,W")
    depth, height, width = net.input_shape
    neutral = {"channels": COLOURS.get(depth, depth), "mean": (0.0,) * depth, "std": (1.0,) * depth}
    # what is typed is the order of the colours; a channel more is the transparency
    if depth in (2, 4) and len(settings.get("channels", "")) == depth - 1:
        settings["channels"] += "A"
    return Preprocess(size=(height, width), **neutral | _spread(settings, depth))


def _spread(settings: dict[str, Any], depth: int) -> dict[str, Any]:
    """Return settings in which one mean, or one std, stands for all channels; raise for another number of them."""
    depth = len(settings["channels"]) if "channels" in settings else depth
    for name in ("mean", "std"):
        values = settings.get(name)
        if isinstance(values, tuple):
            if len(values) not in (1, depth):
                raise MinicnnError(f"--{name}: {len(values)} numbers for {depth} channels")
            settings = settings | {name: values * (depth // len(values))}
    return settings


def _set_labels(net: Network, path: str) -> None:
    """Set the labels to the names that a file lists."""
    try:
        # the package of measures takes time to import, which only a list of labels is worth
        from minicnn.evaluate.datasets.class_list import read_class_list

        net.labels = read_class_list(path)
    except MinicnnError as error:
        raise MinicnnError(f"--labels: {error}") from None
    try:
        net.check_labels()
    except MinicnnError as error:
        first, last = (name if len(name) < 40 else f"{name[:40]} ..." for name in (net.labels[0], net.labels[-1]))
        raise MinicnnError(f"--labels: {path} names {first!r} to {last!r}: {error}") from None
