"""How well a network does on a data set: loss and accuracy, of one view of each image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.kernels import reference
from minicnn.network import Network
from minicnn.training.data.dataset import Dataset
from minicnn.training.data.loader import Loader
from minicnn.training.loss import cross_entropy
from minicnn.training.recipe import Recipe

__all__ = ["Measured", "measure", "measure_batches"]


class Measured(NamedTuple):
    """Mean loss and accuracy.

    Attributes
    ----------
    loss : float, mean cross-entropy, without label smoothing
    accuracy : float, share of images whose highest score is their class

    """

    loss: float
    accuracy: float


def measure(net: Network, dataset: Dataset, batch_size: int = 256, workers: int = 0) -> Measured:
    """Measure a network, without augmentation and dropout, its running statistics in its normalisations.

    Raises
    ------
    MinicnnError
        If an image can't be read.

    Examples
    --------
    >>> import minicnn
    >>> seven = np.zeros((1, 28, 28), np.uint8)
    >>> seven[0, 6, 8:20] = seven[0, 6:22, 19] = 255
    >>> measure(minicnn.load("digits"), Dataset(seven, [7])).accuracy
    1.0

    """
    return measure_batches(net, Loader(dataset, net, Recipe(batch_size=batch_size), 0, workers))


def measure_batches(net: Network, loader: Loader) -> Measured:
    """Measure a network on the images of a loader, in their order."""
    loss, correct, count = 0.0, 0, len(loader.dataset)
    for x, classes in loader.in_order():
        scores = net(x)
        wanted = np.zeros(scores.shape)
        wanted[np.arange(len(classes)), classes] = 1
        loss += cross_entropy(scores, wanted, reference)[0] * len(classes)
        correct += int((scores.argmax(axis=1) == classes).sum())
    return Measured(loss / count, correct / count)
