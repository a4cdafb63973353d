"""The dictionary of weights inside a checkpoint, its nested names joined by dots."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from minicnn._utils.types import PathLike
from minicnn.errors import WeightsError
from minicnn.formats.containers.files import escape
from minicnn.formats.containers.pickle_types import Opaque

__all__ = ["find_entries", "flatten", "is_average", "select", "strip_prefix", "take_entry", "unwrap"]

_WRAPPERS = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "params", "weights", "module"),
    *("model_weights", "model_dict", "net_state_dict", "network_state_dict", "model_params", "ema_state_dict"),
)
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel, of torch.compile
# wrappers of single modules, anywhere in a name: of torch.compile, of FSDP, of activation checkpointing
_WITHIN = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_AVERAGE = re.compile(r"(^|[._])(ema|swa|avg|averaged?|shadow)([._]|$)")
_TRAINING = re.compile(
    r"optim|sched|(^|_)(scaler|loops|callbacks?|rng|args?|hparams|hyper|param_groups|history|opt)(_|$)|^state$"
)
_MAX_ENTRIES, _MAX_NAME = 200_000, 512
_NESTED = (dict, list, tuple)
Leaf = TypeVar("Leaf")


def select(path: PathLike, value: Any, leaf: type[Leaf], entry: str | None = None) -> dict[str, Leaf]:
    """Return the named arrays, instances of ``leaf``, of a checkpoint or of one of its entries.

    Parameters
    ----------
    path : str or Path
        The file, for errors.
    value : object
        What the file holds.
    leaf : type
    entry : str, optional
        Name of a state dictionary in the checkpoint, or what the names of its arrays begin with: "model_ema",
        "teacher.backbone".  Unless given the state dictionary that trainers call the model.

    Raises
    ------
    WeightsError
        If there is no such entry, or its arrays have something among them that was not built.

    Examples
    --------
    >>> checkpoint = {"epoch": 3, "model": {"module.fc.weight": 1.0}, "model_ema": {"module.fc.weight": 2.0}}
    >>> select("net.pth", checkpoint, float, "model_ema")
    {'fc.weight': 2.0}

    """
    # one state dictionary among the items of a list, such as (model, epoch)
    if isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value):
        value = {str(i): item for i, item in enumerate(value) if isinstance(item, dict)}
    at, rest = value, entry or ""
    # dots may part dictionaries, or belong to a name
    while rest and isinstance(at, dict):
        parts = rest.split(".")
        heads = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
        head = next((name for name in heads if isinstance(at.get(name), dict)), None)
        if head is None:
            break
        at, rest = at[head], rest[len(head) + 1 :]
    weights, chosen, others = unwrap(path, at, leaf)
    arrays = strip_prefix(flatten(path, weights, leaf))
    if entry is not None:
        return take_entry(path, arrays, rest, [chosen, *others])
    if others:
        shown = ", ".join(map(escape, others))
        warnings.warn(
            f"{path}: read the entry {escape(chosen)!r}; it also holds {shown}, which entry= (--entry) chooses",
            stacklevel=3,
        )
    return arrays


def take_entry(
    path: PathLike, arrays: dict[str, Leaf], entry: str | None, others: Iterable[str] = ()
) -> dict[str, Leaf]:
    """Return the arrays whose names begin with ``entry``, without it; all for None or "".

    Raises
    ------
    WeightsError
        If there are none; what is there is named.

    """
    if not entry:
        return arrays
    # what has been removed from all names may be typed nevertheless
    heads = {f"{entry}.", *strip_prefix({f"{entry}.": 0})}
    inner = {name[len(h) :]: a for h in heads for name, a in arrays.items() if name.startswith(h)}
    if not inner:
        there = dict.fromkeys([*filter(None, others), *(name.partition(".")[0] for name in arrays)])
        shown = ", ".join(escape(name) for name in list(there)[:12])
        raise WeightsError(f"{path}: has no entry {escape(entry)!r}; it has {shown}")
    return strip_prefix(inner)


def unwrap(path: PathLike, value: Any, leaf: type) -> tuple[dict[Any, Any], str, list[str]]:
    """Return the dictionary of weights, instances of ``leaf``, inside a checkpoint; its name, and those of others.

    Raises
    ------
    WeightsError
        If the checkpoint is no dictionary.

    Examples
    --------
    >>> unwrap("net.pth", {"epoch": 3, "state_dict": {"weight": 1.0}}, float)
    ({'weight': 1.0}, 'state_dict', [])

    """
    if isinstance(value, Opaque):
        raise WeightsError(f"{path}: {value}")
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise WeightsError(f"{path}: holds a {kind}; expected a dictionary of named arrays, save a state_dict()")
    entries = find_entries(value, leaf)
    if not entries and "param_groups" in value:
        raise WeightsError(f"{path}: holds the state of an optimiser; save model.state_dict() instead")
    usual = [name for name in entries if not is_average(name)] or list(entries)
    known = [name for name in usual if all(part in _WRAPPERS for part in name.split("."))]
    if len(usual) == 1 or known:
        chosen = min(known, key=lambda name: _WRAPPERS.index(name.split(".")[0])) if known else usual[0]
        return entries[chosen], chosen, [name for name in entries if name != chosen]
    # several that have no rank, such as student and teacher: all of them, under names that tell them apart
    return {name: entries[name] for name in usual} if usual else value, "", []


def find_entries(checkpoint: Any, leaf: type) -> dict[str, dict[Any, Any]]:
    """Return the state dictionaries inside a checkpoint by name: {} if it is one itself.

    One is known by its names, which have dots, or by its place under a name that trainers use.

    Examples
    --------
    >>> find_entries({"student": {"fc.weight": 1.0}, "teacher": {"fc.weight": 2.0}, "optimizer": {}}, float)
    {'student': {'fc.weight': 1.0}, 'teacher': {'fc.weight': 2.0}}

    """
    entries: dict[str, dict[Any, Any]] = {}
    seen = {id(checkpoint)}
    waiting: list[tuple[str, Any]] = [("", checkpoint)]
    while waiting:
        name, value = waiting.pop()
        # each dictionary once, as a hostile one may hold itself
        inner = [(k, v) for k, v in value.items() if _may_wrap(k, v) and id(v) not in seen]
        seen.update(id(v) for _, v in inner)
        wrapped = [(k, v) for k, v in inner if k in _WRAPPERS or is_average(k)]
        if not wrapped and name and _is_state_dict(name, value, leaf):
            entries[name] = value
        # names with dots outside any wrapper: these are the weights themselves
        elif wrapped or not _has_dotted(value, leaf):
            waiting.extend((f"{name}.{k}" if name else k, v) for k, v in reversed(inner) if len(name) < _MAX_NAME)
    return entries


def _may_wrap(key: Any, value: Any) -> bool:
    return isinstance(key, str) and isinstance(value, dict) and not _TRAINING.search(key.lower())


def _is_state_dict(name: str, value: dict[Any, Any], leaf: type) -> bool:
    last = name.rpartition(".")[2]
    if _has_dotted(value, leaf):
        return True
    return (last in _WRAPPERS or is_average(last)) and any(isinstance(v, dict | leaf) for v in value.values())


def _has_dotted(value: dict[Any, Any], leaf: type) -> bool:
    return any(isinstance(v, leaf) and isinstance(k, str) and "." in k for k, v in value.items())


def is_average(name: str) -> bool:
    """Return whether weights of that name are averages that a trainer kept beside the model's own.

    Examples
    --------
    >>> is_average("state_dict_ema"), is_average("schema")
    (True, False)

    """
    return _AVERAGE.search(name.lower()) is not None


def flatten(path: PathLike, root: dict[Any, Any], leaf: type[Leaf]) -> dict[str, Leaf]:
    """Return the leaves of nested dictionaries and lists, their names joined by dots; all else is dropped.

    Items of a list or tuple are named by their numbers.

    Raises
    ------
    WeightsError
        If two have one name, there are none, or far too many, or something among them was not built.

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
        if isinstance(value, Opaque):
            raise WeightsError(f"{path}: {escape(name)!r} {value}")
        seen += len(value)
        items = value.items() if isinstance(value, dict) else enumerate(value)
        inner = [(_join(path, name, k), v) for k, v in items if isinstance(v, (*_NESTED, leaf, Opaque))]
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


def _join(path: PathLike, name: str, key: Any) -> str:
    if isinstance(key, Opaque):
        raise WeightsError(f"{path}: {escape(name)!r} has {escape(key.name)}; expected names")
    return f"{name}.{key}" if name else str(key)


def strip_prefix(arrays: Mapping[str, Leaf]) -> dict[str, Leaf]:
    """Return the arrays without what their names have because of how the model, or a module of it, was wrapped.

    Examples
    --------
    >>> strip_prefix({"_orig_mod.module.weight": 1, "_orig_mod.module.bias": 2})
    {'weight': 1, 'bias': 2}
    >>> strip_prefix({"features._orig_mod.0.weight": 1})
    {'features.0.weight': 1}

    """
    unwrapped = {_WITHIN.sub("", name): array for name, array in arrays.items()}
    # two arrays of one name stay apart
    stripped = unwrapped if len(unwrapped) == len(arrays) else dict(arrays)
    while prefix := next((p for p in _PREFIXES if stripped and all(n.startswith(p) for n in stripped)), None):
        stripped = {name.removeprefix(prefix): array for name, array in stripped.items()}
    return stripped
