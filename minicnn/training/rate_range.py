"""The learning-rate range test: which learning rates a network learns at, and where its loss goes up."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from typing import NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.network import Network
from minicnn.training.data.dataset import Dataset
from minicnn.training.data.loader import Batch, Loader, generator
from minicnn.training.recipe import Recipe
from minicnn.training.run import DROPOUT
from minicnn.training.step import Trainer

__all__ = ["RateRange", "find_rate_range"]

MEMORY = 0.9  # of the smoothed loss, from step to step
STOP = 4.0  # times the least smoothed loss


class RateRange(NamedTuple):
    """The losses of a range test.

    Attributes
    ----------
    rates : list of float, the learning rates, each by the same factor larger
    losses : list of float, of the batch that the step of each rate learnt, before it
    smoothed : list of float, their moving average
    suggested : float, a tenth of the rate of the least smoothed loss

    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggested: float


def find_rate_range(
    net: Network,
    dataset: Dataset,
    recipe: Recipe | None = None,
    low: float = 1e-5,
    high: float = 10.0,
    steps: int = 100,
    seed: int = 0,
    workers: int = 0,
) -> RateRange:
    """Train a copy of a network by learning rates that rise geometrically, a step each.

    It stops when the smoothed loss is four times its least, or no number any more.

    Parameters
    ----------
    net : Network
        Stays as it is.
    dataset : Dataset
    recipe : Recipe, optional
        All but its learning rate and schedule is used.
    low, high : float, the first learning rate and the last, 0 < low < high
    steps : int, 10 or more
    seed : int, of order, augmentation and dropout
    workers : int, threads that read and change images meanwhile

    Returns
    -------
    measured : RateRange

    Raises
    ------
    MinicnnError
        If the numbers are out of their range, data and network do not fit, or the loss is no number at the first
        steps.

    References
    ----------
    Smith 2017, "Cyclical learning rates for training neural networks", section 3.3; that each rate is by the same
    factor larger, and not by the same difference, is customary since.

    Examples
    --------
    >>> from minicnn import Preprocess, layers
    >>> rng = np.random.default_rng(0)
    >>> bright = rng.integers(0, 2, 40)
    >>> pixels = np.uint8(rng.integers(0, 100, (40, 4, 4)) + 100 * bright[:, None, None])
    >>> grey = Preprocess((4, 4), channels="L", mean=(0.4,), std=(0.3,))
    >>> net = Network([layers.Flatten(), layers.Linear(16, 2)], input_shape=(1, 4, 4), preprocess=grey)
    >>> measured = find_rate_range(net, Dataset(pixels, bright), steps=20)
    >>> min(measured.losses) < measured.losses[0] / 2
    True

    """
    if not (0 < low < high < np.inf and steps >= 10):
        raise MinicnnError(
            f"find_rate_range: expected 0 < low < high and 10 steps or more, got {low:g} to {high:g} in {steps}"
        )
    recipe = recipe or Recipe()
    trainer, batches = Trainer(net, recipe), _endless(Loader(dataset, net, recipe, seed, workers))
    rates, losses, smoothed, mean = [], [], [], 0.0
    for n, rate in enumerate(np.geomspace(low, high, steps).tolist()):
        together = list(islice(batches, recipe.accumulate))
        rngs = [generator(seed, 0, DROPOUT + recipe.accumulate * n + i) for i in range(len(together))]
        try:
            # what overflows on the way to its end is no news
            with np.errstate(all="ignore"):
                loss = trainer.step(together, rate, rngs).loss
        except MinicnnError:
            if n < 2:
                raise
            break
        mean = MEMORY * mean + (1 - MEMORY) * loss
        rates.append(rate)
        losses.append(loss)
        # the average began with 0, which is divided out
        smoothed.append(mean / (1 - MEMORY ** (n + 1)))
        if smoothed[-1] > STOP * min(smoothed):
            break
    return RateRange(rates, losses, smoothed, rates[int(np.argmin(smoothed))] / 10)


def _endless(loader: Loader) -> Iterator[Batch]:
    for epoch in count():
        yield from loader.epoch(epoch)
