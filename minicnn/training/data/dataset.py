"""Data sets: images, each of one class, from the layouts that people have."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicnn._utils.missing import missing_file
from minicnn._utils.types import PathLike
from minicnn.errors import ImageError, MinicnnError
from minicnn.images import load_image
from minicnn.training.data import layouts
from minicnn.training.data.background import count_processors, made_ahead

__all__ = ["Broken", "Dataset", "read_dataset"]

STEP = 1024  # images that are read at once for the digest


class Broken(NamedTuple):
    """An image that can't be read: its name, and why."""

    name: str
    fault: str


class Dataset:
    """Images, each of one class: ``len(dataset)``, ``dataset[i]``.

    Parameters
    ----------
    images : array of shape (N, H, W) or (N, H, W, C), uint8, or a list of N paths
        Files are read when they are asked for.
    classes : ints of shape (N,), 0 .. K - 1
    labels : list of K str, optional
        Names of the classes; numbers unless given.

    Attributes
    ----------
    broken : tuple of Broken
        Images that ``without_broken`` left out.

    Raises
    ------
    MinicnnError
        If images and classes do not belong together, or there are none.

    Examples
    --------
    >>> dataset = Dataset(np.zeros((2, 28, 28), np.uint8), [7, 1])
    >>> image, number = dataset[0]
    >>> len(dataset), image.shape, number, len(dataset.labels)
    (2, (28, 28, 1), 7, 8)

    """

    def __init__(
        self,
        images: np.ndarray | Sequence[PathLike],
        classes: Sequence[int] | np.ndarray,
        labels: Sequence[str] = (),
    ) -> None:
        self._store, self.classes = images, _check_classes(classes, len(images), len(labels))
        self.labels = list(labels) or [str(n) for n in range(int(self.classes.max()) + 1)]
        self.broken: tuple[Broken, ...] = ()
        # which of the images each is: a part of a data set that is larger than memory copies none of it
        self._rows = np.arange(len(images))
        if isinstance(images, np.ndarray) and (images.dtype != np.uint8 or images.ndim not in (3, 4)):
            raise MinicnnError(
                f"data set: images: expected uint8 of shape (N, H, W) or (N, H, W, C), got {images.dtype} of "
                f"shape {images.shape}"
            )

    @property
    def images(self) -> np.ndarray | list[PathLike]:
        """The images, in memory, or their paths."""
        store = self._store
        return store[self._rows] if isinstance(store, np.ndarray) else [store[int(row)] for row in self._rows]

    def __len__(self) -> int:
        """Return N."""
        return len(self.classes)

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        """Return (image of shape (H, W, C), uint8, its class); ImageError where a file can't be read."""
        image = self.source(i)
        pixels = image if isinstance(image, np.ndarray) else np.asarray(load_image(image))
        return pixels[..., None] if pixels.ndim == 2 else pixels, int(self.classes[i])

    def source(self, i: int) -> Path | np.ndarray:
        """Return image i as it is kept: its path, or its pixels (H, W) or (H, W, C)."""
        image = self._store[self._rows[i]]
        if not isinstance(image, np.ndarray):
            return Path(image)
        return image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image

    def name(self, i: int) -> str:
        """Return what image i is called in messages: its path, or its number."""
        row = self._rows[i]
        return f"image {row}" if isinstance(self._store, np.ndarray) else str(self._store[row])

    def explain(self, i: int, error: ImageError) -> str:
        """Return what is wrong with image i, and its name, once."""
        return str(error) if self.name(i) in str(error) else f"{self.name(i)}: {error}"

    def subset(self, numbers: Sequence[int] | np.ndarray) -> Dataset:
        """Return the data set of some of the images, the classes kept.

        Examples
        --------
        >>> Dataset(np.zeros((3, 4, 4), np.uint8), [0, 1, 2]).subset([2, 0]).classes.tolist()
        [2, 0]

        """
        chosen = np.asarray(numbers, np.int64)
        part = copy(self)
        part._rows, part.classes = self._rows[chosen], _check_classes(self.classes[chosen], len(chosen), 0)
        return part

    def without_broken(self, workers: int | None = None) -> Dataset:
        """Return the data set of the images that can be read whole; its ``broken`` names the others.

        Each file is read once, so that what is learnt from follows from the files alone.

        Parameters
        ----------
        workers : int, optional
            Threads that read; as many as processors unless given.

        Raises
        ------
        MinicnnError
            If no image is left.

        """
        if isinstance(self._store, np.ndarray):
            return self
        faults = list(made_ahead(self._find_fault, range(len(self)), workers or count_processors()))
        broken = tuple(fault for fault in faults if fault is not None)
        if len(broken) == len(self):
            raise MinicnnError(f"all of {len(self)} images are broken, the first of them: {broken[0].fault}")
        whole = self.subset([i for i, fault in enumerate(faults) if fault is None])
        whole.broken = broken
        return whole

    def _find_fault(self, i: int) -> Broken | None:
        try:
            self[i]
        except ImageError as error:
            return Broken(self.name(i), str(error).removeprefix(f"{self.name(i)}: "))
        return None

    def with_labels(self, labels: Sequence[str]) -> Dataset:
        """Return the data set with its classes numbered as in ``labels``, where it may have only some of them.

        Raises
        ------
        MinicnnError
            If it has a class that is none of them.

        Examples
        --------
        >>> dataset = Dataset(np.zeros((2, 4, 4), np.uint8), [0, 1], ["cat", "owl"])
        >>> dataset.with_labels(["ape", "cat", "owl"]).classes
        array([1, 2])

        """
        unknown = [self.labels[k] for k in np.unique(self.classes) if self.labels[k] not in labels]
        if unknown:
            raise MinicnnError(
                f"data set: {unknown[0]!r} is none of the {len(labels)} classes that are learnt, "
                f"{', '.join(map(repr, labels[:3]))}, ...; expected the same names"
            )
        number = {label: k for k, label in enumerate(labels)}
        renumbered = copy(self)
        renumbered.classes = np.array([number.get(label, -1) for label in self.labels])[self.classes]
        renumbered.labels = list(labels)
        return renumbered

    def split(self, share: float, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Return two data sets, the second of ``share`` of each class's images, chosen by ``seed``.

        Raises
        ------
        MinicnnError
            If one of the two would be empty.

        Examples
        --------
        >>> train, held_out = Dataset(np.zeros((20, 4, 4), np.uint8), [0] * 10 + [1] * 10).split(0.2)
        >>> len(train), held_out.classes.tolist()
        (16, [0, 0, 1, 1])

        """
        rng = np.random.default_rng(seed)
        of_class = (rng.permutation(np.flatnonzero(self.classes == k)) for k in range(len(self.labels)))
        held_out = np.sort(np.concatenate([numbers[: round(share * len(numbers))] for numbers in of_class]))
        if not 0 < len(held_out) < len(self):
            raise MinicnnError(
                f"data set: {share:g} of the images of each class are {len(held_out)} of {len(self)} in all; "
                "expected some to learn and some to hold out: another share, or 0 to learn all"
            )
        return self.subset(np.setdiff1d(np.arange(len(self)), held_out)), self.subset(held_out)

    def digest(self) -> str:
        """Return sha256 of classes and pixels, or of classes and the files' names and sizes."""
        digest = hashlib.sha256(self.classes.tobytes() + "\n".join(self.labels).encode())
        if isinstance(self._store, np.ndarray):
            for first in range(0, len(self), STEP):
                digest.update(np.ascontiguousarray(self._store[self._rows[first : first + STEP]]).data)
        else:
            for path in map(Path, self.images):
                # the last two names: a data set that was moved is still the same
                digest.update(f"{'/'.join(path.parts[-2:])} {_size(path)}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def read_dataset(path: PathLike, part: str = "train", skip_broken: bool = False) -> Dataset:
    """Read a data set; which layout it has is seen from what is there.

    ==========================  ====================================================================
    a folder of idx files       ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-...``, or gzipped
    a folder of folders         one for each class, of image files; or ``train/`` and ``val/`` or ``test/``
                                that hold these
    ILSVRC-2012                 ``train/n01440764/*.JPEG``; ``val/`` likewise, or ``val/*.JPEG`` with
                                ``ILSVRC2012_validation_ground_truth.txt`` and its ``meta.mat``, or Kaggle's
                                ``LOC_val_solution.csv``, in a folder above
    a CSV                       a line an image: path, class; a first line of names is skipped
    an .npz                     arrays ``images`` and ``labels``, or ``x_train``, ``y_train`` and
                                ``x_test``, ``y_test``
    ==========================  ====================================================================

    Parameters
    ----------
    path : str or Path
    part : "train" or "test"
        Which part, of a data set that has two.
    skip_broken : bool
        Leave out images that can't be read; ``dataset.broken`` names them. All files are read for it.

    Returns
    -------
    dataset : Dataset

    Raises
    ------
    MinicnnError
        If there is nothing there, or none of these.

    """
    place = Path(path)
    if part not in ("train", "test"):
        raise MinicnnError(f"part: expected 'train' or 'test', got {part!r}")
    if not place.exists():
        raise MinicnnError(missing_file(path))
    dataset = Dataset(*layouts.read(place, part))
    return dataset.without_broken() if skip_broken else dataset


def _check_classes(classes: Sequence[int] | np.ndarray, images: int, labels: int) -> np.ndarray:
    numbers = np.asarray(classes)
    if numbers.ndim != 1 or len(numbers) != images or not images:
        raise MinicnnError(f"data set: expected a class for each of {images} images, got shape {numbers.shape}")
    if numbers.dtype.kind not in "iufb":
        raise MinicnnError(
            f"data set: classes: expected whole numbers, got {str(numbers[0])!r}; name them by labels="
        )
    if numbers.dtype.kind not in "iu" or numbers.min() < 0 or (labels and numbers.max() >= labels):
        highest = labels - 1 if labels else "K - 1"
        raise MinicnnError(
            f"data set: classes: expected whole numbers 0 to {highest}, got {numbers.min()} to {numbers.max()}"
        )
    return numbers.astype(np.int64)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1  # it is named when it is read
