"""Views: parts of a picture that a network looks at, and the way back to the picture's coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from minicnn.errors import ShapeError

__all__ = ["View", "average_views", "coverage"]

Size = tuple[int, int]


@dataclass(frozen=True)
class View:
    """A crop of a resized picture; all sizes are (height, width) in pixels.

    Attributes
    ----------
    image_size : of the original picture
    resized : of the picture that the crop is cut from
    top, left : the crop's first row and column
    size : of the crop
    mirrored : whether the crop is flipped left to right afterwards

    """

    image_size: Size
    resized: Size
    top: int
    left: int
    size: Size
    mirrored: bool = False

    @property
    def rows(self) -> slice:
        """Rows of the resized picture."""
        return slice(self.top, self.top + self.size[0])

    @property
    def columns(self) -> slice:
        """Columns of the resized picture."""
        return slice(self.left, self.left + self.size[1])

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(xmin, ymin, xmax, ymax) of the view in the original picture's coordinates, pixel edges."""
        y, x = (full / small for full, small in zip(self.image_size, self.resized, strict=True))
        return self.left * x, self.top * y, (self.left + self.size[1]) * x, (self.top + self.size[0]) * y


def average_views(maps: np.ndarray, views: Sequence[View]) -> np.ndarray:
    """Combine maps of several views to one map of the original picture.

    Every map is mirrored back where its view was mirrored and put back at its crop's place; where views overlap
    their mean counts (paper, section 3); where none looked there is 0.  The resized picture's grid then goes to
    the original's by one bilinear resampling, which is the identity where the sizes agree.

    Parameters
    ----------
    maps : float array of shape (V, h, w)
    views : V views of one picture, each of size (h, w)

    Returns
    -------
    map : float32 array of shape (H, W)

    Raises
    ------
    ShapeError
        If maps and views do not belong together.

    """
    maps = np.asarray(maps)
    if maps.ndim != 3 or len(maps) != len(views) or not len(views):
        raise ShapeError(
            f"average_views: expected one map (h, w) for each of {len(views)} views, got {maps.shape}"
        )
    if len({view.image_size for view in views}) > 1 or {view.size for view in views} != {maps.shape[1:]}:
        raise ShapeError(f"average_views: expected views of one picture, each of size {maps.shape[1:]}")
    total, weight = np.zeros(views[0].image_size), np.zeros(views[0].image_size)
    pairs = sorted(zip(views, maps, strict=True), key=lambda pair: pair[0].resized)
    for _, group in groupby(pairs, key=lambda pair: pair[0].resized):
        mean, counts = _on_canvas(list(group))
        seen, counts = _resample(counts > 0, total.shape), _resample(counts, total.shape)
        # divided by its own coverage, the covered part keeps its values up to its border
        mean = np.divide(_resample(mean, total.shape), seen, out=np.zeros_like(total), where=seen >= 0.5)
        total += mean * counts
        weight += np.where(seen >= 0.5, counts, 0)
    return np.divide(total, weight, out=total, where=weight > 0).astype(np.float32)


def coverage(views: Sequence[View]) -> np.ndarray:
    """Where at least one view looked: bool array of shape (H, W) of the original picture."""
    ones = np.ones((len(views), *views[0].size))
    return average_views(ones, views) > 0


def _on_canvas(pairs: list) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the maps where there are some, and how many there are, on the resized picture's grid."""
    total, counts = np.zeros(pairs[0][0].resized), np.zeros(pairs[0][0].resized)
    for view, values in pairs:
        total[view.rows, view.columns] += values[:, ::-1] if view.mirrored else values
        counts[view.rows, view.columns] += 1
    return np.divide(total, counts, out=total, where=counts > 0), counts


def _resample(values: np.ndarray, size: Size) -> np.ndarray:
    from PIL import Image

    values = values.astype(np.float32)
    if values.shape == tuple(size):
        return values
    picture = Image.fromarray(values).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(picture)
