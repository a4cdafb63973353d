"""Parts of a tensor along one axis, as Keras 3 writes x[..., ::-1] and its own ``preprocess_input`` of BGR nets.

That picks channel after channel and stacks them in another order, on whichever axis the channels are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["CHOICE", "PART", "merge_selections"]

Entry = Mapping[str, Any]
CHOICE, PART = "Stack of GetItem", "GetItem of a range"  # classes that layers get here


class _Pick(NamedTuple):
    """What GetItem reads, along which axis, and what of it: a place, or (start, stop, step)."""

    tensor: Any
    axis: int
    item: Any

    def same_source(self, other: _Pick) -> bool:
        return _history(self.tensor) == _history(other.tensor) and self.axis == other.axis


def merge_selections(layers: list[Any]) -> list[Any]:
    """Return a model's layers with each GetItem, and each Stack of them, as one layer that says what it selects.

    What is written otherwise stays as it is, for the reader to refuse.
    """
    picks = {_name(entry): pick for entry in layers if (pick := _read_pick(entry)) is not None}
    chosen: dict[str, list[_Pick]] = {}
    for entry in layers:
        names = [str(_history(tensor)[:1][0]) for tensor in _stacked(entry) if _history(tensor)]
        own = [picks[name] for name in names if name in picks]
        axis = entry["config"].get("axis") if own else None
        fits = len(own) == len(names) and all(pick.same_source(own[0]) and pick.axis == axis for pick in own)
        if own and fits and all(isinstance(pick.item, int) for pick in own):
            chosen[_name(entry)] = own
    merged = []
    for entry in layers:
        name = _name(entry)
        if name in chosen:
            own = chosen[name]
            settings = {"axis": own[0].axis, "places": [pick.item for pick in own]}
            merged.append(_rewritten(entry, CHOICE, settings, own[0].tensor))
        elif name in picks and isinstance(picks[name].item, tuple):
            pick = picks[name]
            merged.append(_rewritten(entry, PART, {"axis": pick.axis, "part": list(pick.item)}, pick.tensor))
        elif name not in picks or _is_read(name, layers, chosen):
            merged.append(entry)
    return merged


def _rewritten(entry: Entry, kind: str, settings: dict[str, Any], tensor: Any) -> dict[str, Any]:
    config = {"name": entry["config"].get("name"), **settings}
    return {**entry, "class_name": kind, "config": config, "inbound_nodes": [{"args": [tensor], "kwargs": {}}]}


def _name(entry: Any) -> str:
    return str(entry["config"].get("name")) if _is_entry(entry) else ""


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("config"), dict)


def _history(tensor: Any) -> list[Any]:
    match tensor:
        case {"class_name": "__keras_tensor__", "config": {"keras_history": [str(), *_] as history}}:
            return history
    return []


def _read_pick(entry: Any) -> _Pick | None:
    """Return what a GetItem picks, if it is along one axis: the last, or the first behind the batch's."""
    match entry:
        case {
            "class_name": "GetItem",
            "config": dict(),
            "inbound_nodes": [{"args": [tensor, [*items]], "kwargs": {}}],
        } if _history(tensor):
            pass
        # TensorFlow's of Keras 2
        case {"config": {"function": "__operators__.getitem"}, "inbound_nodes": [[*call]]}:
            selection = _read_slices(call[0] if len(call) == 1 else call)
            if selection is None:
                return None
            tensor, items = selection
        case _:
            return None
    match items:
        case [{"class_name": "__ellipsis__"} | "...", item]:
            axis = -1
        case [first, item, *rest] if all(_slice(each) == (None, None, None) for each in (first, *rest)):
            axis = 1
        case _:
            return None
    item = item if isinstance(item, int) and not isinstance(item, bool) else _slice(item)
    return None if item is None else _Pick(tensor, axis, item)


def _read_slices(call: Any) -> tuple[Any, list[Any]] | None:
    """Return the tensor and the slices of a call of Keras 2, [name, 0, 0, {"slice_spec": slices}]."""
    match call:
        case [str(name), int(place), 0, {"slice_spec": [*slices], **others}]:
            if all(value is None for value in others.values()):
                return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, place, 0]}}, slices
    return None


def _slice(item: Any) -> tuple[Any, Any, Any] | None:
    match item:
        case {"class_name": "__slice__", "config": {"start": start, "stop": stop, "step": step}} | {
            "start": start,
            "stop": stop,
            "step": step,
        }:
            if all(n is None or isinstance(n, int) for n in (start, stop, step)):
                return start, stop, step
    return None


def _stacked(entry: Any) -> list[Any]:
    match entry:
        case {"class_name": "Stack", "config": dict(), "inbound_nodes": [{"args": [[*tensors]], "kwargs": {}}]}:
            return tensors
    return []


def _is_read(name: str, layers: list[Any], chosen: Mapping[str, Any]) -> bool:
    """Return whether a layer that is not merged reads a pick."""
    readers = [entry for entry in layers if _name(entry) not in chosen]
    return any(f"'{name}'" in repr(entry.get("inbound_nodes")) for entry in readers if isinstance(entry, dict))
