"""The gradient of a class score on both sides, from the scores back to the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minicnn.kernels import is_reference
from minicnn.verify import probe
from minicnn.verify.comparison.both import FACTOR, Both, finite_error
from minicnn.verify.comparison.distance import relative_distance, relative_error
from minicnn.verify.comparison.result import ComparedValue, compare_value
from minicnn.verify.probe import Log, Value
from minicnn.verify.rounding import UNITS, unit

__all__ = ["Gradients", "compare_gradients"]

NOISE = 0.05  # of the input's range
REMARK = (
    "Gradients are those at the input under noise of a twentieth of its range: at the input itself {count} maxima "
    "of pools tie to rounding, as in flat parts of pictures, so that either side may send a gradient elsewhere "
    "and be right."
)


class Gradients(NamedTuple):
    """Gradients compared, from the scores back.

    Attributes
    ----------
    values : ComparedValues; empty where the peer has none
    dtype : in which they were computed
    dx : ours at the input, or None
    tensors : ours and the peer's where they diverge first, or None
    kinks : how many units lie within rounding of one
    remark : what there is to say of the input, or ""

    """

    values: Sequence[ComparedValue] = ()
    dtype: DTypeLike = np.float32
    dx: np.ndarray | None = None
    tensors: tuple[np.ndarray, np.ndarray] | None = None
    kinks: int = 0
    remark: str = ""


def compare_gradients(run: Both, target: int) -> Gradients:
    """Return the gradients compared.

    The dtype is float64 where both sides can have it: not where one side has merged layers, and rounded weights.
    """
    net, peer, last = run.net, run.peer, list(run.ours.values.values())[-1]
    if peer.gradient is None or last.array.ndim != 2:
        return Gradients()
    in_float64 = peer.float64 and is_reference(run.device) and not run.merged
    dtype = np.float64 if in_float64 else np.float32
    # in float64 rounding is too small to make another tap the largest, but where they are equal to the bit
    start, log = (run.peer_x, run.exact) if in_float64 else _part_ties(run)
    x = start.astype(dtype)
    theirs = peer.run_gradient(x, target)
    if not theirs:
        return Gradients(dtype=dtype)
    exact = probe.run(net, x, dtype=np.float64, target=target).gradients
    ours = exact if in_float64 else probe.run(net, x, device=run.device, target=target).gradients
    at_reference = in_float64 or is_reference(run.device)
    reference = ours if at_reference else probe.run(net, x, target=target).gradients
    # rounding in float32 may take units across their kink, and their gradients with them
    slack = 0.0 if in_float64 or not log.near else FACTOR * float(np.sqrt(log.near / log.units))
    if run.dtype in UNITS:  # whose weights were rounded, and so was all on the way, forwards and back
        slack += FACTOR * float(np.sqrt(2 * len(run.ours.values))) * UNITS[run.dtype]
    size = relative_distance if slack else relative_error
    # forwards and back again
    terms = 2 * sum(run.ours.terms.values())
    rounding = peer.rounding * float(np.sqrt(terms + 1)) * unit(dtype)
    gradients, tensors = [], None
    for name, its_name in _pair_gradients(run, ours, theirs):
        measured = 0.0 if in_float64 else finite_error(size, reference[name], exact[name])
        pair = Value(name, "", ours[name]), Value(its_name, "", theirs[its_name])
        value = compare_value(*pair, exact[name], FACTOR * max(rounding, measured) + slack)
        gradients.append(replace(value, error=size(ours[name], theirs[its_name])))
        if tensors is None and not gradients[-1].ok:
            tensors = ours[name], theirs[its_name]
    remark = "" if log is run.exact else REMARK.format(count=run.exact.ties)
    return Gradients(gradients, dtype, ours["input"], tensors, log.near, remark)


def _part_ties(run: Both) -> tuple[np.ndarray, Log]:
    """Return the input, under noise where maxima of pools tie to rounding, and what the exact pass writes down."""
    x = run.peer_x
    if not run.exact.ties or run.peer.x is not None:
        return x, run.exact
    noise = np.random.default_rng(0).standard_normal(x.shape)
    moved = (x + NOISE * float(np.ptp(x)) * noise).astype(x.dtype)
    return moved, probe.run(run.net, moved, dtype=np.float64)


def _pair_gradients(run: Both, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return our name and the peer's of the gradients that both have, from the scores back to the input."""
    names = {name: value.name for name, value in run.pairs.items() if name in ours}
    backward = [(name, names.get(name, name)) for name in [*reversed(names), "input"]]
    return [(name, its_name) for name, its_name in backward if its_name in theirs]
