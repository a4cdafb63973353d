"""A new head on a known architecture, of modules that the caller names: a state dictionary has weights alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from minicnn import layers as nn
from minicnn._utils.suggest import did_you_mean
from minicnn.errors import ShapeError, WeightsError
from minicnn.formats.containers.files import escape
from minicnn.layers import sequence
from minicnn.layers.sequence import NamedLayers
from minicnn.zoo import Architecture

__all__ = ["replace_head"]

Arrays = dict[str, np.ndarray]

WEIGHTED = ("linear", "batchnorm1d")
# named as in torch.nn, with its default arguments
PLAIN: dict[str, Callable[[], nn.Layer]] = {
    "dropout": nn.Dropout,
    "flatten": nn.Flatten,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leakyrelu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softmax": nn.Softmax,
    "logsoftmax": nn.LogSoftmax,
}


def replace_head(
    path: Path, built: Architecture, arrays: Arrays, modules: Sequence[str]
) -> tuple[Architecture, Arrays]:
    """Return the architecture with these modules in the place of its head, and the arrays under its names.

    Parameters
    ----------
    path : Path
        The file, for messages.
    built : Architecture
    arrays : dict of str to array
        The network's without their prefix, and those beside it that may be a head.
    modules : sequence of str
        All modules of the head in their order, dropouts too: ("linear", "relu", "dropout", "linear").

    Raises
    ------
    WeightsError
        If a module is not known, or the file does not hold just their weights, at their places.

    """
    modules = [module.lower() for module in modules]
    unknown = [module for module in modules if module not in (*WEIGHTED, *PLAIN)]
    if unknown or "linear" not in modules:
        hint = did_you_mean(unknown[0], [*WEIGHTED, *PLAIN]) if unknown else "a linear one is needed"
        raise WeightsError(f"{path}: head: expected its modules, such as linear,relu,dropout,linear; {hint}")
    places = [i for i, module in enumerate(modules) if module in WEIGHTED]
    names = dict(zip(places, _find_layers(path, built, arrays, modules), strict=True))
    trunk = _trunk(path, built, arrays, list(names.values()))
    head: NamedLayers = []
    for i, module in enumerate(modules):
        if i in names:
            layer, arrays = _with_weights(path, names[i], module, arrays)
            head.append((names[i], layer))
        else:
            head.append((f"head.{i}.{module}", PLAIN[module]()))
    layers = [*trunk, *head]
    try:
        sequence.output_shape(layers, built.input_shape)
    except ShapeError as error:
        raise WeightsError(f"{path}: head {','.join(modules)} does not fit its weights: {error}") from None
    return built._replace(layers=layers), arrays


def _find_layers(path: Path, built: Architecture, arrays: Arrays, modules: Sequence[str]) -> list[str]:
    """Return the head's layers in the file: those that the architecture lacks, or has in another shape."""
    places = [i for i, module in enumerate(modules) if module in WEIGHTED]
    shapes = sequence.parameter_shapes(built.layers)
    owners = list(dict.fromkeys(n.rpartition(".")[0] for n, a in arrays.items() if a.ndim))
    new = {n.rpartition(".")[0] for n, a in arrays.items() if a.ndim and a.shape != shapes.get(n)}
    layers = [name for name in owners if name in new]
    parent = layers[0] if layers else ""
    # the first of them may have the name and shape of one of the architecture's
    while len(layers) < len(places) and "." in parent:
        parent = parent.rpartition(".")[0]
        layers = [name for name in owners if name in new or name.startswith(f"{parent}.")]
    said = f"{path}: head {','.join(modules)}: "
    if len(layers) != len(places):
        listed = ", ".join(map(escape, layers[:6])) or "none"
        raise WeightsError(f"{said}expected {len(places)} layers with weights in its place, found {listed}")
    for name, place in zip(layers, places, strict=True):
        # a Sequential numbers its modules
        number = name.rpartition(".")[2]
        if number.isdecimal() and len(layers) > 1 and int(number) != place:
            raise WeightsError(
                f"{said}{escape(name)} is module {number}, and {modules[place]} is named as module {place}; name "
                "all modules in their order from 0 on, dropouts and activations too"
            )
    return layers


def _trunk(path: Path, built: Architecture, arrays: Arrays, layers: Sequence[str]) -> NamedLayers:
    """Return the layers before the head: up to the first that the file lacks, or whose place the head has."""
    parents = {name.rpartition(".")[0] for name in layers} - {""}
    for i, (name, layer) in enumerate(built.layers):
        kept = all(f"{name}.{key}" in arrays for key in layer.parameter_shapes()) and name not in layers
        if not kept or any(f"{name}.".startswith(f"{parent}.") for parent in parents):
            return built.layers[:i]
    raise WeightsError(
        f"{path}: holds {', '.join(map(escape, layers[:6]))} beside the whole architecture; where it was made, "
        "export to ONNX"
    )


def _with_weights(path: Path, name: str, module: str, arrays: Arrays) -> tuple[nn.Layer, Arrays]:
    """Return a layer of the head, and the arrays as it takes them."""
    wanted = ("weight",) if module == "linear" else ("weight", "bias", "running_mean", "running_var")
    weight, *others = (arrays.get(f"{name}.{key}") for key in wanted)
    is_linear = f"{name}.running_mean" not in arrays and weight is not None and weight.ndim == 2
    if weight is None or is_linear != (module == "linear") or any(a is None for a in others):
        raise WeightsError(f"{path}: head: {escape(name)} does not hold the weights of a {module} module")
    if is_linear:
        return nn.Linear(weight.shape[1], weight.shape[0], f"{name}.bias" in arrays), arrays
    norm = nn.BatchNorm2d(len(weight)).with_state({key: arrays[f"{name}.{key}"] for key in wanted})
    scale, shift = norm.scale_and_shift()
    arrays = {n: a for n, a in arrays.items() if n not in (f"{name}.running_mean", f"{name}.running_var")}
    return nn.Scale((len(weight),)), arrays | {f"{name}.weight": scale, f"{name}.bias": shift}
