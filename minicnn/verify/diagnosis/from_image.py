"""The wrong convention by a photograph and its right class alone: weak evidence, and said to be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from math import inf, log
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.explain.prediction import class_index
from minicnn.network import Network
from minicnn.verify.diagnosis.changes import Change, of_input, of_layers, of_order
from minicnn.verify.diagnosis.result import Diagnosis

__all__ = ["by_photograph"]

MANY = 500  # changes beyond which those of single layers are left out
WIDE = 5  # changes that pairs are made of
SURE = 0.5  # a class of that probability is right as it is
GAIN = 1.0  # what a pair must add to the best single change, in units of log probability


def by_photograph(net: Network, image: Any, label: int | str, progress: Callable) -> Diagnosis:
    """Return the change, or pair, under which the right class has the highest probability.

    ``label`` is the class's number or name; the other arguments are those of ``diagnose``.
    """
    scores = _scores(net, image)
    target = class_index(net, label, len(scores))
    start = surprise(scores, target)
    head = net.name, "the picture", f"one picture of {label!r} and no reference"
    if start <= -log(SURE) or int(scores.argmax()) == target:
        return Diagnosis(*head, None, [], start, start, True, 1, [], net, _weak(1, []))
    ranked = _ranked(net, image, target, progress)
    (best, found), tried = ranked[0], len(ranked)
    if best >= start - GAIN:
        best, found, ranked = start, (), ranked[:1]
    rivals = {str(c): c for value, way in ranked[1:6] if value <= best + GAIN for c in way if c not in found}
    healed = _applied(net, found)
    scores = _scores(healed, image)
    on_top = int(scores.argmax()) == target
    errors = start, surprise(scores, target)
    tail = on_top, tried, list(rivals.values()), healed, _weak(tried, rivals)
    return Diagnosis(*head, "the class of the picture", list(found), *errors, *tail)


def _ranked(net: Network, image: Any, target: int, progress: Callable) -> list[tuple[float, tuple[Change, ...]]]:
    """Return (surprise, changes) of every single change, and of pairs with the best of them, best first."""
    everywhere = [*of_input(net), *of_order(net)]
    changes = [*everywhere, *of_layers(net)]
    if len(changes) > MANY:
        changes = [c for c in changes if len(c.layers) > 1 or c in everywhere or c.convention == "class order"]
    shared = [
        *everywhere,
        *(change for change in changes if len(change.layers) > 1),
    ]  # a program does it everywhere
    found = [(_after(net, (change,), image, target), (change,)) for change in progress(changes)]
    found.sort(key=lambda one: one[0])
    pairs = [(a, b) for _, (a,) in found[:WIDE] for b in shared if b is not a]
    found += [(_after(net, pair, image, target) + GAIN, pair) for pair in progress(pairs)]
    return sorted(found, key=lambda one: one[0])


def surprise(scores: np.ndarray, target: int) -> float:
    """Return minus the logarithm of the class's probability; infinity where scores are not finite."""
    if not np.isfinite(scores).all():
        return inf
    return float(np.logaddexp.reduce(scores) - scores[target])


def _scores(net: Network, image: Any) -> np.ndarray:
    if net.preprocess is None:
        raise MinicnnError(f"{net.name}: does not say how an image becomes its input; say it before asking why")
    return net.forward(net.preprocess(image), allow_nonfinite=True)[0].reshape(-1).astype(np.float64)


def _applied(net: Network, way: Iterable[Change]) -> Network:
    for change in way:
        net = change.apply(net)
    return net


def _after(net: Network, way: Iterable[Change], image: Any, target: int) -> float:
    try:
        return surprise(_scores(_applied(net, way), image), target)
    except (MinicnnError, ValueError):
        return inf


def _weak(tried: int, rivals: Sized) -> str:
    chance = f"with {tried} changes tried one may put the class on top by luck" if tried > 1 else "one class"
    others = f", and {len(rivals)} others do nearly as well" if rivals else ""
    return f"Weak evidence: one picture; {chance}{others}. Scores of the original program would settle it."
