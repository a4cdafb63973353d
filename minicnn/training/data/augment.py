"""Augmentations: images changed at random in ways that do not change their class.

Each is a pure function of an image and a generator: (H, W, C) float32 of 0 ... 255 in and out.  ``fill``, of shape
(C,), is the colour that becomes 0 in the network's input; it stands where there is nothing to see.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from minicnn.training.recipe import Augment

__all__ = [
    "augment",
    "crop",
    "cutout",
    "distort",
    "jitter_colours",
    "mirror",
    "mix",
    "principal_colours",
    "zero_out",
]


def augment(
    image: np.ndarray, rng: np.random.Generator, settings: Augment, fill: np.ndarray, colours: np.ndarray | None
) -> np.ndarray:
    """Apply what the settings ask for: geometry, colours, then what is hidden (``mix`` takes a whole batch).

    Parameters
    ----------
    image : uint8 or float32 array of shape (H, W, C)
    rng : numpy.random.Generator
    settings : Augment
    fill : array of shape (C,)
    colours : array of shape (C, C), optional
        What ``principal_colours`` found.

    Returns
    -------
    image : float32 array of shape (H, W, C)

    """
    image = np.asarray(image, np.float32)
    if settings.rotate or settings.shift or settings.scale or settings.elastic:
        image = distort(image, rng, settings, fill)
    if settings.crop:
        image = crop(image, rng, settings.crop, fill)
    if settings.mirror:
        image = mirror(image, rng)
    if settings.colour and colours is not None:
        image = jitter_colours(image, rng, settings.colour, colours)
    if settings.zero_out:
        image = zero_out(image, rng, settings.zero_out, fill)
    return cutout(image, rng, settings.cutout, fill) if settings.cutout else image


def crop(image: np.ndarray, rng: np.random.Generator, padding: int, fill: np.ndarray) -> np.ndarray:
    """Crop at random, of the image's own size, from the image with ``padding`` pixels of ``fill`` around it.

    References
    ----------
    He et al. 2016, section 4.2: four pixels, on CIFAR-10.

    Examples
    --------
    >>> image = np.arange(4.0).reshape(1, 4, 1)
    >>> crop(image, np.random.default_rng(1), 1, np.zeros(1)).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0]

    """
    height, width = image.shape[:2]
    top, left = rng.integers(0, 2 * padding + 1, 2)
    padded = np.empty((height + 2 * padding, width + 2 * padding, image.shape[2]), np.float32)
    padded[:] = fill
    padded[padding : padding + height, padding : padding + width] = image
    return padded[top : top + height, left : left + width]


def mirror(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirror left to right, every other time.

    References
    ----------
    Krizhevsky et al. 2012, section 4.1.

    Examples
    --------
    >>> image = np.array([[[1.0], [2.0]]])
    >>> [mirror(image, np.random.default_rng(seed)).ravel().tolist() for seed in (0, 2)]
    [[1.0, 2.0], [2.0, 1.0]]

    """
    return image[:, ::-1] if rng.random() < 0.5 else image


def principal_colours(images: Sequence[np.ndarray]) -> np.ndarray:
    """Principal axes of the images' pixels in colour space, each as long as the deviation along it.

    Parameters
    ----------
    images : arrays of shape (H, W, C)

    Returns
    -------
    colours : float64 array of shape (C, C), one axis a column, the longest last

    Examples
    --------
    >>> greys = np.repeat(np.array([0.0, 2.0]), 3).reshape(1, 2, 3)
    >>> principal_colours([greys])[:, -1].round(3).tolist()
    [1.0, 1.0, 1.0]

    """
    channels = images[0].shape[2]
    # one pass: sums and products of all pixels, in float64
    count, total, products = 0, np.zeros(channels), np.zeros((channels, channels))
    for image in images:
        pixels = image.reshape(-1, channels).astype(np.float64)
        count += len(pixels)
        total += pixels.sum(axis=0)
        products += pixels.T @ pixels
    mean = total / count
    lengths, axes = np.linalg.eigh(products / count - np.outer(mean, mean))
    # an axis and its opposite are one; the sign that LAPACK happens to give must not decide
    axes = axes * np.where(axes.sum(axis=0) < 0, -1, 1)
    return axes * np.sqrt(np.maximum(lengths, 0))


def jitter_colours(
    image: np.ndarray, rng: np.random.Generator, strength: float, colours: np.ndarray
) -> np.ndarray:
    """Add to every pixel the same random mixture of the principal colours, of deviation ``strength`` along each.

    References
    ----------
    Krizhevsky et al. 2012, section 4.1: 0.1.

    Examples
    --------
    >>> image, colours = np.full((1, 2, 3), 100.0, np.float32), np.diag([0.0, 0.0, 50.0])
    >>> jittered = jitter_colours(image, np.random.default_rng(0), 0.1, colours)
    >>> jittered[0, :, 0].tolist(), bool(jittered[0, 0, 2] == jittered[0, 1, 2] != 100)
    ([100.0, 100.0], True)

    """
    shift = colours @ (strength * rng.standard_normal(len(colours)))
    return np.clip(image + shift.astype(np.float32), 0, 255)


def zero_out(image: np.ndarray, rng: np.random.Generator, probability: float, fill: np.ndarray) -> np.ndarray:
    """Set a random rectangle to ``fill``: 2 to 33 % of the area, of an aspect between 0.3 and 1 / 0.3.

    References
    ----------
    The paper, section 2: the class models' network was trained with "zeroing-out random parts of an image"; it
    leaves open which, so that the sizes are those of Zhong et al. 2020, algorithm 1.

    Examples
    --------
    >>> image = np.ones((20, 20, 1), np.float32)
    >>> hidden = 1 - zero_out(image, np.random.default_rng(0), 1.0, np.zeros(1)).mean()
    >>> bool(0.01 < hidden < 0.4)
    True

    """
    if rng.random() >= probability:
        return image
    height, width = image.shape[:2]
    area = rng.uniform(0.02, 0.33) * height * width
    aspect = np.exp(rng.uniform(np.log(0.3), -np.log(0.3)))
    # a rectangle that is too long is cut off at the image's
    rows = min(max(round(np.sqrt(area * aspect)), 1), height)
    columns = min(max(round(np.sqrt(area / aspect)), 1), width)
    top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    return _hide(image, slice(top, top + rows), slice(left, left + columns), fill)


def cutout(image: np.ndarray, rng: np.random.Generator, side: int, fill: np.ndarray) -> np.ndarray:
    """Set a square around a random pixel to ``fill``; what of it lies outside is cut off.

    References
    ----------
    DeVries, Taylor 2017, section 3.

    Examples
    --------
    >>> image = np.ones((1, 5, 1), np.float32)
    >>> cutout(image, np.random.default_rng(4), 2, np.zeros(1)).ravel().tolist()
    [1.0, 1.0, 0.0, 0.0, 1.0]

    """
    centre = rng.integers(0, image.shape[:2])
    rows, columns = (slice(max(c - side // 2, 0), max(c - side // 2 + side, 0)) for c in map(int, centre))
    return _hide(image, rows, columns, fill)


def _hide(image: np.ndarray, rows: slice, columns: slice, fill: np.ndarray) -> np.ndarray:
    image = image.copy()
    image[rows, columns] = fill
    return image


def distort(image: np.ndarray, rng: np.random.Generator, settings: Augment, fill: np.ndarray) -> np.ndarray:
    """Rotate, shift and scale about the centre, each at random within its bound, and pull like rubber.

    ``settings.elastic`` moves each pixel by a random field of that deviation, which is smooth over a seventh of
    the image (4 pixels of 28).  All of it is one map, read bilinearly once.

    References
    ----------
    Simard, Steinkraus, Platt 2003, section 2.

    Examples
    --------
    >>> image = np.arange(9.0, dtype=np.float32).reshape(3, 3, 1)
    >>> bool((distort(image, np.random.default_rng(0), Augment(), np.zeros(1)) == image).all())
    True

    """
    height, width = image.shape[:2]
    angle = np.deg2rad(rng.uniform(-settings.rotate, settings.rotate))
    offset = rng.uniform(-settings.shift, settings.shift, 2)
    stretch = rng.uniform(1 - settings.scale, 1 + settings.scale, 2)
    centre = np.array([height - 1, width - 1]) / 2
    # where each pixel of the answer is read: its place turned and stretched about the centre, then shifted
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / stretch
    rows, columns = np.arange(height)[:, None] - centre[0], np.arange(width) - centre[1]
    y, x = (
        row * rows + column * columns + start for (row, column), start in zip(turn, centre + offset, strict=True)
    )
    if settings.elastic:
        dy, dx = settings.elastic * _smooth_field(rng, height, width)
        y, x = y + dy, x + dx
    return _read(image, y, x, fill)


def _smooth_field(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Draw two fields (2, H, W) of deviation 1 at every pixel, each white noise under a Gaussian."""
    noise = rng.standard_normal((2, height, width))
    down, across = (_gaussian_rows(side, min(height, width) / 7) for side in (height, width))
    # not products of BLAS, which may round differently at another number of threads
    return np.einsum("lk,cik->cil", across, np.einsum("ij,cjk->cik", down, noise))


@lru_cache(maxsize=8)
def _gaussian_rows(side: int, deviation: float) -> np.ndarray:
    """Return (side, side): a Gaussian around each place, of length 1, so that noise keeps its deviation."""
    places = np.arange(side)
    rows = np.exp(-((places[:, None] - places) ** 2) / (2 * deviation**2))
    return rows / np.sqrt((rows**2).sum(axis=1, keepdims=True))


def _read(image: np.ndarray, y: np.ndarray, x: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """Read an image at places y, x (H, W) between its pixels; ``fill`` outside."""
    height, width, channels = image.shape
    # a frame of one pixel of fill, at which every place outside is read
    framed = np.empty((height + 2, width + 2, channels), np.float32)
    framed[:] = fill
    framed[1:-1, 1:-1] = image
    # in one row of pixels, which ``take`` reads several times as fast as two indices do
    pixels, pitch = framed.reshape(-1, channels), width + 2
    y, x = (np.minimum(np.maximum(place + 1, 0), side + 1) for place, side in ((y, height), (x, width)))
    first_y, first_x = np.minimum(y.astype(np.int64), height), np.minimum(x.astype(np.int64), width)
    below, right = ((y - first_y).astype(np.float32)[..., None], (x - first_x).astype(np.float32)[..., None])
    first, left = first_y * pitch + first_x, 1 - right
    top = pixels.take(first, 0) * left + pixels.take(first + 1, 0) * right
    bottom = pixels.take(first + pitch, 0) * left + pixels.take(first + pitch + 1, 0) * right
    return top * (1 - below) + bottom * below


def mix(
    x: np.ndarray, targets: np.ndarray, rng: np.random.Generator, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mix each image of a batch, and what is wanted of it, with another: mixup.

    Parameters
    ----------
    x : array of shape (N, ...)
    targets : array of shape (N, K)
    rng : numpy.random.Generator
    alpha : float, of the symmetric Beta distribution that the shares are drawn from

    References
    ----------
    Zhang et al. 2018, equation 1, one share a batch as in their code.

    Examples
    --------
    >>> x, targets = np.array([[0.0], [1.0]]), np.eye(2)
    >>> mixed, wanted = mix(x, targets, np.random.default_rng(1), 1.0)
    >>> bool(np.allclose(mixed[:, 0], wanted[:, 1]))
    True

    """
    share, others = rng.beta(alpha, alpha), rng.permutation(len(x))
    share_x = x.dtype.type(share)
    return share_x * x + (1 - share_x) * x[others], share * targets + (1 - share) * targets[others]
