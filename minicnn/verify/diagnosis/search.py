"""Which convention is wrong: weights that load and answer wrongly, held against a reference or a photograph.

The value that diverges first names the layers that can be at fault; every known change of those is run from the
last value that agrees to the first that does not, then pairs of them.  What heals it is kept and the search goes
on behind it, so that two faults in two layers cost two searches for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.kernels import on
from minicnn.layers import sequence
from minicnn.network import Network
from minicnn.verify import probe
from minicnn.verify.comparison.compare import input_for, matched, tolerances
from minicnn.verify.comparison.peers.base import Peer
from minicnn.verify.comparison.peers.registry import as_peer
from minicnn.verify.comparison.result import error_of
from minicnn.verify.diagnosis.changes import INPUT, Change, class_order, of_input, of_layers, of_order
from minicnn.verify.diagnosis.result import Diagnosis
from minicnn.verify.probe import Log

__all__ = ["diagnose"]

MOST = 4  # faults that are looked for, one after another
BRANCHES = 3  # ways that are followed from one place
CONFIRMED = 8  # changes that heal one value, and are tried on all
SLACK = 10.0  # a changed network has another largest value: what heals is decided when all values are compared
MANY = 300  # changes beyond which those of single layers are tried last
FEW = 80  # changes of which every pair is tried; of more, as many that are made everywhere ...
WIDE = 40  # ... and the best of the others


def diagnose(
    net: Network,
    reference: Any = None,
    image: Any = None,
    label: int | str | None = None,
    *,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Diagnosis:
    """Find the change, or the pair of changes, that makes a network answer as it should.

    Parameters
    ----------
    net : Network
    reference : as ``peer`` in ``minicnn.verify.compare``, optional
        A dump or a program that gives all values, some, or the scores alone.
    image : a picture, optional
        What the reference saw, so that the preprocessing is searched too; the reference's input if it is a dump.
    label : int or str, optional
        Without a reference: the image's right class.
    progress : function of the changes to try, such as tqdm

    Returns
    -------
    found : Diagnosis

    Raises
    ------
    MinicnnError
        If there is neither a reference nor an image with its class, or nothing of the reference matches.

    """
    if net.input_shape is None:
        raise MinicnnError(f"diagnose: {net.name} does not say the size of its input; give it an input_shape")
    if reference is None:
        if image is None or label is None:
            raise MinicnnError("diagnose: needs a reference, or an image and the class that it shows")
        from minicnn.verify.diagnosis.from_image import by_photograph

        return by_photograph(net, image, label, progress)
    return _Search(net, as_peer(reference, net), image, progress).run()


class Place(NamedTuple):
    """Where a network diverges.

    Attributes
    ----------
    name : of the first value that does, or None
    value : the peer's
    tolerance : of its error
    suspects : names of the layers that can be at fault
    log : our values
    x : our input
    agreeing : how many of the peer's values agree before it
    score : error of the scores

    """

    name: str | None
    value: np.ndarray | None
    tolerance: float
    suspects: set[str]
    log: Log | None
    x: np.ndarray
    agreeing: int
    score: float

    @property
    def reached(self) -> tuple[bool, int]:
        """How far it agrees, to be compared."""
        return self.name is None, self.agreeing


class Way(NamedTuple):
    """Changes, the network that they make, and where that diverges."""

    changes: list[Change]
    net: Network
    place: Place


class _Search:
    def __init__(self, net: Network, peer: Peer, image: Any, progress: Callable):
        self.net, self.peer, self.image, self.progress = net, peer, image, progress
        self.tried = 0
        x = self._x(net)
        self.theirs = peer.values(x if peer.x is None else peer.x)
        for value in self.theirs:
            if not np.isfinite(value.array).all():
                what = value.name or value.kind
                raise MinicnnError(f"{peer.name}: {what!r} has NaN or infinity; nothing can be healed to that")

    def run(self) -> Diagnosis:
        start = self._place(self.net)
        self.best = Way([], self.net, start), []
        self._search(Way([], self.net, start))
        (changes, net, place), rivals = self.best
        return Diagnosis(
            self.net.name,
            self.peer.name,
            self._evidence(),
            start.name,
            _merged(changes),
            start.score,
            place.score,
            place.name is None,
            self.tried,
            rivals,
            net,
        )

    def _search(self, way: Way, rivals: tuple = ()) -> bool:
        """Heal place after place, the most promising way first; return whether that led to the end."""
        if way.place.reached > self.best[0].place.reached:
            self.best = way, _merged([change for change in rivals if change not in way.changes])
        if way.place.name is None:
            return True
        if len(way.changes) >= MOST:
            return False
        ways = self._ways(way)
        same = [
            change
            for other in ways[1:]
            for change in other.changes
            if other.place.reached == ways[0].place.reached
        ]
        return any(self._search(step, (*rivals, *same)) for step in ways[:BRANCHES])

    def _x(self, net: Network) -> np.ndarray:
        if self.image is not None:
            if net.preprocess is None:
                raise MinicnnError(f"{net.name}: does not say how an image becomes its input; give no image")
            return net.preprocess(self.image)
        return input_for(net, self.peer, None)

    def _evidence(self) -> str:
        count = len(self.theirs)
        what = "the scores alone" if count == 1 else f"{count} values"
        if self.image is not None and self.peer.x is None:
            return f"{what}, the picture prepared as {self.net.name} does"
        return what if self.image is None else f"{what} and the picture"

    def _place(self, net: Network) -> Place:
        """Return where the network diverges from the peer first."""
        x = self._x(net)
        if self.image is not None and self.peer.x is not None:
            # colours are whole numbers of 0..255, and programs round a resized one in different ways
            step = 1.5 * abs(net.preprocess.scale) / min(map(abs, net.preprocess.std))
            tolerance = max(step / max(np.abs(self.peer.x).max(), 1e-30), 1e-5)
            error = error_of(x, self.peer.x)
            if error > tolerance:
                return Place(INPUT, self.peer.x, tolerance, {INPUT}, None, x, -1, error)
            x = self.peer.x.astype(np.float32)
        log = probe.run(net, x)
        exact = probe.run(net, x, dtype=np.float64).values
        pairs = matched(log, self.theirs)
        if not pairs:
            raise MinicnnError(f"{self.peer.name}: none of its values matches one of {net.name}'s")
        allowed = tolerances(log, log, exact, self.peer.rounding)
        errors = {name: error_of(log.values[name].array, value.array) for name, value in pairs.items()}
        score = errors[next(reversed(errors))]
        suspects: set[str] = {INPUT} if self.image is not None and self.peer.x is None else set()
        agreeing = 0
        for name in log.values:
            suspects.add(name)
            if name in pairs and errors[name] > allowed[name]:
                return Place(name, pairs[name].array, allowed[name], suspects, log, x, agreeing, score)
            if name in pairs:
                agreeing, suspects = agreeing + 1, set()
        return Place(None, None, 0.0, set(), log, x, agreeing, score)

    def _ways(self, way: Way) -> list[Way]:
        """Return the ways to heal a place by one change or by two, that which agrees the farthest first."""
        tried: list[tuple[float, Change]] = []
        changes = self._changes(way.net, way.place)
        for some in _in_turn(changes):
            tried += [(self._error(way.net, (change,), way.place), change) for change in self.progress(some)]
            tried.sort(key=lambda one: one[0])
            if found := self._further(way, [(c,) for error, c in tried if error <= SLACK * way.place.tolerance]):
                return found
        for pair in self.progress(_pairs([change for _, change in tried])):
            if self._error(way.net, pair, way.place) <= SLACK * way.place.tolerance:
                if found := self._further(way, _akin(pair, changes)):
                    return found
        return []

    def _further(self, way: Way, healing: list[tuple[Change, ...]]) -> list[Way]:
        """Return those changes that agree with the peer farther than before, best first."""
        found = []
        for some in healing[:CONFIRMED]:
            try:
                found.append(Way([*way.changes, *some], *self._changed(way.net, some)))
            except MinicnnError:  # what heals one value leaves no network behind it
                continue
        further = [one for one in found if one.place.reached > way.place.reached]
        return sorted(further, key=lambda one: (one.place.reached, len(one.changes[-1].layers) > 1), reverse=True)

    def _changed(self, net: Network, changes: tuple[Change, ...]) -> tuple[Network, Place]:
        for change in changes:
            net = change.apply(net)
        return net, self._place(net)

    def _changes(self, net: Network, place: Place) -> list[Change]:
        found = of_input(net) if INPUT in place.suspects else []
        names = place.suspects - {INPUT}
        if names:
            found += [*of_layers(net, names), *of_order(net, names | set(self._after(net, place.name)))]
        last = list(place.log.values)[-1] if place.log is not None else None
        if place.name == last:
            order = class_order(net, place.log.values[last].array, place.value, 10 * place.tolerance)
            found = [order, *found] if order is not None else found
        return found

    @staticmethod
    def _after(net: Network, name: str) -> list[str]:
        i = net.names.index(name) if name in net.names else len(net.names)
        return net.names[i : i + 2]

    def _error(self, net: Network, changes: tuple[Change, ...], place: Place) -> float:
        """Return the error at the place once the changes are made; infinity where they give no network."""
        self.tried += 1
        try:
            for change in changes:
                net = change.apply(net)
            if place.name == INPUT:
                return error_of(net.preprocess(self.image), place.value)
            return error_of(self._value(net, changes, place), place.value)
        except (MinicnnError, ValueError):
            return float("inf")

    def _value(self, net: Network, changes: tuple[Change, ...], place: Place) -> np.ndarray:
        """Return the value at the place, run from the last layer that none of the changes touches."""
        touched = {name for change in changes for name in change.layers}
        x, start = (self._x(net) if INPUT in touched else place.x), 0
        for i, name in enumerate(net.names):
            if name in touched or any(other.startswith(f"{name}.") for other in touched) or INPUT in touched:
                break
            x, start = place.log.values[name].array, i + 1
        layers = net.named_layers
        end = next(i for i, n in enumerate(net.names) if place.name == n or place.name.startswith(f"{n}."))
        if start > end:
            raise MinicnnError(f"{changes[0]}: comes after {place.name}")
        log, kernels = Log(), on("reference")
        sequence.forward(probe.probed(layers[start : end + 1], log), x, kernels)
        return log.values[place.name].array


def _in_turn(changes: list[Change]) -> list[list[Change]]:
    """Return the changes in the order to try them: what a program does everywhere first, where there are many."""
    if len(changes) <= MANY:
        return [changes]
    return [[c for c in changes if _everywhere(c)], [c for c in changes if not _everywhere(c)]]


def _everywhere(change: Change) -> bool:
    return (
        len(change.layers) > 1 or change.layers == (INPUT,) or change.convention in ("class order", "flattening")
    )


def _pairs(ranked: list[Change]) -> list[tuple[Change, Change]]:
    """Return the pairs to try, those of the best single changes first: all of few; else of what is everywhere."""
    if len(ranked) > FEW:
        wide = [change for change in ranked if _everywhere(change)]
        some = {id(change) for change in [*wide[:FEW], *ranked[:WIDE]]}
        ranked = [change for change in ranked if id(change) in some]
    places = sorted(combinations(range(len(ranked)), 2), key=sum)
    pairs = [(ranked[i], ranked[j]) for i, j in places]
    return [(a, b) for a, b in pairs if a.convention != b.convention or not set(a.layers) & set(b.layers)]


def _akin(pair: tuple[Change, Change], changes: list[Change]) -> list[tuple[Change, Change]]:
    """Return the pair, and those that are the same in one layer instead of all, or in all."""
    same = [[c for c in changes if (c.convention, c.what) == (one.convention, one.what)] for one in pair]
    others = [(a, b) for a in same[0] for b in same[1] if (a, b) != pair]
    places = {name for change in pair for name in change.layers}
    return [pair, *(other for other in others if places & set(other[0].layers) and places & set(other[1].layers))]


def _merged(changes: Iterable[Change]) -> list[Change]:
    """Return the changes with those that are the same in different layers as one."""
    found: list[Change] = []
    for change in changes:
        same = [c for c in found if (c.convention, c.what) == (change.convention, change.what)]
        if same and not set(same[0].layers) & set(change.layers):
            found[found.index(same[0])] = replace(change, layers=(*same[0].layers, *change.layers))
        else:
            found.append(change)
    return found
