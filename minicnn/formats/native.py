"""Our own file: architecture, weights, preprocessing and labels in one uncompressed .npz.

The arrays are the members of the state dictionary, and the mean image that inputs may need; the member
``network.json`` holds everything else as text.
Nothing in it is code: a layer is a name out of ``minicnn.layers`` and numbers for its arguments.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import layers as zoo_of_layers
from minicnn.errors import MinicnnError, WeightsError
from minicnn.formats.containers import npz
from minicnn.images import Preprocess
from minicnn.layers import Layer
from minicnn.layers.blocks import Block
from minicnn.network import Network

__all__ = ["MEAN_IMAGE", "MEMBER", "describe", "describe_preprocess", "is_ours", "read", "write"]

MEMBER = "network.json"
MEAN_IMAGE = "preprocess.mean"
_VERSION = 1
_MANY = 50_000
_LAYERS = {
    name: getattr(zoo_of_layers, name) for name in zoo_of_layers.__all__ if name not in ("Keep", "Kind", "Layer")
}


def write(path: str | Path, net: Network, half: bool = False) -> None:
    """Write ``net`` to one file.

    Parameters
    ----------
    path : str or Path
    net : Network
    half : bool
        Store arrays of 50,000 numbers and more as float16; they come back as float32.  Small ones stay as they
        are: they weigh little, and the first layers' errors grow most on their way to the scores.

    Raises
    ------
    WeightsError
        If the file can't be written; nothing is left behind.

    """
    arrays = net.state_dict()
    if half:
        arrays = {name: a.astype(np.float16) if a.size >= _MANY else a for name, a in arrays.items()}
    if net.preprocess is not None and isinstance(net.preprocess.mean, np.ndarray):
        arrays = arrays | {MEAN_IMAGE: net.preprocess.mean}
    text = json.dumps(describe(net), indent=1, ensure_ascii=False)
    npz.write(path, arrays, {MEMBER: text})


def describe(net: Network) -> dict[str, Any]:
    """Return everything about ``net`` but its arrays, as plain numbers, strings, lists and dictionaries."""
    return {
        "format": "minicnn",
        "version": _VERSION,
        "name": net.name,
        "input_shape": None if net.input_shape is None else list(net.input_shape),
        "preprocess": describe_preprocess(net.preprocess),
        "layers": [_described(name, layer) for name, layer in net.named_layers],
        "labels": net.labels,
    }


def describe_preprocess(preprocess: Preprocess | None) -> dict[str, Any] | None:
    """Return preprocessing as plain values; of a mean image only that there is one."""
    if preprocess is None or not isinstance(preprocess.mean, np.ndarray):
        return preprocess and preprocess.to_dict()
    return replace(preprocess, mean=(0.0,) * len(preprocess.channels)).to_dict() | {"mean": MEAN_IMAGE}


def _described(name: str, layer: Layer) -> list:
    if isinstance(layer, Block):
        return [
            name,
            type(layer).__name__,
            [[_described(*pair) for pair in branch] for branch in layer.branches()],
        ]
    return [name, type(layer).__name__, layer.config()]


def is_ours(path: str | Path) -> bool:
    """Return whether the file is one of ours, rather than arrays alone; WeightsError if it is no .npz at all."""
    return MEMBER in npz.read(path, check=False)[1]


def read(path: str | Path, check: bool | None = None) -> Network:
    """Read a network that ``write`` wrote; its weights are mapped from the file, not copied.

    Parameters
    ----------
    path : str or Path
    check : bool, optional
        Whether to read everything once for its checksums; by default files up to 64 MiB are checked.

    Raises
    ------
    WeightsError
        If the file is missing, damaged, of another kind, or its description and its arrays disagree.

    """
    arrays, text = npz.read(path, check=check)
    if MEMBER not in text:
        raise WeightsError(f"{path}: holds arrays but no architecture ({MEMBER}); name one with architecture=")
    try:
        return _network(json.loads(text[MEMBER]), arrays)
    except (MinicnnError, TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path}: {MEMBER} describes no network that minicnn can build: {error}") from None


def _network(found: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Network:
    if found["format"] != "minicnn" or found["version"] != _VERSION:
        raise WeightsError(
            f"expected format 'minicnn', version {_VERSION}, got {found['format']!r}, {found['version']!r}"
        )
    layers = [_layer(*entry) for entry in found["layers"]]
    preprocess, arrays = found["preprocess"], dict(arrays)
    if MEAN_IMAGE in arrays:
        preprocess = {**preprocess, "mean": arrays.pop(MEAN_IMAGE)}
    preprocess = None if preprocess is None else Preprocess.from_dict(preprocess)
    return Network.from_state_dict(
        layers, arrays, found["input_shape"], preprocess, found["labels"], name=str(found["name"])
    )


def _layer(name: str, kind: str, arguments: Any) -> tuple[str, Layer]:
    if kind not in _LAYERS:
        raise WeightsError(f"layer {name!r} is of an unknown kind {kind!r}")
    if issubclass(_LAYERS[kind], Block):
        return str(name), _LAYERS[kind](*[[_layer(*entry) for entry in branch] for branch in arguments])
    arguments = {str(key): _tuples(value) for key, value in arguments.items()}
    for key, value in arguments.items():
        if not _plain(value) and not (key == "padding" and value == "same"):
            raise WeightsError(f"layer {name!r}: {key}: expected numbers, got {value!r}")
    return str(name), _LAYERS[kind](**arguments)


def _plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_plain(v) for v in value)
    return isinstance(value, bool | int | float)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
