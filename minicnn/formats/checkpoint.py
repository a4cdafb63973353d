"""The dictionary of weights inside a checkpoint, its nested names joined by dots."""

from __future__ import annotations

from typing import Any, TypeVar

from minicnn._utils.types import PathLike
from minicnn.errors import WeightsError
from minicnn.formats.containers.files import escape

__all__ = ["flatten", "strip_prefix", "unwrap"]

_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "params", "weights")
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel, of torch.compile
_MAX_ENTRIES, _MAX_NAME = 200_000, 512
_NESTED = (dict, list, tuple)
Leaf = TypeVar("Leaf")


def unwrap(path: PathLike, value: Any, leaf: type) -> dict[Any, Any]:
    """Return the dictionary of weights, instances of ``leaf``, inside a checkpoint.

    Raises
    ------
    WeightsError
        If the checkpoint is no dictionary.

    Examples
    --------
    >>> unwrap("net.pth", {"epoch": 3, "state_dict": {"weight": 1.0}}, float)
    {'weight': 1.0}

    """
    # a wrapper may hold another; the loop is bounded because a hostile one may hold itself
    for _ in range(len(_WRAPPERS)):
        if not isinstance(value, dict):
            kind = type(value).__name__
            raise WeightsError(
                f"{path}: holds a {kind}; expected a dictionary of named arrays, save a state_dict()"
            )
        inner = [value[key] for key in _WRAPPERS if _holds_leaf(value.get(key), leaf)]
        if not inner:
            break
        value = inner[0]
    return value


def _holds_leaf(value: Any, leaf: type) -> bool:
    return isinstance(value, dict) and any(isinstance(v, dict | leaf) for v in value.values())


def flatten(path: PathLike, root: dict[Any, Any], leaf: type[Leaf]) -> dict[str, Leaf]:
    """Return the leaves of nested dictionaries and lists, their names joined by dots; all else is dropped.

    Items of a list or tuple are named by their numbers.

    Raises
    ------
    WeightsError
        If two have one name, there are none, or far too many.

    Examples
    --------
    >>> flatten("net.pth", {"conv": {"weight": 1.0, "bias": 2.0}, "epoch": "3"}, float)
    {'conv.weight': 1.0, 'conv.bias': 2.0}
    >>> flatten("net.pkl", {"conv": [1.0, 2.0]}, float)
    {'conv.0': 1.0, 'conv.1': 2.0}

    """
    leaves: dict[str, Leaf] = {}
    waiting: list[tuple[str, Any]] = [("", root)]
    seen = 0
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, leaf):
            if name in leaves:
                raise WeightsError(f"{path}: two arrays have the name {escape(name)!r}; expected unique names")
            leaves[name] = value
            continue
        seen += len(value)
        items = value.items() if isinstance(value, dict) else enumerate(value)
        inner = [(f"{name}.{k}" if name else str(k), v) for k, v in items if isinstance(v, (*_NESTED, leaf))]
        if seen > _MAX_ENTRIES or any(len(inner_name) > _MAX_NAME for inner_name, _ in inner):
            raise WeightsError(
                f"{path}: holds more than {_MAX_ENTRIES} entries, or names of more than {_MAX_NAME} letters; "
                "expected a state dictionary"
            )
        # the stack gives back the last one first
        waiting.extend(reversed(inner))
    if not leaves:
        raise WeightsError(f"{path}: holds no arrays; expected a state dictionary")
    return leaves


def strip_prefix(arrays: dict[str, Leaf]) -> dict[str, Leaf]:
    """Return the arrays without a prefix that begins every name because of how the model was wrapped.

    Examples
    --------
    >>> strip_prefix({"module.weight": 1, "module.bias": 2})
    {'weight': 1, 'bias': 2}

    """
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in arrays):
            arrays = {name.removeprefix(prefix): array for name, array in arrays.items()}
    return arrays
