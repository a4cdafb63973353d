"""What a cut is told about object and background: seeds or chances, checked, brought to a size, drawn from."""

import numpy as np

from minicnn.errors import ShapeError

__all__ = ["check_chance", "check_seeds", "draw", "resize_chance", "resize_seeds"]


def check_seeds(foreground, background, size):
    """Seeds of object and background as one array.

    Parameters
    ----------
    foreground, background : arrays of the image's (H, W), both bool (seeds) or both float in [0, 1] (chances)
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
    kinds = {"bool" if side.dtype == bool else side.dtype.kind for side in sides}
    if kinds not in ({"bool"}, {"f"}):
        raise ShapeError(
            "segment: expected foreground and background both bool (seeds) or both float (chances), got "
            f"{sides[0].dtype} and {sides[1].dtype}; make seeds of a picture of them by picture > 0"
        )
    if kinds == {"f"}:
        sides = [check_chance(name, s, size) for name, s in zip(("foreground", "background"), sides, strict=True)]
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


def check_chance(name, chance, size):
    """Probability in [0, 1] for each pixel, as float64 of shape (H, W); ShapeError otherwise."""
    chance = np.asarray(chance, np.float64)
    _check_size(name, chance, size)
    if not (chance.min() >= 0 and chance.max() <= 1):
        raise ShapeError(f"segment: expected {name} between 0 and 1, got {chance.min():.3g} to {chance.max():.3g}")
    return chance


def _check_size(name, array, size):
    if array.shape != tuple(size):
        raise ShapeError(f"segment: expected {name} of the image's shape {tuple(size)}, got {array.shape}")


def resize_chance(chance, size):
    """Mean of a chance over the area of each pixel of another size (H, W)."""
    from PIL import Image

    if chance.shape == tuple(size):
        return chance
    resized = Image.fromarray(chance.astype(np.float32)).resize(size[::-1], Image.Resampling.BOX)
    return np.clip(np.asarray(resized, np.float64), 0, 1)


def resize_seeds(seeds, size):
    """Seeds (2, H, W) at a smaller size: a pixel that a stroke touches is a seed, of what covers more of it."""
    if seeds.shape[1:] == tuple(size):
        return seeds
    cover = np.stack([resize_chance(side, size) for side in seeds])
    return np.stack([cover[0] > cover[1], cover[1] > cover[0]])


def draw(colours, chance, count, rng):
    """Colours (M, 3) and weights (M,) that stand for an image's pixels, each counting its chance.

    All pixels of a chance above zero, or, where these are more than ``count``, so many draws: one from each of
    ``count`` equal parts of the total, so that no part of the image is left out.

    Parameters
    ----------
    colours : array of shape (H, W, 3)
    chance : array of shape (H, W), >= 0, not all zero
    count : int >= 1
    rng : numpy.random.Generator

    """
    used = np.flatnonzero(chance)
    weights = chance.reshape(-1)[used].astype(np.float64)
    if len(used) > count:
        total = np.cumsum(weights)
        place = (np.arange(count) + rng.random(count)) / count * total[-1]
        used = used[np.minimum(np.searchsorted(total, place, side="right"), len(used) - 1)]
        weights = np.ones(count)
    return colours.reshape(-1, 3)[used], weights
