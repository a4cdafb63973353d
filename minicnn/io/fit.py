"""A state dictionary fitted to an architecture: its names' prefix, its head, its number of channels.

Trainers write the same network under many names: inside a wrapper ("model.", "backbone."), with another head, on
grey images.  Each difference that the arrays themselves explain is undone; every other is refused by name.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from minicnn import zoo
from minicnn.errors import WeightsError
from minicnn.formats.checkpoint import is_average
from minicnn.formats.containers.files import escape
from minicnn.io.head import replace_head
from minicnn.layers import Conv2d, Layer, Linear, sequence
from minicnn.zoo import Architecture

__all__ = ["find_prefix", "fit"]

Arrays = dict[str, np.ndarray]

SAY_HEAD = (
    "name all its modules, such as head=['linear', 'relu', 'dropout', 'linear'] "
    "(--head linear,relu,dropout,linear), or export to ONNX where it was made"
)
_SKIPPED = re.compile(r"(^|[._])(aux\w*|criterion|loss\w*|metrics?)([._]|$)", re.IGNORECASE)


def fit(
    path: Path, arrays: Mapping[str, np.ndarray], name: str, modules: Sequence[str] | None = None
) -> tuple[Architecture, Arrays]:
    """Return the architecture as the arrays have it, and the arrays under its names.

    Parameters
    ----------
    path : Path
        The file, for messages.
    arrays : mapping of str to array
        A state dictionary; its names may all begin with the same prefix.
    name : str
        An architecture of the zoo.
    modules : sequence of str, optional
        Those of a new head in its place.

    Returns
    -------
    built : Architecture
        With as many classes and input channels as the arrays have.  Without preprocessing where the number of
        channels is not the published one, as its mean and deviation are of other channels.
    arrays : dict of str to array

    Warns
    -----
    UserWarning
        If arrays are left out, such as those of auxiliary heads, or the last layer has another name.

    Raises
    ------
    WeightsError
        If several parts of the file would fit, or arrays lie beside the network that may belong to it.

    """
    built = zoo.architecture(name)
    shapes = sequence.parameter_shapes(built.layers)
    head = [n for n, layer in sequence.walk(built.layers) if isinstance(layer, Conv2d | Linear)][-1]
    renamed = built._replace(unused=()).select(arrays)
    prefix = find_prefix(path, renamed, {n for n in shapes if not n.startswith(f"{head}.")} or set(shapes))
    # without layers that this network leaves out, such as other heads on the same trunk
    inside = built.select({n.removeprefix(prefix): a for n, a in renamed.items() if n.startswith(prefix)})
    outside = {n: a for n, a in renamed.items() if not n.startswith(prefix)}
    inside, outside = _leave_out_heads(path, inside, outside, shapes)
    if modules is not None:
        return replace_head(path, _with_channels(built, inside), inside | outside, modules)
    if f"{head}.weight" not in inside:
        inside, outside = _rename_head(path, inside, outside, head, shapes)
    _check_outside(path, prefix, outside)
    classes = _count_classes(inside.get(f"{head}.weight"), shapes[f"{head}.weight"])
    return _with_channels(zoo.architecture(name, classes), inside), inside


def find_prefix(path: Path, arrays: Mapping[str, np.ndarray], wanted: set[str]) -> str:
    """Return what the names of the arrays begin with before the names that are wanted, "" for nothing.

    Raises
    ------
    WeightsError
        If several prefixes have all of them with different values, or some have one prefix and some another.

    Examples
    --------
    >>> find_prefix(Path("net.pth"), {"model.net.fc.weight": np.zeros(3), "epoch": np.zeros(1)}, {"fc.weight"})
    'model.net.'

    """
    tally = Counter(n[: len(n) - len(end)] for n in arrays for end in _endings(n) if end in wanted)
    whole = [prefix for prefix, count in tally.items() if count == len(wanted)]
    usual = [prefix for prefix in whole if not is_average(prefix)] or whole
    if not whole:
        return _best_prefix(path, arrays, wanted, tally)
    # one module under several names, as where a trainer keeps it and a part of it
    equal = all(np.array_equal(arrays[usual[0] + n], arrays[p + n]) for p in usual[1:] for n in wanted)
    if not equal:
        choices = ", ".join(escape(prefix.rstrip(".") or "(no prefix)") for prefix in usual)
        raise WeightsError(
            f"{path}: holds these weights several times: {choices}; choose one, such as "
            f"entry={escape(usual[-1].rstrip('.'))!r} (--entry)"
        )
    return usual[0]


def _endings(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[i:]) for i in range(len(parts))]


def _best_prefix(path: Path, arrays: Mapping[str, np.ndarray], wanted: set[str], tally: Counter[str]) -> str:
    """Return the prefix that most names have; refuse if the others have another one."""
    if not tally:
        shown = ", ".join(escape(name) for name in list(arrays)[:3])
        raise WeightsError(
            f"{path}: none of its {len(arrays)} arrays ({shown}, ...) has a name of this architecture; name the "
            "one that they belong to"
        )
    (best, count), *others = tally.most_common()
    missing = [name for name in wanted if best + name not in arrays]
    for other, _ in others:
        complete = [name for name in missing if other + name in arrays]
        if complete == missing:
            raise WeightsError(
                f"{path}: {count} of its names begin with {escape(best)!r} and others, such as "
                f"{escape(other + min(complete))!r}, do not; expected one prefix for all"
            )
    return best


def _leave_out_heads(
    path: Path, inside: Arrays, outside: Arrays, shapes: Mapping[str, object]
) -> tuple[Arrays, Arrays]:
    """Leave out auxiliary heads and what belongs to the loss, and say so."""
    dropped = [n for n in inside if n not in shapes and _SKIPPED.search(n)]
    dropped += [n for n in outside if _SKIPPED.search(n)]
    averages = dict.fromkeys(escape(n.partition(".")[0]) for n, a in outside.items() if is_average(n) and a.ndim)
    if dropped:
        shown = ", ".join(dict.fromkeys(escape(n.rpartition(".")[0] or n) for n in dropped))
        warnings.warn(f"{path}: left out, as the scores do not depend on them: {shown}", stacklevel=4)
    if averages:
        warnings.warn(f"{path}: it also holds {', '.join(averages)}, which entry= (--entry) chooses", stacklevel=4)
    inside = {n: a for n, a in inside.items() if n not in dropped}
    # a trainer may keep one module under several names
    copies = {n for n, a in outside.items() if any(np.array_equal(a, inside.get(end, ())) for end in _endings(n))}
    gone = {*dropped, *copies, *filter(is_average, outside)}
    return inside, {n: a for n, a in outside.items() if n not in gone}


def _rename_head(
    path: Path, inside: Arrays, outside: Arrays, head: str, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[Arrays, Arrays]:
    """Take the one layer that is left over as the last one, whatever it is called: "fc.1", "head.fc".

    What may stand before a single layer without being in a file (dropout, flattening) changes no score.
    """
    left = {n: a for n, a in inside.items() if n not in shapes} | outside
    matrices = [n for n, a in left.items() if a.ndim > 1]
    wanted = shapes[f"{head}.weight"]
    if len(matrices) != 1 or not matrices[0].endswith("weight") or left[matrices[0]].shape[1:] != wanted[1:]:
        if matrices and not any(n in shapes for n in matrices):
            raise WeightsError(
                f"{path}: expected one last layer {head} {wanted}, found {', '.join(map(escape, matrices[:6]))}; "
                f"what lies between such layers is not in a state dictionary: {SAY_HEAD}"
            )
        return inside, outside
    layer = matrices[0].removesuffix("weight")
    moved = {n: f"{head}.{n.removeprefix(layer)}" for n in left if n.startswith(layer)}
    # such as a batch normalisation before it
    others = [escape(n) for n in left if n not in moved and n.partition(".")[0] == layer.partition(".")[0]]
    if others:
        raise WeightsError(
            f"{path}: expected one last layer {head}, found {escape(layer.rstrip('.'))!r} with "
            f"{', '.join(others[:4])} beside it; {SAY_HEAD}"
        )
    warnings.warn(f"{path}: {escape(layer.rstrip('.'))!r} is read as its last layer, {head}", stacklevel=4)
    inside = {n: a for n, a in inside.items() if n not in moved} | {new: left[n] for n, new in moved.items()}
    return inside, {n: a for n, a in outside.items() if n not in moved}


def _check_outside(path: Path, prefix: str, outside: Arrays) -> None:
    """Refuse layers beside the network, which may follow it; single numbers and vectors are only named."""
    # what counts steps or batches
    outside = {n: a for n, a in outside.items() if a.ndim or a.dtype.kind == "f"}
    layers = [escape(n) for n, a in outside.items() if a.ndim > 1 or n.endswith("running_mean")]
    if layers:
        raise WeightsError(
            f"{path}: holds {', '.join(layers[:6])} beside the network {escape(prefix)!r}, and not what they are "
            f"for; to read the network alone, name entry={escape(prefix.rstrip('.'))!r} (--entry)"
        )
    if outside:
        warnings.warn(f"{path}: left out beside the network: {', '.join(map(escape, outside))}", stacklevel=4)


def _count_classes(weight: np.ndarray | None, published: tuple[int, ...]) -> int | None:
    """Return how many scores the last layer gives, None where they are as many as published."""
    # as many inputs and another number of outputs: the same network for other classes
    if weight is None or weight.shape[1:] != published[1:] or len(weight) in (0, published[0]):
        return None
    return len(weight)


def _with_channels(built: Architecture, arrays: Arrays) -> Architecture:
    """Return the architecture with as many input channels as its first layer has in the file."""
    first, layer = next(
        (n, layer) for n, layer in sequence.walk(built.layers) if isinstance(layer, Conv2d | Linear)
    )
    weight = arrays.get(f"{first}.weight")
    if weight is None or weight.ndim != 4 or not isinstance(layer, Conv2d) or layer.groups != 1:
        return built
    channels = weight.shape[1]
    if channels in (0, layer.in_channels):
        return built

    def widen(name: str, layer: Layer) -> Layer:
        return replace(layer, in_channels=channels) if name == first and isinstance(layer, Conv2d) else layer

    shape = (channels, *built.input_shape[1:])
    return built._replace(layers=sequence.map_layers(built.layers, widen), input_shape=shape, preprocess=None)
