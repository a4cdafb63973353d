"""Layers that one side has merged: a convolution that holds the normalisation, or the rectifier, behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from minicnn.verify.comparison.distance import read_as, readable_as, relative_error
from minicnn.verify.probe import Value

__all__ = ["HEADS", "NORMS", "find_chains", "judge_merged"]

Pair = tuple[int, int]
HEADS = {"conv2d", "convtranspose2d", "linear"}
NORMS = {"batchnorm2d", "scale"}
RECTIFIERS = {"relu", "relu6"}
EXACT = 1e-4  # of the largest value: what is left of a value that is scaled and shifted, channel by channel


def find_chains(values: Sequence[Value], kinds: Sequence[str]) -> list[list[int]]:
    """Return the places of each convolution or full layer, of its normalisations and of its rectifier.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(1, 2, 4, 4))
    >>> kinds = ["conv2d", "batchnorm2d", "relu", "conv2d"]
    >>> find_chains([Value("", "", y) for y in (x, 2 * x, abs(x), x)], kinds)
    [[0, 1, 2], [3]]

    """
    chains: list[list[int]] = []
    for i, (value, kind) in enumerate(zip(values, kinds, strict=True)):
        if kind in HEADS:
            chains.append([i])
        elif kind in NORMS and (chain := _find_source(values, kinds, chains, value)) is not None:
            chain.append(i)
        elif kind in RECTIFIERS and chains and chains[-1][-1] == i - 1:
            chains[-1].append(i)
    return chains


def _find_source(
    values: Sequence[Value], kinds: Sequence[str], chains: list[list[int]], value: Value
) -> list[int] | None:
    """Return the chain that a normalisation goes on with; a file may list all branches' convolutions first."""
    for chain in reversed(chains):
        last = values[chain[-1]].array
        if (
            kinds[chain[-1]] not in RECTIFIERS
            and last.shape == value.array.shape
            and _is_scaled(last, value.array)
        ):
            return chain
    return None


def _is_scaled(x: np.ndarray, y: np.ndarray) -> bool:
    """Return whether y = scale x + shift with numbers of each channel, last or second axis."""
    return any(_misfit(x, y, axis) <= EXACT for axis in {1, x.ndim - 1})


def _misfit(x: np.ndarray, y: np.ndarray, axis: int) -> float:
    x, y = (np.moveaxis(a, axis, 0).reshape(a.shape[axis], -1).astype(np.float64) for a in (x, y))
    if x.shape[1] < 3:  # two numbers lie on a line, whatever they are
        return 0.0
    x, y = (a - a.mean(axis=1, keepdims=True) for a in (x, y))
    slope = (x * y).sum(axis=1, keepdims=True) / np.maximum((x * x).sum(axis=1, keepdims=True), 1e-30)
    return float(np.abs(y - slope * x).max() / max(np.abs(y).max(), 1e-30))


def judge_merged(
    ours: Sequence[Value], theirs: Sequence[Value], our_kinds: Sequence[str], their_kinds: Sequence[str]
) -> tuple[dict[Pair, bool], set[Pair]]:
    """Return pairs of values that merged layers make, and those that they rule out.

    Where one side has a convolution and the normalisation behind it, and the other a convolution alone, that may
    hold the normalisation: it is paired with the value whose channels have the nearer means and deviations.  Each
    pair says whether the two convolutions have the same name.

    Parameters
    ----------
    ours, theirs : values in the order of the computation
    our_kinds, their_kinds : of layer, in words that both sides share

    """
    chosen: dict[Pair, bool] = {}
    ruled_out: set[Pair] = set()
    starts = [(a[p:], b[q:]) for a, b, p, q in _equal_kinds(ours, theirs, our_kinds, their_kinds)]
    for a, b in starts:
        behind_a = _missing(a, {their_kinds[j] for j in b}, our_kinds)
        behind_b = _missing(b, {our_kinds[i] for i in a}, their_kinds)
        candidates = [(a[0], b[0]), *((i, b[0]) for i in behind_a), *((a[0], j) for j in behind_b)]
        candidates = [
            (i, j) for i, j in candidates if readable_as(theirs[j].array.shape, ours[i].array.shape) is not None
        ]
        if len(candidates) < 2:
            continue
        nearest = min(candidates, key=lambda pair: _unlikeness(ours[pair[0]], theirs[pair[1]]))
        chosen[nearest] = ours[a[0]].name == theirs[b[0]].name != ""
        ruled_out.update(pair for pair in candidates if pair != nearest)
    return chosen, ruled_out - set(chosen)


def _equal_kinds(
    ours: Sequence[Value], theirs: Sequence[Value], our_kinds: Sequence[str], their_kinds: Sequence[str]
) -> Iterator[tuple[list[int], list[int], int, int]]:
    """Yield chains of both sides and the places in them at which the kinds of layer are the same."""
    their_chains = find_chains(theirs, their_kinds)
    for a in find_chains(ours, our_kinds):
        for b in their_chains:
            for p, i in enumerate(a):
                yield from ((a, b, p, q) for q, j in enumerate(b) if our_kinds[i] == their_kinds[j])


def _missing(chain: Sequence[int], others: set[str], kinds: Sequence[str]) -> list[int]:
    """Return the places behind a chain's first whose kinds the other side does not have, up to one that it has."""
    missing = []
    for i in chain[1:]:
        if kinds[i] in others:
            break
        missing.append(i)
    return missing


def _unlikeness(ours: Value, theirs: Value) -> float:
    """Return how far the channels' means and deviations are apart."""
    a, b = (_statistics(array) for array in (ours.array, read_as(theirs, ours.array.shape).array))
    return relative_error(a, b)


def _statistics(array: np.ndarray) -> np.ndarray:
    axes = tuple(axis for axis in range(array.ndim) if axis != 1)
    return np.stack([array.mean(axis=axes), array.std(axis=axes)])
