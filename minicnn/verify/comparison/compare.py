"""A network beside another program's, layer by layer, with our float64 as the judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError, ShapeError
from minicnn.explain.prediction import class_index
from minicnn.kernels import is_reference
from minicnn.network import Network
from minicnn.verify import probe
from minicnn.verify.comparison.matching import align
from minicnn.verify.comparison.peers.base import Peer
from minicnn.verify.comparison.peers.device import rounding_factor
from minicnn.verify.comparison.peers.registry import as_peer
from minicnn.verify.comparison.result import (
    Comparison,
    Step,
    distance_of,
    error_of,
    histogram,
    largest_ulps,
)
from minicnn.verify.probe import Log, Value
from minicnn.verify.rounding import unit

__all__ = ["compare", "input_for", "matched", "tolerances"]

FACTOR = 4.0  # standard deviations that the largest of many errors may be away


def compare(
    net: Network,
    peer: Any,
    x: np.ndarray | None = None,
    target: int | None = None,
    *,
    device: str | None = None,
    gradient: bool = True,
) -> Comparison:
    """Compare every value, and the gradient of a class score, with what another program computes.

    Parameters
    ----------
    net : Network
    peer : Peer, torch module, function of an array, mapping of a dump, or text
        See ``peers.registry.as_peer``: "torch", "onnxruntime", a device, a path, "module:function".
    x : float32 array of shape (N, C, H, W), optional
        By default the dump's input, or random values.  Given beside a dump, the two inputs are compared first.
    target : int, optional
        The class whose score is differentiated; by default the first image's best, or the dump's.
    device : str, optional
        Where ours runs, by default the net's; "reference" goes layer by layer, others in merged steps.
    gradient : bool
        Whether to compare gradients, where the peer has them: in float64 if it can.

    Returns
    -------
    found : Comparison

    Raises
    ------
    MinicnnError
        If the peer is unknown, needs what is not installed, or nothing of it matches.

    """
    peer, device = as_peer(peer, net), device or net.device
    given, x = x, input_for(net, peer, x)
    theirs = peer.values(x if peer.x is None else peer.x)
    ours, judge = probe.run(net, x, device=device), probe.run(net, x, dtype=np.float64)
    plain = ours if is_reference(device) else probe.run(net, x)
    peer = replace(peer, rounding=max(peer.rounding, rounding_factor(device)))
    exact = {name: value for name, value in judge.values.items() if name in ours.values}
    pairs = matched(ours, theirs)
    if not pairs:
        raise MinicnnError(f"{peer.name}: none of its values matches one of {net.name}'s by name, shape or order")
    steps = _steps(net, x, peer, ours, plain, exact, pairs)
    if peer.x is not None and given is not None:
        own, its = Value("input", "", x), Value("input", "", peer.x)
        steps.insert(0, _step(own, its, x, FACTOR * unit(np.float32), error_of(x, peer.x)))
    scores = exact[net.names[-1]].array if net.names[-1] in exact else ours.values[net.names[-1]].array
    target = _target(net, target, peer, scores)
    back, dtype = _gradients(net, device, peer, x, target, ours, judge, pairs) if gradient else ([], np.float32)
    unmatched = [name for name in ours.values if name not in pairs]
    return Comparison(
        net.name, peer.name, device, steps, back, np.dtype(dtype).name, target, unmatched, judge.near
    )


def input_for(net: Network, peer: Peer, x: np.ndarray | None) -> np.ndarray:
    """Return x, or the input of the peer's dump, or random values that every layer has some of both signs of."""
    if x is None and peer.x is None:
        if net.input_shape is None:
            raise ShapeError(f"{net.name}: has no input_shape; give x")
        return np.random.default_rng(0).standard_normal((1, *net.input_shape)).astype(np.float32)
    given = np.asarray(peer.x if x is None else x, np.float32)
    for array in (given, given if peer.x is None else peer.x):
        if net.input_shape is not None and array.shape[1:] != net.input_shape:
            raise ShapeError(f"{net.name}: takes images of {net.input_shape}, and x has the shape {array.shape}")
    return given


def matched(ours: Log, theirs: list[Value]) -> dict[str, Value]:
    """Return the peer's value for each of our layers that has a counterpart."""
    values = list(ours.values.values())
    return {values[i].name: theirs[j] for i, j in align(values, theirs)}


def tolerances(ours: Log, plain: Log, exact: Mapping[str, Value], rounding: float = 1.0) -> dict[str, float]:
    """Return for each of our values how large a relative error of rounding in float32 may be.

    FACTOR times the larger of ``rounding`` sqrt(n_1 + ... + n_L) u, all roundings on the way, and what float32 was
    seen to do in ``plain``, the reference's: a device that is under test has no say in how wrong it may be.
    """
    found, total = {}, 0
    for name in ours.values:
        total += ours.terms[name]
        seen = _seen(error_of, plain.values[name].array, exact[name].array) if name in exact else 0.0
        found[name] = FACTOR * max(rounding * float(np.sqrt(total + 1)) * unit(np.float32), seen)
    return found


def _seen(size: Callable, plain: np.ndarray, exact: np.ndarray) -> float:
    error = size(plain, exact)
    return error if np.isfinite(error) else 0.0  # where there is NaN, everything else is an error


def _steps(
    net: Network, x: np.ndarray, peer: Peer, ours: Log, plain: Log, exact: Mapping, pairs: Mapping
) -> list[Step]:
    allowed = tolerances(ours, plain, exact, peer.rounding)
    caused = _caused(net, x if peer.x is None else peer.x, pairs) if set(exact) == set(ours.values) else {}
    steps = []
    for name, its in pairs.items():
        arbiter = exact[name].array if name in exact else ours.values[name].array
        steps.append(_step(ours.values[name], its, arbiter, allowed[name], caused.get(name)))
    return steps


def _step(own: Value, its: Value, exact: np.ndarray, tolerance: float, caused: float | None = None) -> Step:
    return Step(
        own.name,
        own.kind,
        its.name,
        own.array.shape,
        its.array.shape,
        error_of(own.array, its.array),
        tolerance,
        largest_ulps(own.array, its.array),
        histogram(own.array, its.array),
        error_of(own.array, exact),
        error_of(its.array, exact),
        caused,
    )


def _caused(net: Network, x: np.ndarray, pairs: Mapping[str, Value]) -> dict[str, float]:
    """Return each layer's error where what comes before it has the peer's values; nothing where they fit not."""
    given = {name: value.array for name, value in pairs.items()}
    try:
        local = probe.run(net, x, given, dtype=np.float64).values
    except (ShapeError, ValueError):
        return {}  # the peer's values have other shapes, and the step where they begin to says so
    return {name: error_of(local[name].array, array) for name, array in given.items()}


def _target(net: Network, target: int | None, peer: Peer, scores: np.ndarray) -> int:
    target = peer.target if target is None else target
    first = scores[0].reshape(-1)
    return int(first.argmax()) if target is None else class_index(net, target, len(first))


def _gradients(
    net: Network, device: str, peer: Peer, x, target: int, ours: Log, judge: Log, pairs: Mapping
) -> tuple[list[Step], Any]:
    """Return the steps of the gradients, from the scores back, and their dtype: float64 where both can have it."""
    if peer.gradient is None or list(ours.values.values())[-1].array.ndim != 2:
        return [], np.float32
    wide = peer.float64 and is_reference(device)
    dtype = np.float64 if wide else np.float32
    at = (x if peer.x is None else peer.x).astype(dtype)
    theirs = peer.gradient(at, target)
    if not theirs:
        return [], dtype
    exact = probe.run(net, at, dtype=np.float64, target=target).gradients
    own = exact if wide else probe.run(net, at, device=device, target=target).gradients
    plain = own if wide or is_reference(device) else probe.run(net, at, target=target).gradients
    names = {name: value.name for name, value in pairs.items() if name in own}
    back = [*reversed(names), "input"]
    both = [(name, names.get(name, name)) for name in back if names.get(name, name) in theirs]
    slack = 0.0 if wide or not judge.near else FACTOR * float(np.sqrt(judge.near / judge.units))
    total, size = 2 * sum(ours.terms.values()), distance_of if slack else error_of
    steps = []
    for name, its in both:
        seen = 0.0 if wide else _seen(size, plain[name], exact[name])
        tolerance = FACTOR * max(peer.rounding * float(np.sqrt(total + 1)) * unit(dtype), seen) + slack
        values = Value(name, "", own[name]), Value(its, "", theirs[its])
        step = _step(*values, exact[name], tolerance)
        steps.append(replace(step, error=size(own[name], theirs[its])))
    return steps, dtype
