"""Batches, made by background threads while the last one trains.

Which images a batch has, and how each is changed, follow from the seed, the epoch and the image's number alone:
the number of workers changes nothing but the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

import numpy as np

from minicnn.errors import ImageError, MinicnnError
from minicnn.images import Preprocess
from minicnn.layers import sequence
from minicnn.network import Network
from minicnn.training.data.augment import augment, mix, principal_colours
from minicnn.training.data.background import made_ahead
from minicnn.training.data.dataset import Dataset
from minicnn.training.loss import class_weights, make_targets
from minicnn.training.recipe import Recipe

__all__ = ["Batch", "Loader", "generator"]

KEPT = 1 << 31  # bytes of resized images that are kept, so that later epochs need not read files again


class Batch(NamedTuple):
    """What a pass is given.

    Attributes
    ----------
    x : array of shape (N, C, H, W)
    targets : array of shape (N, K), what is wanted of each image
    classes : ints of shape (N,)
    numbers : ints of shape (N,), the images' in the data set

    """

    x: np.ndarray
    targets: np.ndarray
    classes: np.ndarray
    numbers: np.ndarray


def generator(seed: int, *place: int) -> np.random.Generator:
    """Return a random generator that belongs to a place: an epoch, an image, a step."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *place])))


class Loader:
    """Makes batches of a data set for a network.

    Parameters
    ----------
    dataset : Dataset
    net : Network, which says how an image becomes an input, and how many scores there are
    recipe : Recipe
    seed : int
    workers : int
        Threads; 0 makes each batch when it is asked for.
    keep_images : bool
        Whether images, resized, are kept where they are not too large, for later epochs.

    Attributes
    ----------
    features : array of shape (N, ...), or None
        What batches hold in the images' place.

    Raises
    ------
    MinicnnError
        If the network has no preprocessing, or fewer scores than the data set has classes.

    """

    def __init__(
        self,
        dataset: Dataset,
        net: Network,
        recipe: Recipe,
        seed: int,
        workers: int,
        keep_images: bool = True,
    ) -> None:
        self.dataset, self.recipe, self.seed, self.workers = dataset, recipe, seed, workers
        num_classes, self._preprocess = _check_fit(net, dataset)
        self._weights = class_weights(recipe.loss.class_weights, dataset.classes, dataset.labels, num_classes)
        size = len(dataset) * prod(self._preprocess.size) * self._preprocess.depth
        self._images: dict[int, np.ndarray] | None = {} if keep_images and size <= KEPT else None
        self.features: np.ndarray | None = None
        self.fill = self._preprocess.zero_pixel()
        self._colours = self._find_colours() if recipe.augment.colour else None

    def batches_per_epoch(self) -> int:
        """How many batches an epoch has, the last of which may be smaller."""
        return -(-len(self.dataset) // self.recipe.batch_size)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch in order, from batch ``first`` on."""
        order, size = generator(self.seed, epoch).permutation(len(self.dataset)), self.recipe.batch_size
        parts = [order[i * size : (i + 1) * size] for i in range(first, self.batches_per_epoch())]
        return made_ahead(lambda numbers: self._batch(epoch, numbers), parts, self.workers)

    def in_order(self, size: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (x, classes) of all images in their own order, none changed; ``size`` images at a time."""
        size = size or self.recipe.batch_size
        parts = np.split(np.arange(len(self.dataset)), range(size, len(self.dataset), size))

        def plain(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            x = np.stack([self._unchanged(int(i)) for i in numbers])
            return x, self.dataset.classes[numbers]

        return made_ahead(plain, parts, self.workers)

    def _batch(self, epoch: int, numbers: np.ndarray) -> Batch:
        x = np.stack([self._example(epoch, int(i)) for i in numbers])
        classes = self.dataset.classes[numbers]
        targets = make_targets(classes, self._weights, self.recipe.loss.label_smoothing)
        if self.recipe.augment.mixup:
            # the batch's first image stands for it
            rng = generator(self.seed, epoch, len(self.dataset) + int(numbers[0]))
            x, targets = mix(x, targets, rng, self.recipe.augment.mixup)
        return Batch(x, targets, classes, numbers)

    def _unchanged(self, i: int) -> np.ndarray:
        return self._preprocess.normalise(self.resized(i)) if self.features is None else self.features[i]

    def _example(self, epoch: int, i: int) -> np.ndarray:
        if self.features is not None:
            return self.features[i]
        return self._preprocess.normalise(self.augmented(epoch, i))

    def augmented(self, epoch: int, i: int) -> np.ndarray:
        """Return image i as an epoch changes it, (H, W, C) float32 of 0 ... 255, before it is mixed."""
        rng = generator(self.seed, epoch, i)
        return augment(self.resized(i), rng, self.recipe.augment, self.fill, self._colours)

    def resized(self, i: int) -> np.ndarray:
        """Return an image at the input's size, (H, W, C) uint8."""
        if self._images is not None and i in self._images:
            return self._images[i]
        try:
            image, _ = self.dataset[i]
            image = self._preprocess.pixels(image[..., 0] if image.shape[2] == 1 else image)
        except ImageError as error:
            raise MinicnnError(f"{self.dataset.explain(i, error)}; --skip-broken leaves such files out") from None
        if self._images is not None:
            self._images[i] = image
        return image

    def _find_colours(self) -> np.ndarray:
        """Principal colours of at most a thousand images, evenly spaced."""
        chosen = np.unique(np.linspace(0, len(self.dataset) - 1, 1000).astype(np.int64))
        return principal_colours([self.resized(int(i)) for i in chosen])


def _check_fit(net: Network, dataset: Dataset) -> tuple[int, Preprocess]:
    """Return how many scores there are, and how an image becomes an input; MinicnnError where these do not fit."""
    if net.preprocess is None or net.input_shape is None:
        raise MinicnnError(
            "training: the network has no preprocessing or no input shape, which say how an image becomes its "
            "input; give Network(..., input_shape=..., preprocess=...)"
        )
    scores = sequence.output_shape(sequence.before_softmax(net.named_layers), net.input_shape)
    classes = int(dataset.classes.max()) + 1
    if len(scores) != 1 or classes > scores[0]:
        raise MinicnnError(
            f"training: the network gives scores of shape {scores}, and the data set has {classes} classes; "
            "expected one score a class: replace its last layer"
        )
    return scores[0], net.preprocess
