"""Which value of ours corresponds to which of another program's: by name, kind, shape, order and agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from minicnn._utils.types import Shape
from minicnn.verify.comparison.distance import read_as, readable_as
from minicnn.verify.comparison.merged import find_chains, judge_merged
from minicnn.verify.probe import Value

__all__ = ["align", "chains", "common_kind", "match"]

SAMPLE = 256  # entries compared to see whether two values may be the same
CLOSE = 1e-3
MIN_WEIGHT = 1.5  # of a pair

Pair: TypeAlias = tuple[int, int]

# our word for what programs call otherwise: torch's modules and functions, ONNX's operators, our blocks
_KINDS = {
    "conv": "conv2d",
    "convrelu2d": "conv2d",
    "convtranspose": "convtranspose2d",
    "gemm": "linear",
    "matmul": "linear",
    "dense": "linear",
    "clip": "relu6",
    "hardtanh": "relu6",
    "maxpool": "maxpool2d",
    "maxpooling2d": "maxpool2d",
    "averagepooling2d": "avgpool2d",
    "globalaveragepooling2d": "globalavgpool2d",
    "averagepool": "avgpool2d",
    "globalaveragepool": "globalavgpool2d",
    "adaptiveavgpool2d": "globalavgpool2d",
    "batchnormalization": "batchnorm2d",
    "frozenbatchnorm2d": "batchnorm2d",
    "lrn": "localresponsenorm",
    "swish": "silu",
    "thresholdedrelu": "threshold",
    "layernormalization": "layernorm",
    "groupnormalization": "groupnorm",
    "instancenormalization": "instancenorm2d",
    "rmsnormalization": "rmsnorm",
    "pad": "zeropad2d",
    "add": "residual",
    "cat": "concat",
    "transpose": "permute",
}


def match(ours: Sequence[Value], theirs: Sequence[Value]) -> dict[str, Value]:
    """Return the peer's value, in our shape, for each of our layers that has a counterpart."""
    return {ours[i].name: read_as(theirs[j], ours[i].array.shape) for i, j in align(ours, theirs)}


def align(ours: Sequence[Value], theirs: Sequence[Value]) -> list[Pair]:
    """Return the pairs (i, j) of ``ours[i]`` and ``theirs[j]`` that are the same step of the computation.

    Both run in the order of the computation, and so do the pairs.  Of all such lists it is the one of the largest
    weight: 6 for values that agree, 3 for the same name, 1 for the same kind of layer, 1 for the same shape.  A
    pair without a common name that differs although what comes after it agrees is no pair: another program may
    have merged layers, and where a convolution holds what follows it on the other side, ``judge_merged`` says
    which value that is.  Where the two orders differ, as branches may run in either, names alone decide.
    """
    merged, ruled_out = judge_merged(ours, theirs, _kinds(ours), _kinds(theirs))
    weights = _weights(ours, theirs, merged, ruled_out)
    # best[i, j]: the largest weight of any list of pairs out of ours[i:] and theirs[j:]
    best = np.zeros((len(ours) + 1, len(theirs) + 1))
    for i in range(len(ours) - 1, -1, -1):
        for j in range(len(theirs) - 1, -1, -1):
            best[i, j] = max(best[i + 1, j], best[i, j + 1], weights[i, j] + best[i + 1, j + 1])
    # follow the choices that made best[0, 0]
    pairs, i, j = [], 0, 0
    while i < len(ours) and j < len(theirs):
        if weights[i, j] > 0 and best[i, j] == weights[i, j] + best[i + 1, j + 1]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i, j] == best[i + 1, j]:
            i += 1
        else:
            j += 1
    return _add_namesakes(_drop_merged(pairs, ours, theirs, merged), ours, theirs, ruled_out)


def _add_namesakes(
    pairs: list[Pair], ours: Sequence[Value], theirs: Sequence[Value], ruled_out: set[Pair]
) -> list[Pair]:
    """Return the pairs with those of the same name that lie out of order, in our order."""
    places: dict[str, list[int]] = {}
    for j, value in enumerate(theirs):
        places.setdefault(value.name, []).append(j)
    namesakes = {i: places[v.name][0] for i, v in enumerate(ours) if v.name and len(places.get(v.name, ())) == 1}
    # numbers are names too, and may be of other layers
    namesakes = {
        i: j for i, j in namesakes.items() if (i, j) not in ruled_out and _may_be_the_same(ours[i], theirs[j])
    }
    # a pair without a common name gives way to one with it
    kept = [(i, j) for i, j in pairs if namesakes.get(i, j) == j or _is_close(ours[i], theirs[j])]
    used = {i for i, _ in kept}, {j for _, j in kept}
    return sorted(kept + [(i, j) for i, j in namesakes.items() if i not in used[0] and j not in used[1]])


def _may_be_the_same(a: Value, b: Value) -> bool:
    return _kind_weight(a.kind, b.kind) > 0 and readable_as(b.array.shape, a.array.shape) is not None


def _is_close(a: Value, b: Value) -> bool:
    """Return whether two values have the same entries within a thousandth of the largest."""
    if a.array.size == 0 or readable_as(b.array.shape, a.array.shape) is None:
        return False
    return _agree(_sample(a.array), _sample(read_as(b, a.array.shape).array))


def _weights(
    ours: Sequence[Value], theirs: Sequence[Value], merged: Mapping[Pair, bool], ruled_out: set[Pair]
) -> np.ndarray:
    our_samples = [_sample(v.array) for v in ours]
    # of maps, in both layouts
    samples = [(_sample(v.array), _sample(np.moveaxis(v.array, -1, 1 % v.array.ndim))) for v in theirs]
    weights = np.zeros((len(ours), len(theirs)))
    for i, a in enumerate(ours):
        for j, b in enumerate(theirs):
            same_name = merged.get((i, j), a.name == b.name != "")
            total = 3.0 * same_name + (1.0 if (i, j) in merged else _kind_weight(a.kind, b.kind))
            # the kind and the name speak for another pair there
            total = 0.0 if (i, j) in ruled_out else total + _shape_weight(a.array.shape, b.array.shape)
            how = readable_as(b.array.shape, a.array.shape)
            if how is not None and _agree(our_samples[i], samples[j][how == "channels last"]):
                total += 6.0
            weights[i, j] = total if total >= MIN_WEIGHT else 0.0
    return weights


def _sample(array: np.ndarray) -> np.ndarray:
    # every value is compared with every other, so that a few positions must do
    positions = np.linspace(0, array.size - 1, min(array.size, SAMPLE)).astype(int)
    return array[np.unravel_index(positions, array.shape)].astype(np.float64)


def _agree(a: np.ndarray, b: np.ndarray) -> bool:
    scale = max(np.abs(a).max(initial=0), np.abs(b).max(initial=0))
    return bool(np.abs(a - b).max(initial=0) <= CLOSE * scale)


def _kind_weight(a: str, b: str) -> float:
    # a side that does not say its kind speaks neither for the pair nor against it
    if not a or not b:
        return 0.5
    return 1.0 if common_kind(a) == common_kind(b) else -1.0


def common_kind(kind: str) -> str:
    """Return our word for a kind of layer, in small letters, whatever program it is of."""
    return _KINDS.get(kind.lower(), kind.lower())


def chains(values: Sequence[Value]) -> list[list[int]]:
    """Return the places of each convolution or full layer, and of what was applied to it behind it."""
    return find_chains(values, _kinds(values))


def _kinds(values: Sequence[Value]) -> list[str]:
    return [common_kind(value.kind) for value in values]


def _shape_weight(a: Shape, b: Shape) -> float:
    if readable_as(b, a) is not None:
        return 1.0
    return 0.5 if len(a) == len(b) and a[:2] == b[:2] else 0.0


def _drop_merged(
    pairs: list[Pair], ours: Sequence[Value], theirs: Sequence[Value], merged: Mapping[Pair, bool]
) -> list[Pair]:
    agreeing = [(i, j) for i, j in pairs if _is_close(ours[i], theirs[j])]
    # before the last pair that agrees a difference is a merged step, behind it a divergence
    last = agreeing[-1] if agreeing else (-1, -1)
    return [
        (i, j)
        for i, j in pairs
        if (i, j) in agreeing or i > last[0] or (i, j) in merged or ours[i].name == theirs[j].name
    ]
