"""A network beside another program's, layer by layer, with our float64 as the judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minicnn.errors import MinicnnError, ShapeError
from minicnn.explain.prediction import class_index
from minicnn.kernels import is_reference
from minicnn.network import Network
from minicnn.network.check_weights import check_weights
from minicnn.verify import probe
from minicnn.verify.comparison.matching import align
from minicnn.verify.comparison.peers.base import Peer
from minicnn.verify.comparison.peers.device import rounding_factor
from minicnn.verify.comparison.peers.registry import as_peer
from minicnn.verify.comparison.result import (
    ComparedValue,
    Comparison,
    largest_ulps,
    relative_distance,
    relative_error,
    ulps_histogram,
)
from minicnn.verify.probe import Log, Value
from minicnn.verify.rounding import unit

__all__ = ["compare", "input_for", "match", "tolerances"]

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
    Comparison

    Raises
    ------
    MinicnnError
        If the peer is unknown, needs what is not installed, or nothing of it matches.

    See Also
    --------
    diagnose : which convention makes the difference
    gradients : a check that needs no other program

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Network
    >>> from minicnn.layers import Conv2d, Flatten, Linear, ReLU
    >>> from minicnn.verify import compare
    >>> net = Network([Conv2d(1, 2, 3), ReLU(), Flatten(), Linear(8, 3)], input_shape=(1, 4, 4))

    Another program is a function of x; here it is the network itself, and then one with a wrong bias.

    >>> print(compare(net, lambda x: net(x)).verdict())
    agree: 1 values, every difference within rounding
    >>> comparison = compare(net, lambda x: net(x) + 0.1)
    >>> comparison.ok, comparison.first.name
    (False, '3')

    """
    check_weights(net.state_dict())
    peer, device = as_peer(peer, net), device or net.device
    own_x, x = x, input_for(net, peer, x)
    run = _run(net, peer, x, device)
    values = _compare_values(run)
    if peer.x is not None and own_x is not None:
        inputs = Value("input", "", x), Value("input", "", peer.x)
        values.insert(0, _compare_value(*inputs, x, FACTOR * unit(np.float32)))
    target = _choose_target(run, target)
    backward, dtype = _compare_gradients(run, target) if gradient else ([], np.float32)
    return Comparison(
        subject=net.name,
        peer=peer.name,
        device=device,
        values=values,
        gradients=backward,
        gradient_dtype=np.dtype(dtype).name,
        target=target,
        unmatched=[name for name in run.ours.values if name not in run.pairs],
        kinks=run.exact.near,
    )


def input_for(net: Network, peer: Peer, x: np.ndarray | None) -> np.ndarray:
    """Return x, or the input of the peer's dump, or random values that every layer has some of both signs of."""
    x = peer.x if x is None else x
    if x is None:
        if net.input_shape is None:
            raise ShapeError(f"{net.name}: has no input_shape; give x")
        return np.random.default_rng(0).standard_normal((1, *net.input_shape)).astype(np.float32)
    x = np.asarray(x, np.float32)
    for array in (x, x if peer.x is None else peer.x):
        if net.input_shape is not None and array.shape[1:] != net.input_shape:
            raise ShapeError(f"{net.name}: takes images of {net.input_shape}, and x has the shape {array.shape}")
    return x


def match(ours: Log, theirs: list[Value]) -> dict[str, Value]:
    """Return the peer's value for each of our layers that has a counterpart."""
    values = list(ours.values.values())
    return {values[i].name: theirs[j] for i, j in align(values, theirs)}


def tolerances(ours: Log, reference: Log, exact: Mapping[str, Value], rounding: float = 1.0) -> dict[str, float]:
    """Return for each of our values how large a relative error of rounding in float32 may be.

    FACTOR times the larger of ``rounding`` sqrt(n_1 + ... + n_L) u, all roundings on the way, and what float32 was
    seen to do on the reference: a device that is under test has no say in how wrong it may be.
    """
    limits, total = {}, 0
    # the roundings of all layers up to here count, not those of this one alone
    for name in ours.values:
        total += ours.terms[name]
        measured = 0.0
        if name in exact:
            measured = _finite_error(relative_error, reference.values[name].array, exact[name].array)
        limits[name] = FACTOR * max(rounding * float(np.sqrt(total + 1)) * unit(np.float32), measured)
    return limits


def _finite_error(size: Callable[[np.ndarray, np.ndarray], float], a: np.ndarray, b: np.ndarray) -> float:
    error = size(a, b)
    return error if np.isfinite(error) else 0.0  # where there is NaN, everything else is an error


class _Run(NamedTuple):
    """What both sides computed for one input.

    Attributes
    ----------
    net, device, peer : what is compared with what
    x : our input
    ours : on the device, in float32
    reference : on the reference, in float32
    exact : on the reference, in float64
    pairs : the peer's value for each of our layers that has a counterpart

    """

    net: Network
    device: str
    peer: Peer
    x: np.ndarray
    ours: Log
    reference: Log
    exact: Log
    pairs: dict[str, Value]

    @property
    def peer_x(self) -> np.ndarray:
        """The input of the peer: a dump's own, or ours."""
        return self.x if self.peer.x is None else self.peer.x

    @property
    def exact_values(self) -> dict[str, Value]:
        """Our values in float64, of the steps that the device has."""
        return {name: value for name, value in self.exact.values.items() if name in self.ours.values}


def _run(net: Network, peer: Peer, x: np.ndarray, device: str) -> _Run:
    theirs = peer.values(x if peer.x is None else peer.x)
    ours, exact = probe.run(net, x, device=device), probe.run(net, x, dtype=np.float64)
    # in float32 on the reference: what rounding in this precision costs, whoever runs it
    reference = ours if is_reference(device) else probe.run(net, x)
    peer = replace(peer, rounding=max(peer.rounding, rounding_factor(device)))
    pairs = match(ours, theirs)
    if not pairs:
        raise MinicnnError(f"{peer.name}: none of its values matches one of {net.name}'s by name, shape or order")
    return _Run(net, device, peer, x, ours, reference, exact, pairs)


def _compare_values(run: _Run) -> list[ComparedValue]:
    exact = run.exact_values
    limits = tolerances(run.ours, run.reference, exact, run.peer.rounding)
    caused = _caused_errors(run) if set(exact) == set(run.ours.values) else {}
    values = []
    for name, theirs in run.pairs.items():
        arbiter = exact[name].array if name in exact else run.ours.values[name].array
        value = _compare_value(run.ours.values[name], theirs, arbiter, limits[name])
        values.append(replace(value, caused=caused.get(name)))
    return values


def _compare_value(ours: Value, theirs: Value, exact: np.ndarray, tolerance: float) -> ComparedValue:
    return ComparedValue(
        name=ours.name,
        kind=ours.kind,
        peer=theirs.name,
        shape=ours.array.shape,
        peer_shape=theirs.array.shape,
        error=relative_error(ours.array, theirs.array),
        tolerance=tolerance,
        ulps=largest_ulps(ours.array, theirs.array),
        histogram=ulps_histogram(ours.array, theirs.array),
        ours=relative_error(ours.array, exact),
        theirs=relative_error(theirs.array, exact),
    )


def _caused_errors(run: _Run) -> dict[str, float]:
    """Return each layer's error where its input is the peer's; nothing where the peer's values do not fit."""
    theirs = {name: value.array for name, value in run.pairs.items()}
    try:
        # every layer gets the peer's value as its input, so that it shows its own error alone
        values = probe.run(run.net, run.peer_x, theirs, dtype=np.float64).values
    except (ShapeError, ValueError):
        return {}  # the peer's values have other shapes, and the value where they begin to says so
    return {name: relative_error(values[name].array, array) for name, array in theirs.items()}


def _choose_target(run: _Run, target: int | None) -> int:
    last, exact = run.net.names[-1], run.exact_values
    scores = (exact if last in exact else run.ours.values)[last].array
    target = run.peer.target if target is None else target
    first = scores[0].reshape(-1)
    return int(first.argmax()) if target is None else class_index(run.net, target, len(first))


def _compare_gradients(run: _Run, target: int) -> tuple[list[ComparedValue], DTypeLike]:
    """Return the gradients compared, from the scores back, and their dtype: float64 where both can have it."""
    net, peer, last = run.net, run.peer, list(run.ours.values.values())[-1]
    if peer.gradient is None or last.array.ndim != 2:
        return [], np.float32
    in_float64 = peer.float64 and is_reference(run.device)
    dtype = np.float64 if in_float64 else np.float32
    x = run.peer_x.astype(dtype)
    theirs = peer.gradient(x, target)
    if not theirs:
        return [], dtype
    exact = probe.run(net, x, dtype=np.float64, target=target).gradients
    ours = exact if in_float64 else probe.run(net, x, device=run.device, target=target).gradients
    at_reference = in_float64 or is_reference(run.device)
    reference = ours if at_reference else probe.run(net, x, target=target).gradients
    # rounding in float32 may take units across their kink, and their gradients with them
    slack = 0.0 if in_float64 or not run.exact.near else FACTOR * float(np.sqrt(run.exact.near / run.exact.units))
    size = relative_distance if slack else relative_error
    # forwards and back again
    terms = 2 * sum(run.ours.terms.values())
    rounding = peer.rounding * float(np.sqrt(terms + 1)) * unit(dtype)
    gradients = []
    for name, its_name in _pair_gradients(run, ours, theirs):
        measured = 0.0 if in_float64 else _finite_error(size, reference[name], exact[name])
        pair = Value(name, "", ours[name]), Value(its_name, "", theirs[its_name])
        value = _compare_value(*pair, exact[name], FACTOR * max(rounding, measured) + slack)
        gradients.append(replace(value, error=size(ours[name], theirs[its_name])))
    return gradients, dtype


def _pair_gradients(run: _Run, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return our name and the peer's of the gradients that both have, from the scores back to the input."""
    names = {name: value.name for name, value in run.pairs.items() if name in ours}
    backward = [(name, names.get(name, name)) for name in [*reversed(names), "input"]]
    return [(name, its_name) for name, its_name in backward if its_name in theirs]
