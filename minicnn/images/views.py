"""Views: parts of a picture that a network looks at, and the way back to the picture's coordinates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

import numpy as np

from minicnn.errors import ShapeError

__all__ = ["PlacedMaps", "View", "average_views", "coverage", "resize_in_blocks"]

BLOCK = 1 << 20  # pixels that are resampled at a time

Size: TypeAlias = tuple[int, int]
_ViewAndMap: TypeAlias = "tuple[View, np.ndarray]"


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

    Raises
    ------
    ShapeError
        If the crop leaves the resized picture.

    Examples
    --------
    The right half of a picture of 40 x 80 pixels that was resized to 20 x 40:

    >>> view = View(image_size=(40, 80), resized=(20, 40), top=0, left=20, size=(20, 20))
    >>> view.box
    (40.0, 0.0, 80.0, 40.0)

    """

    image_size: Size
    resized: Size
    top: int
    left: int
    size: Size
    mirrored: bool = False

    def __post_init__(self) -> None:
        """Refuse a crop that is not inside its picture."""
        (height, width), (rows, columns) = self.resized, self.size
        inside = 0 <= self.top <= height - rows and 0 <= self.left <= width - columns
        if not inside or min(rows, columns, *self.image_size) < 1:
            place = f"a crop of {self.size} at {(self.top, self.left)}"
            raise ShapeError(f"View: {place} is not inside a picture of {self.resized}")

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
        # pixels of the original picture for each one of the resized, along both axes
        y, x = (full / small for full, small in zip(self.image_size, self.resized, strict=True))
        return self.left * x, self.top * y, (self.left + self.size[1]) * x, (self.top + self.size[0]) * y


@dataclass(frozen=True, eq=False)
class PlacedMaps:
    """Maps of a picture's views at the network's scale, until they are asked for or drawn at another.

    A map of a photograph of 50 million pixels takes 200 MB, those of its ten views 2.

    Attributes
    ----------
    maps : float array of shape (V, h, w)
    views : V views of one picture, each of size (h, w)

    Examples
    --------
    >>> whole = PlacedMaps(np.ones((1, 2, 2)), [View((4, 6), (2, 2), 0, 0, (2, 2))])
    >>> whole.at().shape, whole.at((2, 3)).shape
    ((4, 6), (2, 3))

    """

    maps: np.ndarray
    views: Sequence[View]

    @classmethod
    def of_whole(cls, map: np.ndarray, image_size: Size) -> PlacedMaps:
        """Return a map (h, w) of the whole picture (H, W)."""
        size = (map.shape[0], map.shape[1])
        return cls(map[None], [View(image_size, size, 0, 0, size)])

    @property
    def image_size(self) -> Size:
        """(H, W) of the picture."""
        return self.views[0].image_size

    def at(self, size: Size | None = None, outside: float = 0.0) -> np.ndarray:
        """Return their mean as one map (H, W) of the picture, at its own size unless another is given.

        ``outside`` is the value where no view looked: NaN tells it from a map that is zero.
        """
        map = average_views(self.maps, self.views, size)
        if outside != 0:
            map[~self.seen(size)] = outside
        return map

    def seen(self, size: Size | None = None) -> np.ndarray:
        """Return where a view looked, bool (H, W), at the picture's own size unless another is given."""
        return coverage(self.views, size)


def average_views(maps: np.ndarray, views: Sequence[View], size: Size | None = None) -> np.ndarray:
    """Combine maps of several views to one map of the original picture.

    Every map is mirrored back where its view was mirrored and put back at its crop's place; where views overlap
    their mean counts (paper, section 3); where no view looked it is 0.  The resized picture's grid then goes to
    the original's by one bilinear resampling, which is the identity where the sizes agree:
    map = R(mean) / R(seen) where R(seen) >= 1/2, so that it does not fade towards the border of what was seen.
    Views of pictures resized differently are averaged in the original's coordinates, by how many looked.

    Parameters
    ----------
    maps : float array of shape (V, h, w); added up in float64, resampled in float32
    views : V views of one picture, each of size (h, w)
    size : (H, W) of the map; the original picture's unless given

    Returns
    -------
    map : float32 array of shape (H, W)

    Raises
    ------
    ShapeError
        If maps and views do not belong together.

    References
    ----------
    The paper, section 3.1: saliency maps are averaged over ten crops.

    Examples
    --------
    >>> left, right = (View((1, 3), (1, 3), 0, column, (1, 2)) for column in (0, 1))
    >>> average_views(np.array([[[1.0, 2.0]], [[4.0, 5.0]]]), [left, right]).tolist()
    [[1.0, 3.0, 5.0]]

    """
    maps = np.asarray(maps)
    if maps.ndim != 3 or len(maps) != len(views) or not len(views):
        raise ShapeError(
            f"average_views: expected one map (h, w) for each of {len(views)} views, got {maps.shape}"
        )
    if len({view.image_size for view in views}) > 1 or {view.size for view in views} != {maps.shape[1:]}:
        raise ShapeError(f"average_views: expected views of one picture, each of size {maps.shape[1:]}")
    # groupby joins neighbours only, so that views of one resized picture have to stand together
    pairs = sorted(zip(views, maps, strict=True), key=lambda pair: pair[0].resized)
    groups = [list(group) for _, group in groupby(pairs, key=lambda pair: pair[0].resized)]
    size = views[0].image_size if size is None else size
    result = np.empty(size, np.float32)
    # block by block, so that a large picture takes no more memory than its map
    for blocks in zip(*(_average_on_original(group, size) for group in groups), strict=True):
        columns, mean, weight = blocks[0]
        if len(blocks) > 1:
            # means weighed by how many views they are of, summed where all pictures have the same grid
            total = mean * weight
            for _, mean, counts in blocks[1:]:
                total += mean * counts
                weight = weight + counts
            mean = np.divide(total, weight, out=total, where=weight > 0)
        result[:, columns] = mean
    return result


def coverage(views: Sequence[View], size: Size | None = None) -> np.ndarray:
    """Where at least one view looked: bool array of shape (H, W), the original picture's unless given.

    Examples
    --------
    >>> coverage([View((1, 4), (1, 4), 0, 1, (1, 2))]).tolist()
    [[False, True, True, False]]

    """
    if not views:
        raise ShapeError("coverage: expected at least one view, got none")
    ones = np.broadcast_to(np.float32(1), (len(views), *views[0].size))
    return average_views(ones, views, size) > 0


def _average_on_original(
    pairs: Sequence[_ViewAndMap], size: Size
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield blocks of columns: mean of the maps on a grid of that size, and how many there are; 0 without any."""
    mean, counts = _average_on_resized(pairs)
    # resampled beside zeros, the mean fades at the border of what was seen, and ``seen`` as much
    resampled = (resize_in_blocks(values, size) for values in (mean, counts > 0, counts))
    for (columns, mean), (_, seen), (_, counts) in zip(*resampled, strict=True):
        inside = seen >= 0.5
        mean = np.divide(mean, seen, out=np.zeros_like(mean), where=inside)
        yield columns, mean, np.where(inside, counts, np.float32(0))


def _average_on_resized(pairs: Sequence[_ViewAndMap]) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the maps where there are some, and how many there are, on the resized picture's grid."""
    total, counts = np.zeros(pairs[0][0].resized), np.zeros(pairs[0][0].resized)
    for view, values in pairs:
        # a mirrored view's map is turned back before it is added at the crop's place
        total[view.rows, view.columns] += values[:, ::-1] if view.mirrored else values
        counts[view.rows, view.columns] += 1
    return np.divide(total, counts, out=total, where=counts > 0), counts


def resize_in_blocks(values: np.ndarray, size: Size) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield blocks of columns of a map (h, w) brought to (H, W) bilinearly, float32; one block unless large.

    Examples
    --------
    >>> [(columns, block)] = resize_in_blocks(np.eye(2), (2, 4))
    >>> columns, block[0].tolist()
    (slice(0, 4, None), [1.0, 0.75, 0.25, 0.0])

    """
    height, width = size
    step = max(1, BLOCK // height)
    values = values.astype(np.float32)  # Pillow's only kind of real numbers
    if step >= width:
        yield slice(0, width), _resize_picture(values, size)
        return
    # one axis after the other, rows first, is what Pillow does at once where it enlarges both
    wide = _resize_picture(values, (values.shape[0], width))
    for start in range(0, width, step):
        block = np.ascontiguousarray(wide[:, start : start + step])
        yield slice(start, start + block.shape[1]), _resize_picture(block, (height, block.shape[1]))


def _resize_picture(values: np.ndarray, size: Size) -> np.ndarray:
    from PIL import Image

    if values.shape == tuple(size):
        return values
    return np.asarray(Image.fromarray(values).resize((size[1], size[0]), Image.Resampling.BILINEAR))
