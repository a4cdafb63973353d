"""The dictionary of weights inside a checkpoint, its nested names joined by dots."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from minicnn.errors import WeightsError
from minicnn.formats.containers.files import shown

__all__ = ["flattened", "unwrapped", "without_prefix"]

_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "params", "weights")
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel, of torch.compile
_MOST_ENTRIES, _LONGEST_NAME = 200_000, 512
Leaf = TypeVar("Leaf")


def unwrapped(path: str | Path, value: Any, leaf: type) -> dict[Any, Any]:
    """Return the dictionary of weights, instances of ``leaf``, inside a checkpoint.

    Raises
    ------
    WeightsError
        If the checkpoint is no dictionary.

    """
    for _ in range(len(_WRAPPERS)):
        if not isinstance(value, dict):
            kind = type(value).__name__
            raise WeightsError(
                f"{path}: holds a {kind}; expected a dictionary of named arrays, save a state_dict()"
            )
        inner = [value[key] for key in _WRAPPERS if _holds(value.get(key), leaf)]
        if not inner:
            break
        value = inner[0]
    return value


def _holds(value: Any, leaf: type) -> bool:
    return isinstance(value, dict) and any(isinstance(v, dict | leaf) for v in value.values())


def flattened(path: str | Path, root: dict[Any, Any], leaf: type[Leaf]) -> dict[str, Leaf]:
    """Return the leaves of nested dictionaries by their joined names; what else is in them is dropped.

    Raises
    ------
    WeightsError
        If two have one name, there are none, or far too many.

    """
    found: dict[str, Leaf] = {}
    waiting: list[tuple[str, Any]] = [("", root)]
    seen = 0
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, leaf):
            if name in found:
                raise WeightsError(f"{path}: two arrays have the name {shown(name)!r}; expected unique names")
            found[name] = value
            continue
        seen += len(value)
        inner = [(f"{name}.{k}" if name else str(k), v) for k, v in value.items() if isinstance(v, dict | leaf)]
        if seen > _MOST_ENTRIES or any(len(inner_name) > _LONGEST_NAME for inner_name, _ in inner):
            raise WeightsError(
                f"{path}: holds more than {_MOST_ENTRIES} entries, or names of more than {_LONGEST_NAME} letters; "
                "expected a state dictionary"
            )
        waiting.extend(reversed(inner))
    if not found:
        raise WeightsError(f"{path}: holds no arrays; expected a state dictionary")
    return found


def without_prefix(arrays: dict[str, Leaf]) -> dict[str, Leaf]:
    """Return the arrays without a prefix that begins every name because of how the model was wrapped."""
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in arrays):
            arrays = {name.removeprefix(prefix): array for name, array in arrays.items()}
    return arrays
