"""How much of a map is on the pixels that matter, where one knows which do."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minicnn.evaluate.synthetic.classifier import accuracy, small_net, train
from minicnn.evaluate.synthetic.tetrominoes import SIDE, Pictures, draw_pictures
from minicnn.network import Network

__all__ = ["Trained", "known_truth_precisions", "precision", "trained_network"]

TRAINING, TESTING, EPOCHS = 2000, 1000, 8  # pictures, and how often the training ones are seen


class Trained(NamedTuple):
    """A net that has learnt a scenario.

    Attributes
    ----------
    net : Network
    accuracy : float in [0, 1], on the test pictures
    test : Pictures that it has not seen

    """

    net: Network
    accuracy: float
    test: Pictures


@functools.cache
def trained_network(scenario: str, background: str, seed: int = 0) -> Trained:
    """Return the small net trained on a scenario, seconds of work, and test pictures; kept for the next call."""
    # three streams of one seed: training pictures, test pictures, and the net's parameters with its batches
    known, test = (draw_pictures(scenario, background, n, seed + k) for k, n in ((0, TRAINING), (1000, TESTING)))
    net = train(small_net(SIDE, seed=seed), known.x, known.labels, EPOCHS, seed)
    return Trained(net, accuracy(net, test.x, test.labels), test)


def known_truth_precisions(
    explain: Callable[[Network, np.ndarray, int], np.ndarray], trained: Trained, count: int
) -> list[float]:
    """Precisions of a method's maps on the first ``count`` test pictures whose class the net sees.

    Parameters
    ----------
    explain : function of a network, an input (1, 1, 8, 8) and the class that returns its map (H, W)
    trained : Trained
    count : int

    """
    net, _, test = trained
    seen = np.flatnonzero(net(test.x).argmax(axis=1) == test.labels)[:count]
    return [precision(explain(net, test.x[n : n + 1], int(test.labels[n])), test.truth[n]) for n in seen]


def precision(map: np.ndarray, truth: np.ndarray) -> float:
    """Share of a map's k largest values that lie on the k pixels that matter.

    Where values at the border of the k largest are equal, each of them counts by the probability with which it is
    drawn; a map that is the same everywhere has the share of a random one.

    Parameters
    ----------
    map : array of shape (H, W), not negative
    truth : bool array of shape (H, W), true at k pixels

    References
    ----------
    .. [1] Clark, Wilming, Haufe 2023, "XAI-TRIS: non-linear benchmarks to quantify ML explanation performance",
       section 4.1.

    Examples
    --------
    >>> precision(np.array([[5.0, 1.0], [4.0, 0.0]]), np.array([[True, True], [False, False]]))
    0.5

    """
    k = int(truth.sum())
    border = np.partition(map, map.size - k, axis=None)[map.size - k]
    above, equal = map > border, map == border
    # what is left of the k after those above the border is shared among those on it
    drawn = (k - above.sum()) / equal.sum()
    return float((truth & above).sum() + drawn * (truth & equal).sum()) / k
