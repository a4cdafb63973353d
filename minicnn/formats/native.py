"""Our own file: architecture, weights, preprocessing and labels in one uncompressed .npz.

The arrays are the members of the state dictionary, and the mean image that inputs may need; the member
``network.json`` holds everything else as text.
Nothing in it is code: a layer is a name out of ``minicnn.layers``, or that of a class that the reader is handed,
and arguments.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from inspect import signature
from typing import Any

import numpy as np

import minicnn.layers
from minicnn._utils.types import PathLike
from minicnn.errors import MinicnnError, WeightsError
from minicnn.formats.containers import npz
from minicnn.formats.containers.files import escape
from minicnn.formats.fields import describe_unread
from minicnn.images import Preprocess
from minicnn.layers import Layer, sequence
from minicnn.layers.blocks import Block
from minicnn.network import Network

__all__ = ["MEAN_IMAGE", "MEMBER", "describe", "describe_preprocess", "is_native", "read", "write"]

MEMBER = "network.json"
MEAN_IMAGE = "preprocess.mean"
_VERSION = 1
_OWN = "own."  # before the name of a class of somebody's own
_KEYS = ("format", "version", "name", "input_shape", "preprocess", "layers", "labels")
_HALF_LIMIT = 50_000
_WORDS = ("approximate", "padding", "mode", "coordinates", "rounding")


def write(path: PathLike, net: Network, half: bool = False) -> None:
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
        If the file can't be written, or a layer of one's own can't be made again from its ``config``; nothing is
        left behind.

    """
    for name, layer in sequence.walk(net.named_layers):
        _check_own(path, name, layer)
    arrays = net.state_dict()
    if half:
        arrays = {name: a.astype(np.float16) if a.size >= _HALF_LIMIT else a for name, a in arrays.items()}
    # a mean image is an array: it goes beside the weights, and the description says that it is there
    if net.preprocess is not None and isinstance(net.preprocess.mean, np.ndarray):
        arrays = arrays | {MEAN_IMAGE: net.preprocess.mean}
    text = json.dumps(describe(net), indent=1, ensure_ascii=False)
    npz.write(path, arrays, {MEMBER: text})


def describe(net: Network) -> dict[str, Any]:
    """Return everything about ``net`` but its arrays, as numbers, strings, lists and dictionaries.

    Examples
    --------
    >>> describe(Network([minicnn.layers.ReLU()], name="tiny"))["layers"]
    [['0', 'ReLU', {}]]

    """
    return {
        "format": "minicnn",
        "version": _VERSION,
        "name": net.name,
        "input_shape": None if net.input_shape is None else list(net.input_shape),
        "preprocess": describe_preprocess(net.preprocess),
        "layers": [_describe_layer(name, layer) for name, layer in net.named_layers],
        "labels": net.labels,
    }


def describe_preprocess(preprocess: Preprocess | None) -> dict[str, Any] | None:
    """Return preprocessing as JSON-ready values; of a mean image only that there is one."""
    if preprocess is None:
        return None
    if not isinstance(preprocess.mean, np.ndarray):
        return preprocess.to_dict()
    return replace(preprocess, mean=(0.0,) * preprocess.depth).to_dict() | {"mean": MEAN_IMAGE}


def _describe_layer(name: str, layer: Layer) -> list[Any]:
    # what it reads is written where it is not the layer before it
    kind = type(layer).__name__ if _is_public(type(layer)) else f"{_OWN}{type(layer).__name__}"
    entry, inputs = [name, kind], [list(layer.inputs)] if layer.inputs else []
    if not isinstance(layer, Block):
        return [*entry, layer.config(), *inputs]
    branches = [[_describe_layer(*pair) for pair in branch] for branch in layer.branches()]
    return [*entry, branches, *inputs]


def _is_public(kind: type) -> bool:
    """Return whether a class is one of minicnn.layers, and not one that may have the same name."""
    return kind.__name__ in minicnn.layers.__all__ and getattr(minicnn.layers, kind.__name__) is kind


def _check_own(path: PathLike, name: str, layer: Layer) -> None:
    """Raise WeightsError unless a layer of one's own can be made again from what the file will say of it."""
    kind = type(layer)
    if _is_public(kind):
        return
    try:
        config = json.loads(json.dumps(layer.config()))
        made = kind(**{key: _to_tuple(value) for key, value in config.items()})
        alike = made.parameter_shapes() == layer.parameter_shapes() and made.config() == layer.config()
        unknown = (
            [] if "config" in vars(kind) else [key for key in signature(kind).parameters if not hasattr(made, key)]
        )
        reason = f"it keeps no {unknown[0]}" if unknown else "" if alike else "another layer comes of it"
    except Exception as error:  # of somebody's own constructor
        reason = f"{type(error).__name__}: {error}"
    if reason:
        raise WeightsError(
            f"{path}: layer {name!r} can't be saved, since no {kind.__name__} can be made again from its config() "
            f"({reason}); keep the constructor's arguments as attributes of the same names, or write config()"
        )


def is_native(path: PathLike) -> bool:
    """Return whether the file is one of ours, rather than arrays alone; WeightsError if it is no .npz at all."""
    return MEMBER in npz.member_names(path)


def read(path: PathLike, check: bool | None = None, own: Iterable[type[Layer]] = ()) -> Network:
    """Read a network that ``write`` wrote; its weights are mapped from the file, not copied.

    Parameters
    ----------
    path : str or Path
    check : bool, optional
        Whether to read everything once for its checksums; by default files up to 64 MiB are checked.
    own : classes of layers of one's own, which it may hold by their names

    Raises
    ------
    WeightsError
        If the file is missing, damaged, of another kind, or its description and its arrays disagree.

    """
    arrays, texts = npz.read(path, check=check)
    others = [name for name in texts if name != MEMBER]
    if MEMBER in texts and others:
        raise WeightsError(f"{path}: a member {escape(others[0])!r} is not known here, and may change the answer")
    if MEMBER not in texts:
        raise WeightsError(f"{path}: holds arrays but no architecture ({MEMBER}); name one with architecture=")
    try:
        return _build_network(json.loads(texts[MEMBER]), arrays, {f"{_OWN}{kind.__name__}": kind for kind in own})
    except (MinicnnError, TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path}: {MEMBER} describes no network that minicnn can build: {error}") from None


def _build_network(
    description: Mapping[str, Any], arrays: Mapping[str, np.ndarray], own: Mapping[str, type[Layer]]
) -> Network:
    if description["format"] != "minicnn" or description["version"] != _VERSION:
        raise WeightsError(
            f"expected format 'minicnn', version {_VERSION}, got {description['format']!r}, "
            f"{description['version']!r}"
        )
    if unknown := [key for key in description if key not in _KEYS]:
        raise WeightsError(describe_unread(unknown))
    layers = [_build_layer(own, *entry) for entry in description["layers"]]
    preprocess, arrays = description["preprocess"], dict(arrays)
    # the mean image comes back from its place among the arrays
    if MEAN_IMAGE in arrays:
        preprocess = {**preprocess, "mean": arrays.pop(MEAN_IMAGE)}
    preprocess = None if preprocess is None else Preprocess.from_dict(preprocess)
    return Network.from_state_dict(
        layers,
        arrays,
        description["input_shape"],
        preprocess,
        description["labels"],
        name=str(description["name"]),
    )


def _build_layer(
    own: Mapping[str, type[Layer]], name: str, kind: str, arguments: Any, inputs: Any = ()
) -> tuple[str, Layer, Any]:
    layer: Any = own.get(kind) or _layer_class(name, kind)
    # the arguments of a block are its branches, lists of entries like this one
    if issubclass(layer, Block):
        branches = [[_build_layer(own, *entry) for entry in branch] for branch in arguments]
        return str(name), layer(*branches), inputs
    arguments = {str(key): _to_tuple(value) for key, value in arguments.items()}
    # the few settings that are words, which the layer itself checks
    for key, value in arguments.items():
        if kind not in own and not _is_numeric(value) and not (key in _WORDS and isinstance(value, str)):
            raise WeightsError(f"layer {name!r}: {key}: expected numbers, got {value!r}")
    return str(name), layer(**arguments), inputs


def _layer_class(name: str, kind: str) -> Any:
    """Return the class that a description names: a layer of minicnn.layers and nothing else."""
    if str(kind).startswith(_OWN):
        mine = escape(str(kind)[len(_OWN) :])
        raise WeightsError(
            f"layer {name!r} is of its author's own class {mine}; load it with that class, "
            f"minicnn.load(path, layers=[{mine}]) or --layers MODULE:{mine}"
        )
    public = getattr(minicnn.layers, kind) if kind in minicnn.layers.__all__ else None
    if not isinstance(public, type) or not issubclass(public, Layer) or public is Layer:
        raise WeightsError(f"layer {name!r} is of an unknown kind {kind!r}")
    return public


def _is_numeric(value: Any) -> bool:
    """Return whether a value is a number, a truth value, None, or nested tuples of them."""
    if isinstance(value, tuple):
        return all(_is_numeric(v) for v in value)
    return value is None or isinstance(value, bool | int | float)


def _to_tuple(value: Any) -> Any:
    return tuple(_to_tuple(v) for v in value) if isinstance(value, list) else value
