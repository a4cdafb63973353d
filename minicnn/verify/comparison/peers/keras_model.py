"""A Keras model as a peer: every layer's output, in inference mode, with the channels where the model has them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minicnn._utils.raised import message
from minicnn.errors import MinicnnError
from minicnn.network import Network
from minicnn.verify.comparison.peers.base import Peer, require_package
from minicnn.verify.probe import Norm, Value

__all__ = ["from_file", "from_model", "is_model"]


def is_model(source: Any) -> bool:
    """Return whether an object is a Keras model; Keras itself is not imported for that."""
    return any(
        base.__name__ == "Model" and base.__module__.partition(".")[0] in ("keras", "tf_keras")
        for base in type(source).__mro__
    )


def from_file(path: Path, net: Network) -> Peer:
    """Return the peer of a .keras or .h5 file; code in it is refused by Keras."""
    keras = require_package("keras", "comparing with a Keras file")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # of whatever kind: it is another program's file
        raise MinicnnError(f"{path}: keras can't read it: {message(error)}") from None
    return from_model(model, net, f"keras, {path.name}")


def from_model(model: Any, net: Network, name: str = "") -> Peer:
    """Return the peer of a Keras model; it has no gradient.

    Raises
    ------
    MinicnnError
        If it does not take one image of ``net``'s.

    """
    keras: Any = next(sys.modules[root] for root in ("keras", "tf_keras") if root in sys.modules)
    name = name or f"keras model {model.name}"
    shapes = [tuple(tensor.shape[1:]) for tensor in getattr(model, "inputs", None) or ()]
    if len(shapes) > 1:
        raise MinicnnError(f"{name}: takes {len(shapes)} inputs; expected one, the image")
    shape = shapes[0] if shapes else ()
    channels_last = _has_channels_last(shape, net, name, keras)
    layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    inner = _expose(model, layers, keras)

    def values(x: np.ndarray) -> list[Value]:
        x = np.ascontiguousarray(np.moveaxis(x, 1, -1) if channels_last else x)
        outputs = [] if inner is None else inner(np.array(x), training=False)
        arrays = [_to_numpy(y, keras) for y in outputs]
        kept = zip(layers if outputs else (), arrays, strict=True)
        answer = _to_numpy(model(np.array(x), training=False), keras)
        named = [Value(layer.name, type(layer).__name__, a, norm=_read_norm(layer, keras)) for layer, a in kept]
        return [*named, Value("", "", answer)]

    return Peer(name, values, input_shape=(shape[-1], *shape[:-1]) if channels_last and shape else shape)


def _expose(model: Any, layers: list[Any], keras: Any) -> Any:
    """Return the model that gives every layer's output; None for one that is no graph of layers."""
    try:
        return keras.Model(model.inputs, [layer.output for layer in layers])
    except Exception:  # a model whose forward pass is code does not know its layers' outputs
        return None


def _read_norm(layer: Any, keras: Any) -> Norm | None:
    """Return what a layer of batch normalisation computes with; None for any other."""
    if type(layer).__name__ != "BatchNormalization":
        return None
    var = _to_numpy(layer.moving_variance, keras)
    gamma, beta = getattr(layer, "gamma", None), getattr(layer, "beta", None)
    weight = np.ones_like(var) if gamma is None else _to_numpy(gamma, keras)
    bias = np.zeros_like(var) if beta is None else _to_numpy(beta, keras)
    return Norm(weight, bias, var, float(layer.epsilon))


def _to_numpy(y: Any, keras: Any) -> np.ndarray:
    while isinstance(y, Mapping | tuple | list):
        y = next(iter(y.values() if isinstance(y, Mapping) else y))
    convert = keras.ops.convert_to_numpy if hasattr(keras, "ops") else np.asarray
    array: np.ndarray = convert(y)
    return array


def _has_channels_last(shape: tuple[int | None, ...], net: Network, name: str, keras: Any) -> bool:
    """Return whether a model takes N x H x W x C; MinicnnError where it takes no image of the network's."""
    default: bool = keras.config.image_data_format() == "channels_last" if hasattr(keras, "config") else True
    if len(shape) != 3 or net.input_shape is None:
        return default and len(shape) in (0, 3)
    channels, *size = net.input_shape
    first, last = (
        all(n is None or n == m for n, m in zip(shape, wanted, strict=True))
        for wanted in ((channels, *size), (*size, channels))
    )
    if not (first or last):
        raise MinicnnError(f"{name}: takes images of {shape}, and {net.name} of {net.input_shape}")
    return default if first and last else last
