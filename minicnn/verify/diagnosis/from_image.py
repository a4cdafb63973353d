"""The wrong convention by one image and its right class alone: weak evidence, and said to be."""

from __future__ import annotations

from collections.abc import Sized
from math import inf, log
from typing import NamedTuple

import numpy as np

from minicnn._utils.types import ImageLike, Progress
from minicnn.errors import MinicnnError
from minicnn.explain.prediction import class_index
from minicnn.layers.graph import rename_inputs
from minicnn.network import Network
from minicnn.verify import probe
from minicnn.verify.diagnosis.changes import (
    INPUT,
    Change,
    apply_changes,
    count_untouched,
    layer_changes,
    order_changes,
    preprocessing_changes,
)
from minicnn.verify.diagnosis.result import Diagnosis

__all__ = ["diagnose_from_image"]

MAX_CHANGES = 500  # beyond so many, those of single layers are left out
MAX_PAIRED = 5  # changes that pairs are made of
SURE = 0.5  # a class of that probability is right as it is
GAIN = 1.0  # what a pair must add to the best single change, in units of log probability


class _Trial(NamedTuple):
    """Changes, and minus the logarithm of the class's probability with them; a pair's is raised by GAIN."""

    loss: float
    changes: tuple[Change, ...]


def diagnose_from_image(net: Network, image: ImageLike, label: int | str, progress: Progress) -> Diagnosis:
    """Return the change, or pair, under which the right class has the highest probability.

    ``label`` is the class's number or name; the other arguments are those of ``diagnose``.
    """
    scores = _scores(net, image)
    target = class_index(net, label, len(scores))
    before = _negative_log_likelihood(scores, target)
    # a class that is on top, or probable enough, gives no reason to search
    sound = before <= -log(SURE) or int(scores.argmax()) == target
    trials = [] if sound else _try_changes(net, image, target, progress)
    best = trials[0] if trials and trials[0].loss < before - GAIN else _Trial(before, ())
    equivalent: dict[str, Change] = {}
    if best.changes:
        # changes that do nearly as well, which one picture can't tell apart
        near = [trial for trial in trials[1:6] if trial.loss <= best.loss + GAIN]
        equivalent = {str(c): c for trial in near for c in trial.changes if c not in best.changes}
    healed = apply_changes(net, best.changes)
    scores = _scores(healed, image) if best.changes else scores
    tried = max(len(trials), 1)
    return Diagnosis(
        subject=net.name,
        reference="the picture",
        evidence=f"one picture of {label!r} and no reference",
        first=None if sound else "the class of the picture",
        changes=list(best.changes),
        before=before,
        after=_negative_log_likelihood(scores, target),
        healed=sound or int(scores.argmax()) == target,
        tried=tried,
        equivalent=list(equivalent.values()),
        net=healed,
        weak=_describe_weakness(tried, equivalent),
    )


def _try_changes(net: Network, image: ImageLike, target: int, progress: Progress) -> list[_Trial]:
    """Try every single change, and pairs with the best of them; best first."""
    network_wide = [*preprocessing_changes(net), *order_changes(net)]
    changes = [*network_wide, *layer_changes(net)]
    if len(changes) > MAX_CHANGES:
        changes = [c for c in changes if len(c.layers) > 1 or c in network_wide or c.convention == "class order"]
    # a program that differs in a convention differs in it everywhere
    shared = [*network_wide, *(change for change in changes if len(change.layers) > 1)]
    passes = _Passes(net, image, target, len(changes) + MAX_PAIRED * len(shared))
    trials = [_Trial(passes.loss(net, (change,)), (change,)) for change in progress(changes)]
    trials.sort(key=lambda trial: trial.loss)
    # the best single changes, each with those that would touch the whole network
    pairs = [(a, b) for _, (a,) in trials[:MAX_PAIRED] for b in shared if b is not a]
    trials += [_Trial(passes.loss(net, pair) + GAIN, pair) for pair in progress(pairs)]
    return sorted(trials, key=lambda trial: trial.loss)


def _negative_log_likelihood(scores: np.ndarray, target: int) -> float:
    """Return minus the logarithm of the class's probability; infinity where scores are not finite."""
    if not np.isfinite(scores).all():
        return inf
    # -log softmax: log sum exp(s) - s_target
    return float(np.logaddexp.reduce(scores) - scores[target])


def _scores(net: Network, image: ImageLike) -> np.ndarray:
    if net.preprocess is None:
        raise MinicnnError(f"{net.name}: does not say how an image becomes its input; say it before asking why")
    # a wrong reading may overflow, which counts against it and is no error
    return net.forward(net.preprocess(image), allow_nonfinite=True)[0].reshape(-1).astype(np.float64)


class _Passes:
    """The class's loss in changed networks; what comes before the first change is computed once."""

    def __init__(self, net: Network, image: ImageLike, target: int, count: int):
        self.image, self.target, self.device = image, target, net.to("auto", images=count).device
        assert net.preprocess is not None  # whose scores are known
        self.names, self.values = net.names, probe.run(net, net.preprocess(image)).values

    def loss(self, net: Network, changes: tuple[Change, ...]) -> float:
        """Return minus the logarithm of the class's probability; infinity where the changes give no network."""
        try:
            return _negative_log_likelihood(self._scores(apply_changes(net, changes), changes), self.target)
        except (MinicnnError, ValueError):
            return inf

    def _scores(self, net: Network, changes: tuple[Change, ...]) -> np.ndarray:
        start = count_untouched(net, changes)
        # a change may add layers, which nothing is known of
        if not start or start == len(net.names) or net.names[:start] != self.names[:start]:
            return _scores(net.to(self.device), self.image)
        before = net.names[start - 1]
        x = self.values[before].array
        rest = rename_inputs(net.named_layers[start:], {before: INPUT})
        part = Network(rest, input_shape=x.shape[1:]).to(self.device)
        return part.forward(x, allow_nonfinite=True)[0].reshape(-1).astype(np.float64)


def _describe_weakness(tried: int, equivalent: Sized) -> str:
    chance = f"with {tried} changes tried one may put the class on top by luck" if tried > 1 else "one class"
    others = f", and {len(equivalent)} others do nearly as well" if equivalent else ""
    return f"Weak evidence: one picture; {chance}{others}. Scores of the original program would settle it."
