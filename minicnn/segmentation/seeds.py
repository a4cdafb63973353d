"""Seeds or probabilities of object and background: checked, resized, sampled."""

from __future__ import annotations

import numpy as np

from minicnn.errors import ShapeError

__all__ = ["check_probability", "check_seeds", "draw_samples", "resize_probability", "resize_seeds"]


def check_seeds(foreground: np.ndarray, background: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Stack the seeds, or the probabilities, of object and background.

    Parameters
    ----------
    foreground, background : arrays of shape (H, W), both bool (seeds) or both float in [0, 1] (probabilities)
    size : (H, W)

    Returns
    -------
    sides : array of shape (2, H, W), bool or float64: object, background

    Raises
    ------
    ShapeError
        If they do not fit the image or each other, one of them is empty, or seeds overlap.

    """
    sides = [np.asarray(foreground), np.asarray(background)]
    # all kinds of float are alike
    kinds = {"bool" if side.dtype == bool else side.dtype.kind for side in sides}
    if kinds not in ({"bool"}, {"f"}):
        raise ShapeError(
            "segment: expected foreground and background both bool (seeds) or both float (probabilities), got "
            f"{sides[0].dtype} and {sides[1].dtype}; make seeds of a picture of them by picture > 0"
        )
    # probabilities may overlap: where both are above zero, both models count the pixel
    if kinds == {"f"}:
        sides = [
            check_probability(name, s, size) for name, s in zip(("foreground", "background"), sides, strict=True)
        ]
    for name, side in zip(("foreground", "background"), sides, strict=True):
        _check_size(name, side, size)
        if not side.any():
            raise ShapeError(f"segment: {name} marks no pixel; expected at least one seed of each kind")
    overlap = np.count_nonzero(sides[0] & sides[1]) if kinds == {"bool"} else 0
    if overlap:
        raise ShapeError(
            f"segment: {overlap} pixels are seeds of both foreground and background; take them out of one"
        )
    return np.stack(sides)


def check_probability(name: str, probability: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Probability in [0, 1] for each pixel, as float64 of shape (H, W); ShapeError otherwise."""
    probability = np.asarray(probability, np.float64)
    _check_size(name, probability, size)
    if not (probability.min() >= 0 and probability.max() <= 1):
        raise ShapeError(
            f"segment: expected {name} between 0 and 1, got {probability.min():.3g} to {probability.max():.3g}"
        )
    return probability


def _check_size(name: str, array: np.ndarray, size: tuple[int, int]) -> None:
    if array.shape != tuple(size):
        raise ShapeError(f"segment: expected {name} of the image's shape {tuple(size)}, got {array.shape}")


def resize_probability(probability: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Average a map of probabilities over the area of each pixel of another size (H, W)."""
    from PIL import Image

    if probability.shape == tuple(size):
        return probability
    # float32 is Pillow's only image of reals
    resized = Image.fromarray(probability.astype(np.float32)).resize(size[::-1], Image.Resampling.BOX)
    return np.clip(np.asarray(resized, np.float64), 0, 1)


def resize_seeds(seeds: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Reduce seeds (2, H, W) to a smaller size: a pixel that a stroke touches is a seed of what covers it most."""
    if seeds.shape[1:] == tuple(size):
        return seeds
    cover = np.stack([resize_probability(side, size) for side in seeds])
    # covered alike, or by neither: no seed, so the two never overlap
    return np.stack([cover[0] > cover[1], cover[1] > cover[0]])


def draw_samples(
    colours: np.ndarray, probability: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw colours (M, 3) with weights (M,) that stand for an image's pixels, each counting its probability.

    All pixels of a probability above zero, or, where these are more than ``count``, a stratified sample: one from
    each of ``count`` equal parts of the total, so that no part of the image is left out.

    Parameters
    ----------
    colours : array of shape (H, W, 3)
    probability : array of shape (H, W), >= 0, not all zero; bool for seeds
    count : int >= 1
    rng : numpy.random.Generator

    """
    used = np.flatnonzero(probability)
    weights = probability.reshape(-1)[used].astype(np.float64)
    if len(used) > count:
        total = np.cumsum(weights)
        # one point at random in each of ``count`` equal parts of the total
        position = (np.arange(count) + rng.random(count)) / count * total[-1]
        # the last point may round to the total, behind the last pixel
        used = used[np.minimum(np.searchsorted(total, position, side="right"), len(used) - 1)]
        # pixels were drawn in proportion to their probabilities, which must not count a second time
        weights = np.ones(count)
    return colours.reshape(-1, 3)[used], weights
