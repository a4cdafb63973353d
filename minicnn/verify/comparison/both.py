"""Both sides run on one input: every value of ours, of the peer's, and what rounding explains between them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minicnn.errors import MinicnnError
from minicnn.kernels import is_reference
from minicnn.layers import LogSoftmax, Softmax
from minicnn.network import Network
from minicnn.verify import probe
from minicnn.verify.comparison.distance import relative_error
from minicnn.verify.comparison.matching import common_kind, match
from minicnn.verify.comparison.merged import HEADS, NORMS
from minicnn.verify.comparison.peers.base import Peer
from minicnn.verify.comparison.peers.device import rounding_factor
from minicnn.verify.probe import Log, Value
from minicnn.verify.rounding import UNITS, unit

__all__ = [
    "FACTOR",
    "Both",
    "ask",
    "find_answer",
    "finite_error",
    "measure_repetition",
    "our_answers",
    "peer_dtype",
    "run_both",
    "tolerances",
]

FACTOR = 4.0  # standard deviations that the largest of many errors may be away


class Both(NamedTuple):
    """What both sides computed for one input.

    Attributes
    ----------
    net, device, peer : what is compared with what
    x : our input
    ours : on the device, in float32, or in float64 where both sides are
    reference : on the reference, in the same precision
    exact : on the reference, in float64
    limits : how large a relative error rounding explains, for each of ours
    theirs : the peer's values, in order, and its answer last
    pairs : the peer's value for each of our layers that has a counterpart
    dtype : the precision that the limits are of

    """

    net: Network
    device: str
    peer: Peer
    x: np.ndarray
    ours: Log
    reference: Log
    exact: Log
    limits: dict[str, float]
    theirs: list[Value]
    pairs: dict[str, Value]
    dtype: str

    @property
    def peer_x(self) -> np.ndarray:
        """The input of the peer: a dump's own, or ours."""
        return self.x if self.peer.x is None else self.peer.x

    @property
    def answer(self) -> Value | None:
        """What the peer answers; None where its values end at a layer in the middle of ours, as dumps may."""
        return find_answer(self.theirs, self.net, self.ours.values)

    @property
    def merged(self) -> dict[str, Value]:
        """The pairs of a convolution that holds its normalisation on one side, and that normalisation."""
        pairs = (
            (name, theirs, {common_kind(v.kind) for v in (self.ours.values[name], theirs)})
            for name, theirs in self.pairs.items()
        )
        return {name: theirs for name, theirs, kinds in pairs if kinds & NORMS and kinds & HEADS}

    @property
    def exact_values(self) -> dict[str, Value]:
        """Our values in float64, of the steps that the device has."""
        return {name: value for name, value in self.exact.values.items() if name in self.ours.values}


def run_both(net: Network, peer: Peer, x: np.ndarray, device: str) -> Both:
    """Run a network and a peer on an input of shape (N, ...)."""
    if not net.names:
        raise MinicnnError(f"{net.name}: has no layers, and so nothing to compare")
    theirs = ask(net, peer, x)
    dtype = _choose_precision(net, theirs, peer, device)
    exact = probe.run(net, x, dtype=np.float64)
    ours = exact if dtype == "float64" else probe.run(net, x, device=device)
    # on the reference: what rounding in this precision costs, whoever runs it
    reference = ours if dtype == "float64" or is_reference(device) else probe.run(net, x)
    peer = replace(peer, rounding=max(peer.rounding, rounding_factor(device)))
    exact_values = {name: value for name, value in exact.values.items() if name in ours.values}
    rounded = probe.run(net, x, rounded_to=dtype) if dtype in UNITS else None
    limits = tolerances(ours, reference, exact_values, peer.rounding, dtype, rounded)
    pairs = match(list(ours.values.values()), theirs)
    return Both(net, device, peer, x, ours, reference, exact, limits, theirs, pairs, dtype)


def ask(net: Network, peer: Peer, x: np.ndarray) -> list[Value]:
    """Return the peer's values; MinicnnError where it has none, or writes into the network's own parameters."""
    before = _checksums(net)
    theirs = peer.run(x if peer.x is None else peer.x)
    if not theirs:
        raise MinicnnError(f"{peer.name}: gives no value to compare")
    changed = [name for name, checksum in _checksums(net).items() if checksum != before[name]]
    if changed:
        raise MinicnnError(
            f"{peer.name}: writes into {net.name}'s own {', '.join(changed[:3])}, which both sides then read; "
            "give it copies of the weights"
        )
    return theirs


def _checksums(net: Network) -> dict[str, int]:
    return {name: zlib.crc32(np.ascontiguousarray(array).data) for name, array in net.state_dict().items()}


def peer_dtype(theirs: list[Value], peer: Peer) -> str:
    """Return in which precision a peer computes: the coarsest of its values'."""
    names = [value.array.dtype.name for value in theirs if value.array.dtype.kind == "f"]
    coarsest = max(names, key=unit, default="float32")
    return peer.precision or coarsest


def _choose_precision(net: Network, theirs: list[Value], peer: Peer, device: str) -> str:
    dtype = peer_dtype(theirs, peer)
    if dtype in UNITS:
        return dtype
    # float64 only where nothing on either side was ever rounded to less
    doubles = all(array.dtype == np.float64 for array in net.state_dict().values())
    in_float64 = dtype == peer.dtype == "float64" and doubles and is_reference(device)
    return "float64" if in_float64 else "float32"


def our_answers(net: Network, values: Mapping[str, Value]) -> dict[str, Value]:
    """Return our last value, and the one before a softmax at the end, by what to call it."""
    *others, last = values.values()
    layer = net.layers[-1]
    if not isinstance(layer, Softmax | LogSoftmax):
        return {"the scores": last}
    scores = values.get(layer.inputs[0]) if layer.inputs else others[-1] if others else None
    end = {"the probabilities" if isinstance(layer, Softmax) else "the log-probabilities": last}
    return end if scores is None else end | {"the scores": scores}


def find_answer(theirs: list[Value], net: Network, values: Mapping[str, Value]) -> Value | None:
    """Return what a peer answers, its last value; None where that is of a layer in the middle of ours."""
    ends = [value.name for value in our_answers(net, values).values()]
    if theirs[-1].name not in values or theirs[-1].name in ends:
        return theirs[-1]
    return next((value for value in reversed(theirs) if value.name in ends), None)


def measure_repetition(net: Network, peer: Peer, x: np.ndarray, theirs: list[Value]) -> float:
    """Return the relative error between what a peer answers to the same input twice."""
    if peer.x is not None or peer.repeatable:
        return 0.0
    first, second = theirs[-1].array, ask(net, peer, x)[-1].array
    # NaN twice is no change, and diverges all the same
    same = np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
    return 0.0 if same else relative_error(first, second)


def tolerances(
    ours: Log,
    reference: Log,
    exact: Mapping[str, Value],
    rounding: float = 1.0,
    dtype: str = "float32",
    rounded: Log | None = None,
) -> dict[str, float]:
    """Return for each of our values how large a relative error of rounding may be.

    FACTOR times the larger of ``rounding`` sqrt(n_1 + ... + n_L) u, all roundings on the way, and what the
    precision was seen to do on the reference: a device that is under test has no say in how wrong it may be.  A
    coarser dtype rounds what each layer gives once more, sqrt(L) u', and ``rounded`` is the reference that does.
    """
    limits, total = {}, 0
    own: DTypeLike = np.float64 if dtype == "float64" else np.float32
    # the roundings of all layers up to here count, not those of this one alone
    for depth, name in enumerate(ours.values, start=2):
        total += ours.terms[name]
        measured, expected = 0.0, rounding * float(np.sqrt(total + 1)) * unit(own)
        if name in exact:
            measured = finite_error(relative_error, reference.values[name].array, exact[name].array)
        if rounded is not None and name in rounded.values and name in exact:
            expected += float(np.sqrt(depth)) * UNITS[dtype]
            measured = finite_error(relative_error, rounded.values[name].array, exact[name].array)
        limits[name] = FACTOR * max(expected, measured)
    return limits


def finite_error(size: Callable[[np.ndarray, np.ndarray], float], a: np.ndarray, b: np.ndarray) -> float:
    """Return an error; 0 where there is NaN, beside which everything is an error."""
    error = size(a, b)
    return error if np.isfinite(error) else 0.0
