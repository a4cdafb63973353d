"""A network beside another program's, layer by layer, with our float64 as the judge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from minicnn._utils.types import ImageLike
from minicnn.errors import ShapeError
from minicnn.explain.prediction import class_index
from minicnn.network import Network
from minicnn.network.check_weights import check_weights
from minicnn.verify import probe
from minicnn.verify.comparison.both import FACTOR, Both, our_answers, run_both
from minicnn.verify.comparison.caveats import explain_answer, find_obstacle, list_remarks
from minicnn.verify.comparison.distance import distance, read_as, relative_error
from minicnn.verify.comparison.gradients import Gradients, compare_gradients
from minicnn.verify.comparison.inputs import fix_shape, input_for
from minicnn.verify.comparison.peers.registry import as_peer
from minicnn.verify.comparison.result import ANSWER, ComparedValue, Comparison, compare_value
from minicnn.verify.image_input import as_input
from minicnn.verify.probe import Value
from minicnn.verify.rounding import unit

__all__ = ["compare"]


def compare(
    net: Network,
    peer: Any,
    x: np.ndarray | ImageLike | None = None,
    target: int | str | None = None,
    *,
    device: str | None = None,
    gradient: bool = True,
) -> Comparison:
    """Compare every value, what another program answers, and the gradient of a class score.

    The program gets copies of the input, and its arrays are copied: nothing that it writes into is ours.  Arrays
    of other shapes are not equal, unless they hold the same numbers in another layout, which the notes then say.

    Parameters
    ----------
    net : Network
    peer : Peer, torch module, function of an array, mapping of a dump, or text
        See ``peers.registry.as_peer``: "torch", "onnxruntime", a device, a path, "module:function".
    x : float32 array of shape (N, C, H, W), or an image: path, PIL.Image or uint8 pixels, optional
        By default the dump's input, or random values.  Given beside a dump, the two inputs are compared first.
    target : int or str, optional
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
    agree: 1 value, every difference within rounding
    >>> comparison = compare(net, lambda x: net(x) + 0.1)
    >>> comparison.ok, comparison.first.name
    (False, '3')

    """
    check_weights(net.state_dict())
    x = None if x is None else as_input(net, x, "compare")
    # what is translated needs a size
    net = net if x is None else fix_shape(net, x.shape[1:])
    peer, device = as_peer(peer, net), device or net.device
    own_x, x = x, input_for(net, peer, x)
    run = run_both(net, peer, x, device)
    values, answer = _compare_values(run)
    inputs = [] if peer.x is None or own_x is None else [_compare_inputs(x, peer.x)]
    target, comparable = _choose_target(run, target), answer is None or answer.error < np.inf
    backward = compare_gradients(run, target) if gradient and comparable else Gradients()
    first = next((value for value in [*inputs, *values] if not value.ok), None)
    return Comparison(
        subject=net.name,
        peer=peer.name,
        device=device,
        values=[*inputs, *values],
        gradients=list(backward.values),
        gradient_dtype=np.dtype(backward.dtype).name,
        target=target,
        unmatched=[name for name in run.ours.values if name not in run.pairs],
        kinks=backward.kinks if backward.values else run.exact.near,
        dtype=run.dtype,
        answer="" if answer is None or answer.ok else explain_answer(run),
        obstacle=find_obstacle(run, answer, values, backward.values),
        remarks=(*peer.remarks, *list_remarks(run, answer, backward.dx), *filter(None, [backward.remark])),
        merged=tuple(run.merged),
        tensors=backward.tensors if first is None else _tensors(run, x, first),
    )


def _tensors(run: Both, x: np.ndarray, value: ComparedValue) -> tuple[np.ndarray, np.ndarray]:
    """Return ours and the peer's of a compared value."""
    if value.name in run.pairs:
        return run.ours.values[value.name].array, run.pairs[value.name].array
    if value.name != ANSWER or run.answer is None:
        return x, run.peer_x
    answer = run.answer
    ours = min(our_answers(run.net, run.ours.values).values(), key=lambda own: distance(own.array, answer))
    return ours.array, read_as(answer, ours.array.shape).array


def _compare_inputs(x: np.ndarray, peer_x: np.ndarray) -> ComparedValue:
    return compare_value(Value("input", "", x), Value("input", "", peer_x), x, FACTOR * unit(np.float32))


def _compare_values(run: Both) -> tuple[list[ComparedValue], ComparedValue | None]:
    """Return the pairs of values compared, and which of them is the answers' pair; None without an answer."""
    exact = run.exact_values
    caused = _caused_errors(run) if set(exact) == set(run.ours.values) else {}
    values = []
    for name, theirs in run.pairs.items():
        arbiter = exact[name].array if name in exact else run.ours.values[name].array
        value = compare_value(run.ours.values[name], theirs, arbiter, run.limits[name])
        since = tuple(run.ours.made_since(name, run.pairs))
        values.append(replace(value, caused=caused.get(name), since=since))
    given = run.answer
    if given is None:
        return values, None
    ours = min(our_answers(run.net, run.ours.values).values(), key=lambda value: distance(value.array, given))
    # the answer may be the value of our last layer's counterpart, or that passed on as it is
    own = run.pairs.get(ours.name)
    if own is not None and np.array_equal(own.array, read_as(given, ours.array.shape).array):
        return values, next(value for value in values if value.name == ours.name)
    arbiter = exact[ours.name].array if ours.name in exact else ours.array
    answer = compare_value(Value(ANSWER, given.kind, ours.array), given, arbiter, run.limits[ours.name])
    return [*values, answer], answer


def _caused_errors(run: Both) -> dict[str, float]:
    """Return each layer's error where its input is the peer's; nothing where the peer's values do not fit."""
    theirs = {name: value.array for name, value in run.pairs.items()}
    try:
        # every layer gets the peer's value as its input, so that it shows its own error alone
        values = probe.run(run.net, run.peer_x, theirs, dtype=np.float64).values
    except (ShapeError, ValueError):
        return {}  # the peer's values have other shapes, and the value where they begin to says so
    return {name: relative_error(values[name].array, array) for name, array in theirs.items()}


def _choose_target(run: Both, target: int | str | None) -> int:
    *_, scores = our_answers(run.net, run.exact_values or run.ours.values).values()
    target = run.peer.target if target is None else target
    first = scores.array[0].reshape(-1)
    return int(first.argmax()) if target is None else class_index(run.net, target, len(first))
