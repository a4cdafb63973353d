"""Which convention is wrong: weights that load and compute wrong scores, compared with a reference or an image.

The value that diverges first names the layers that can be at fault; every known change of those is run from the
last value that agrees to the first that does not, then pairs of them.  What heals it is kept and the search goes
on behind it, so that two faults in two layers cost two searches for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn._utils.types import ImageLike, Progress
from minicnn.errors import MinicnnError
from minicnn.kernels import on
from minicnn.layers import sequence
from minicnn.layers.graph import rename_inputs
from minicnn.network import Network
from minicnn.network.check_weights import check_weights
from minicnn.verify import probe
from minicnn.verify.comparison.both import (
    ask,
    find_answer,
    measure_repetition,
    our_answers,
    peer_dtype,
    tolerances,
)
from minicnn.verify.comparison.distance import distance, relative_error
from minicnn.verify.comparison.inputs import fix_shape, input_for
from minicnn.verify.comparison.matching import match
from minicnn.verify.comparison.peers.base import Peer
from minicnn.verify.comparison.peers.registry import as_peer
from minicnn.verify.comparison.result import ANSWER, locate
from minicnn.verify.diagnosis.changes import (
    INPUT,
    Change,
    apply_changes,
    class_order_change,
    count_untouched,
    layer_changes,
    order_changes,
    preprocessing_changes,
)
from minicnn.verify.diagnosis.divergence import Candidate, Divergence, describe_end
from minicnn.verify.diagnosis.epsilon import epsilon_changes
from minicnn.verify.diagnosis.from_image import diagnose_from_image
from minicnn.verify.diagnosis.ranking import merge, pair_variants, pairs, prioritise
from minicnn.verify.diagnosis.result import Diagnosis
from minicnn.verify.image_input import as_input, is_input
from minicnn.verify.probe import Log
from minicnn.verify.rounding import UNITS

__all__ = ["diagnose"]

MAX_CHANGES = 4  # that are made, one after another
MAX_BRANCHES = 3  # ways that are followed from one divergence
MAX_CONFIRMED = 8  # changes that heal one value, and are tried on all
CLOSE = 1e-3  # what two calls with one input may differ by
SLACK = 10.0  # a changed network has another largest value: what heals is decided when all values are compared

Changes = tuple[Change, ...]


def diagnose(
    net: Network,
    peer: Any = None,
    x: np.ndarray | ImageLike | None = None,
    target: int | str | None = None,
    *,
    progress: Progress = iter,
) -> Diagnosis:
    """Find the change, or the pair of changes, that makes a network compute what it should.

    Parameters
    ----------
    net : Network
    peer : as in ``minicnn.verify.compare``, optional
        A dump or a program that gives all values, some, or the scores alone.
    x : path, PIL.Image, or uint8 array of shape (H, W, 3); or float array of shape (N, C, H, W), optional
        The image that the peer saw, so that the preprocessing is searched too; or the input, where that is right.
    target : int or str, optional
        Without a peer: the image's right class.
    progress : function of the changes to try, such as tqdm

    Returns
    -------
    Diagnosis

    Raises
    ------
    MinicnnError
        If there is neither a peer nor an image with its class, or nothing of the peer matches.

    See Also
    --------
    compare : where two programs differ, without a search for the reason

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Network
    >>> from minicnn.layers import Conv2d, Flatten, LeakyReLU, Linear
    >>> from minicnn.verify import diagnose
    >>> right = Network([Conv2d(1, 2, 3), LeakyReLU(0.01), Flatten(), Linear(8, 3)], input_shape=(1, 4, 4))
    >>> wrong = right.with_layers([(name, LeakyReLU(0.2) if name == "1" else layer)
    ...                            for name, layer in right.named_layers])
    >>> diagnosis = diagnose(wrong, lambda x: right(x))
    >>> [str(change) for change in diagnosis.changes], diagnosis.healed
    (['rectifier: slope 0.01 (1)'], True)

    """
    check_weights(net.state_dict())
    given = x if isinstance(x, np.ndarray) and is_input(x) else None
    image = x if given is None else None
    if peer is not None:
        peer = as_peer(peer, net)
        seen = given if peer.x is None else peer.x
        net = fix_shape(net, peer.input_shape if seen is None else seen.shape[1:])
        return _Search(net, peer, given, image, progress).run()
    if image is None or target is None:
        raise MinicnnError("diagnose: needs a peer, or an image and the class that it shows")
    return diagnose_from_image(net, image, target, progress)


class _Search:
    """The search for the changes after which a network agrees with the peer; ``run`` runs it once."""

    def __init__(
        self, net: Network, peer: Peer, x: np.ndarray | None, image: ImageLike | None, progress: Progress
    ):
        self.net, self.peer, self.x, self.image, self.progress = net, peer, x, image, progress
        self.tried = 0
        self.equivalent: list[Change] = []  # to the best candidate's changes
        x = self._input(net)
        self.theirs = ask(net, peer, x)
        difference = measure_repetition(net, peer, x, self.theirs)
        if difference > CLOSE:
            raise MinicnnError(
                f"{peer.name}: is not deterministic: two calls with the same input differ by {difference:.2g}; "
                "nothing can be healed to that"
            )
        for value in self.theirs:
            if not np.isfinite(value.array).all():
                what = value.name or value.kind
                raise MinicnnError(f"{peer.name}: {what!r} has NaN or infinity; nothing can be healed to that")

    def run(self) -> Diagnosis:
        start = self._divergence(self.net)
        self.best = Candidate([], self.net, start)
        self._search(self.best)
        return Diagnosis(
            subject=self.net.name,
            reference=self.peer.name,
            evidence=self._describe_evidence(),
            first=start.name,
            where=start.where,
            tensors=start.tensors,
            changes=merge(self.best.changes),
            before=start.score,
            after=self.best.divergence.score,
            healed=self.best.divergence.name is None,
            tried=self.tried,
            equivalent=self.equivalent,
            net=self.best.net,
            answer=describe_end(self.best, self.theirs),
        )

    def _search(self, candidate: Candidate, equivalent: Changes = ()) -> bool:
        """Heal one divergence after another, the most promising way first; return whether that led to the end."""
        # the best so far is kept, though its way may not lead to the end
        if candidate.divergence.progress > self.best.divergence.progress:
            self.best = candidate
            self.equivalent = merge(change for change in equivalent if change not in candidate.changes)
        if candidate.divergence.name is None:
            return True
        if len(candidate.changes) >= MAX_CHANGES:
            return False
        further = self._heal(candidate)
        # ways that agree equally far: this evidence can't tell which of them is right
        ties = [other for other in further[1:] if other.divergence.progress == further[0].divergence.progress]
        equivalent = (*equivalent, *(change for other in ties for change in other.changes))
        return any(self._search(other, equivalent) for other in further[:MAX_BRANCHES])

    def _input(self, net: Network) -> np.ndarray:
        if self.image is None:
            return input_for(net, self.peer, self.x)
        return input_for(net, self.peer, as_input(net, self.image, "diagnose"))

    def _describe_evidence(self) -> str:
        count = len(self.theirs)
        what = "the scores alone" if count == 1 else f"{count} values"
        if self.image is not None and self.peer.x is None:
            return f"{what}, the picture prepared as {self.net.name} does"
        return what if self.image is None else f"{what} and the picture"

    def _divergence(self, net: Network) -> Divergence:
        """Return where the network diverges from the peer first."""
        x = self._input(net)
        if self.image is not None and self.peer.x is not None:
            assert net.preprocess is not None  # _input refuses a network without
            # colours are whole numbers of 0..255, and programs round a resized one in different ways
            step = 1.5 * abs(net.preprocess.scale) / min(map(abs, net.preprocess.std))
            tolerance = max(step / max(np.abs(self.peer.x).max(), 1e-30), 1e-5)
            error = relative_error(x, self.peer.x)
            if error > tolerance:
                return Divergence(INPUT, self.peer.x, tolerance, {INPUT}, Log(), x, -1, error)
            x = self.peer.x.astype(np.float32)
        log = probe.run(net, x)
        exact = probe.run(net, x, dtype=np.float64).values
        matches = match(list(log.values.values()), self.theirs)
        dtype = peer_dtype(self.theirs, self.peer)
        dtype, rounded = (dtype, probe.run(net, x, rounded_to=dtype)) if dtype in UNITS else ("float32", None)
        limits = tolerances(log, log, exact, self.peer.rounding, dtype, rounded)
        errors = {name: relative_error(log.values[name].array, value.array) for name, value in matches.items()}
        # matches come in the order of the computation, the scores last
        score = errors[next(reversed(errors))] if errors else float("inf")
        for agreeing, name in enumerate(matches):
            # the first divergence: all layers since the values before it, which agree, may be at fault
            if errors[name] > limits[name]:
                since = log.made_since(name, matches)
                # without the peer's input nothing before the first value shows wrong preprocessing
                hidden = set() if self.image is not None and self.peer.x is None else {INPUT}
                return Divergence(
                    name,
                    matches[name].array,
                    limits[name],
                    {name, *since} - hidden,
                    log,
                    x,
                    agreeing,
                    score,
                    locate(name, since),
                    matches,
                )
        agreeing = len(matches)
        # the layers may agree, and what comes after them not
        if (answer := find_answer(self.theirs, net, log.values)) is not None:
            ours = min(our_answers(net, log.values).values(), key=lambda value: distance(value.array, answer))
            if (error := distance(ours.array, answer)) > limits[ours.name]:
                return Divergence(ANSWER, answer.array, limits[ours.name], set(), log, x, agreeing, error)
        return Divergence(None, np.empty(0), 0.0, set(), log, x, agreeing, score)

    def _heal(self, candidate: Candidate) -> list[Candidate]:
        """Return the ways to heal a divergence by one change or by two, that which agrees the farthest first."""
        limit = SLACK * candidate.divergence.tolerance
        tried: list[tuple[float, Change]] = []
        changes = self._changes(candidate)
        for some in prioritise(changes):
            tried += [(self._error(candidate, (change,)), change) for change in self.progress(some)]
            tried.sort(key=lambda pair: pair[0])
            if further := self._confirm(candidate, [(change,) for error, change in tried if error <= limit]):
                return further
        # no single change heals: now two at a time, those first that came nearest by themselves
        for pair in self.progress(pairs([change for _, change in tried])):
            if self._error(candidate, pair) <= limit:
                if further := self._confirm(candidate, pair_variants(pair, changes)):
                    return further
        return []

    def _confirm(self, candidate: Candidate, healing: Sequence[Changes]) -> list[Candidate]:
        """Return those changes after which the network agrees with the peer farther than before, best first."""
        further = []
        for changes in healing[:MAX_CONFIRMED]:
            try:
                net = apply_changes(candidate.net, changes)
                other = Candidate([*candidate.changes, *changes], net, self._divergence(net))
            except MinicnnError:  # what heals one value leaves no network behind it
                continue
            if other.divergence.progress > candidate.divergence.progress:
                further.append(other)
        # of as good ones, that which is made in several layers: a program does a thing everywhere
        return sorted(further, key=lambda c: (c.divergence.progress, len(c.changes[-1].layers) > 1), reverse=True)

    def _changes(self, candidate: Candidate) -> list[Change]:
        net, divergence = candidate.net, candidate.divergence
        changes = preprocessing_changes(net) if INPUT in divergence.suspects else []
        names = divergence.suspects - {INPUT}
        if names:
            changes += [*layer_changes(net, names), *order_changes(net, names | _neighbours(net, divergence.name))]
            seen = epsilon_changes(net, divergence.x, self.theirs, divergence.pairs)
            known = [(change.what, change.layers) for change in changes]
            changes += [c for c in seen if names & set(c.layers) and (c.what, c.layers) not in known]
        last = next(reversed(divergence.log.values), None)
        if last is not None and divergence.name == last:
            ours = divergence.log.values[last].array
            order = class_order_change(net, ours, divergence.value, 10 * divergence.tolerance)
            changes = [order, *changes] if order is not None else changes
        return changes

    def _error(self, candidate: Candidate, changes: Changes) -> float:
        """Return the error of the diverging value after the changes; infinity where they give no network."""
        self.tried += 1
        divergence = candidate.divergence
        try:
            net = apply_changes(candidate.net, changes)
            if divergence.name == INPUT:
                return relative_error(self._input(net), divergence.value)
            return relative_error(self._value(net, changes, divergence), divergence.value)
        except (MinicnnError, ValueError):
            return float("inf")

    def _value(self, net: Network, changes: Changes, divergence: Divergence) -> np.ndarray:
        """Return the diverging value, run from the last layer that none of the changes touches."""
        layers, target = net.named_layers, str(divergence.name)
        end = next(i for i, name in enumerate(net.names) if target == name or target.startswith(f"{name}."))
        # what lies before the first layer that changes is in the log and need not run again
        start = count_untouched(net, changes, end + 1)
        if start > end:
            raise MinicnnError(f"{changes[0]}: comes after {target}")
        before = net.names[start - 1] if start else INPUT
        x = (
            divergence.log.values[before].array
            if start
            else self._input(net)
            if any(INPUT in change.layers for change in changes)
            else divergence.x
        )
        part = rename_inputs(layers[start : end + 1], {before: INPUT})
        log, kernels = Log(), on("reference")
        sequence.forward(probe.insert_probes(part, log), x, kernels)
        return log.values[target].array


def _neighbours(net: Network, name: str | None) -> set[str]:
    """Return the names of a layer and of the one behind it."""
    i = net.names.index(name) if name in net.names else len(net.names)
    return set(net.names[i : i + 2])
