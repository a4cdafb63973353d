"""Where a Keras file keeps the arrays of each layer.

Up to Keras 2 a group of each layer's name lists its weights; in a nested model's group they are told apart by
their own names.  From Keras 3 on (and in .keras files) layers are numbered by class in the order of the model, as
in ``layers/conv2d_1/vars/0``; newer files add the layer's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count, takewhile
from typing import Any, TypeAlias

import numpy as np

from minicnn.formats.containers.hdf5 import Group

__all__ = ["Weights", "open_weights", "read_state_dict", "to_filters"]

MAX_DEPTH = 24  # names in the name of a weight
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")


Weights: TypeAlias = "NamedWeights | NumberedWeights"


def open_weights(root: Group) -> Weights:
    """Return the weights of a file, of either kind."""
    # weights that were saved with their model lie one group deeper
    weights = root.members.get("model_weights", root)
    if isinstance(weights, Group) and "layer_names" in _read_name_lists(weights):
        return NamedWeights(dict(_read_named_layers(weights)))
    return NumberedWeights(root)


class NamedWeights:
    """Weights by the names of their layers."""

    def __init__(self, layers: dict[str, list[tuple[str, np.ndarray]]]):
        self.layers = layers

    def read_layer(self, name: str, kind: str) -> list[np.ndarray]:
        """Return a layer's arrays, in order."""
        # a vector of spectral normalisation is of training
        return [array for weight, array in self.layers.get(name, []) if not weight.endswith("vector_u")]

    def open_nested(self, name: str, kind: str) -> NamedWeights:
        """Return the weights of a nested model: those of its group, by the layers in their own names."""
        if name not in self.layers:
            return self
        inner: dict[str, list[tuple[str, np.ndarray]]] = {}
        for weight, array in self.layers[name]:
            *owners, _ = weight.split("/")[-MAX_DEPTH:]
            for i in range(len(owners)):  # a layer's name may hold slashes, and models' names may stand before it
                inner.setdefault("/".join(owners[i:]), []).append((weight, array))
        return NamedWeights(inner)


class NumberedWeights:
    """Weights by the classes of their layers, in the order of the model."""

    def __init__(self, group: Group):
        containers = [group.members[name] for name in _CONTAINERS if isinstance(group.members.get(name), Group)]
        self.groups = containers[0].members if containers else {}
        self.named = {_read_layer_name(child): child for child in self.groups.values() if _read_layer_name(child)}
        self.counts: dict[str, int] = {}

    def read_layer(self, name: str, kind: str) -> list[np.ndarray]:
        """Return a layer's arrays, in order; to be called for every layer of the model in turn."""
        group = self._next_group(name, kind)
        inner = group.members.get("layer")
        return _read_numbered_arrays(inner if isinstance(inner, Group) else group)

    def open_nested(self, name: str, kind: str) -> NumberedWeights:
        """Return the weights of a nested model."""
        return NumberedWeights(self._next_group(name, kind))

    def _next_group(self, name: str, kind: str) -> Group:
        # conv2d, conv2d_1, conv2d_2: the first of a class has no number
        stem = _to_snake_case(kind)
        index = self.counts.get(stem, 0)
        self.counts[stem] = index + 1
        group = self.named.get(name, self.groups.get(f"{stem}_{index}" if index else stem))
        return group if isinstance(group, Group) else Group({}, {})


def read_state_dict(root: Group) -> dict[str, np.ndarray]:
    """Return the arrays of a file that holds no architecture, in our layout, under ``layer.parameter``.

    A full layer's columns stay in the order of Keras, where maps are flattened as H, W, C.
    """
    weights = root.members.get("model_weights", root)
    if isinstance(weights, Group) and "layer_names" in _read_name_lists(weights):
        layers = [
            (name, _to_snake_case(_guess_class(pairs)), pairs) for name, pairs in _read_named_layers(weights)
        ]
    else:
        layers = [(name, kind, [("", a) for a in arrays]) for name, kind, arrays in _walk_layers(root, "", "")]
    names = [name for name, *_ in layers]
    state: dict[str, np.ndarray] = {}
    for name, kind, pairs in layers:
        arrays = [array for _, array in pairs]
        # = {|layers of one name can't be told apart here, so that none of them is kept
        state |= {
            f"{name}.{key}": array for key, array in _split_parameters(kind, arrays) if names.count(name) == 1
        }
    return state


def _guess_class(pairs: list[tuple[str, np.ndarray]]) -> str:
    return "DepthwiseConv2D" if any("depthwise_kernel" in weight for weight, _ in pairs) else ""


def _split_parameters(kind: str, arrays: list[np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    # four vectors: a normalisation's gamma, beta, mean and variance
    if len(arrays) == 4 and all(a.ndim == 1 for a in arrays):
        yield from zip(("weight", "bias", "running_mean", "running_var"), arrays, strict=True)
    elif arrays and arrays[0].ndim in (2, 4) and len(arrays) <= 2:
        yield "weight", arrays[0].T if arrays[0].ndim == 2 else to_filters(arrays[0], kind.startswith("depthwise"))
        yield from (("bias", a) for a in arrays[1:] if a.ndim == 1)


def to_filters(kernel: np.ndarray, depthwise: bool = False) -> np.ndarray:
    """Return a view of a kernel (R, S, C, K) as (K, C, R, S); a depthwise one (R, S, C, M) as (C M, 1, R, S)."""
    if depthwise:
        r, s, c, m = kernel.shape
        # (C, M, R, S): the M filters of a channel lie side by side, as groups expect them
        return kernel.transpose(2, 3, 0, 1).reshape(c * m, 1, r, s)
    return kernel.transpose(3, 2, 0, 1)


def _walk_layers(group: Group, name: str, kind: str) -> Iterator[tuple[str, str, list[np.ndarray]]]:
    """Yield (name, class, arrays) of every layer in a file of numbered weights."""
    arrays = _read_numbered_arrays(group)
    if arrays:
        yield _read_layer_name(group) or name, kind, arrays
    for key, member in group.members.items():
        if isinstance(member, Group) and key != "vars":
            inner = name if key in _CONTAINERS else f"{name}/{key}".lstrip("/")
            yield from _walk_layers(member, inner, re.sub(r"_\d+$", "", key))


def _read_layer_name(group: Any) -> str:
    variables = group.members.get("vars") if isinstance(group, Group) else None
    name = variables.attributes.get("name") if isinstance(variables, Group) else None
    return name if isinstance(name, str) else ""


def _read_numbered_arrays(group: Group) -> list[np.ndarray]:
    variables = group.members.get("vars")
    members = variables.members if isinstance(variables, Group) else {}
    # by number and not in the file's order, in which 10 may stand before 2
    arrays = (members.get(str(i)) for i in range(len(members)))
    return [a for a in arrays if isinstance(a, np.ndarray)]


def _read_named_layers(weights: Group) -> Iterator[tuple[str, list[tuple[str, np.ndarray]]]]:
    """Yield (layer, its weights' names and arrays) of a file of named weights."""
    for layer in _read_name_lists(weights)["layer_names"]:
        group = _find_member(weights, layer)
        names = _read_name_lists(group).get("weight_names", []) if isinstance(group, Group) else []
        pairs = ((name, _find_member(group, name)) for name in names)
        yield layer, [(name, array) for name, array in pairs if isinstance(array, np.ndarray)]


def _read_name_lists(group: Group) -> dict[str, list[str]]:
    """Return the lists of names, of which long ones are split over several attributes with numbers."""
    lists: dict[str, list[str]] = {}
    for key in ("layer_names", "weight_names"):
        parts = [group.attributes[key]] if key in group.attributes else []
        parts += [group.attributes[numbered] for numbered in _numbered_keys(group, key)]
        if parts:
            lists[key] = [name for part in parts if isinstance(part, list) for name in part]
    return lists


def _numbered_keys(group: Group, key: str) -> Iterator[str]:
    return takewhile(group.attributes.__contains__, (f"{key}{i}" for i in count()))


def _find_member(group: Any, path: str) -> Any:
    for name in path.split("/"):
        group = group.members.get(name) if isinstance(group, Group) else None
    return group


def _to_snake_case(kind: str) -> str:
    """Return the name that Keras makes of a class: DepthwiseConv2D gives depthwise_conv2d, ReLU re_lu."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
