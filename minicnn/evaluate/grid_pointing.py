"""Grid pointing game: the share of a map on the one of four photographs that shows the class (Rao et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicnn.errors import MinicnnError, ShapeError
from minicnn.evaluate.dataset import Example
from minicnn.images import Preprocess
from minicnn.network import Network

__all__ = ["Grid", "GridInput", "choose_grids", "make_grid_input", "share_in_cell"]


class Grid(NamedTuple):
    """Four photographs of different classes, and the class that is asked for.

    Attributes
    ----------
    images : four paths, of the cells in row order
    target : int, the class
    cell : int, 0 to 3, where the photograph of that class is

    """

    images: tuple[Path, ...]
    target: int
    cell: int


class GridInput(NamedTuple):
    """A grid as an input, and the network that takes it.

    Attributes
    ----------
    net : Network, the one that was given, or the same for inputs of twice the height and width
    x : array of shape (1, C, H, W) that ``net`` takes

    """

    net: Network
    x: np.ndarray


def choose_grids(net: Network, examples: Sequence[Example], count: int, seed: int = 0) -> list[Grid]:
    """Grids of photographs whose class the net sees, each in one grid at most.

    Parameters
    ----------
    net : Network with a ``preprocess``
    examples : of a data set; pictures that can't be read are passed over
    count : int, how many grids at most
    seed : int, of the order in which photographs are taken

    Returns
    -------
    grids : list of Grid, as many as there are photographs for; the cell that is asked for goes round

    Notes
    -----
    The publication takes photographs that several nets see with a probability of at least 0.99; here the class
    must be the most probable one of this net.

    """
    order = np.random.default_rng(seed).permutation(len(examples))
    left = [(examples[n].image, c) for n in order if (c := _class_seen(net, examples[n])) is not None]
    grids: list[Grid] = []
    while len(grids) < count:
        chosen: dict[int, Path] = {}
        for image, c in left:
            if c not in chosen and image not in chosen.values() and len(chosen) < 4:
                chosen[c] = image
        if len(chosen) < 4:
            break
        left = [(image, c) for image, c in left if image not in chosen.values()]
        cell = len(grids) % 4
        grids.append(Grid(tuple(chosen.values()), list(chosen)[cell], cell))
    return grids


def _class_seen(net: Network, example: Example) -> int | None:
    """Return the class that the net sees in a photograph if it is a true one, else None."""
    try:
        seen = int(net(net.preprocess(example.image)).argmax()) if net.preprocess is not None else -1
    except MinicnnError:
        # what can't be read is complained of where every picture is measured
        return None
    return seen if seen in example.classes else None


def make_grid_input(net: Network, grid: Grid) -> GridInput:
    """Put the four photographs side by side.

    The input has twice the network's height and width, so that each photograph has the size that the net knows; a
    net that takes its own size alone (whose last layers are full) gets photographs of half the size.
    """
    if net.preprocess is None or net.input_shape is None:
        raise MinicnnError(f"{net.name}: does not say how an image becomes its input, which a grid is made of")
    cells = [net.preprocess(image)[0] for image in grid.images]
    channels, height, width = net.input_shape
    try:
        shape, preprocess = (channels, 2 * height, 2 * width), _double(net.preprocess)
        large = Network(net.named_layers, shape, preprocess, net.labels, device=net.device, name=net.name)
        return GridInput(large, _tile(cells))
    except ShapeError:
        x = np.zeros((1, channels, height, width), cells[0].dtype)
        small = _tile([_halve(cell) for cell in cells])
        # of an odd side the last row or column stays 0
        x[..., : small.shape[2], : small.shape[3]] = small
        return GridInput(net, x)


def share_in_cell(positive: np.ndarray, cell: int) -> float:
    """Share of a map in one cell of a grid of 2 x 2.

    L = sum of A+ over the cell / sum of A+ over the grid,  A+ the positive attributions; 0 where there are none.

    Parameters
    ----------
    positive : array of shape (H, W), not negative
    cell : int, 0 to 3, in row order

    Returns
    -------
    share : float in [0, 1]; a map that knows nothing has 1 / 4 on average

    References
    ----------
    .. [1] Rao, Böhle, Schiele 2022, "Towards better understanding attribution methods", section 3.1, equation 1.

    Examples
    --------
    >>> share_in_cell(np.array([[3.0, 1.0], [0.0, 0.0]]), cell=0)
    0.75

    """
    rows, columns = (np.arange(n) * 2 // n for n in positive.shape)
    inside = (rows[:, None] == cell // 2) & (columns[None] == cell % 2)
    total = float(positive.sum(dtype=np.float64))
    return float(positive[inside].sum(dtype=np.float64)) / total if total > 0 else 0.0


def _double(preprocess: Preprocess) -> Preprocess:
    """Return the preprocessing of the grid, which methods ask what a black picture is."""
    size, mean = (2 * preprocess.size[0], 2 * preprocess.size[1]), preprocess.mean
    if isinstance(mean, np.ndarray):
        # a mean image (C, H, W) is that of each cell
        mean = np.tile(mean, (1, 2, 2))
    return replace(preprocess, size=size, resize=None, mean=mean)


def _tile(cells: Sequence[np.ndarray]) -> np.ndarray:
    """Return cells (C, h, w) as one input (1, C, 2 h, 2 w)."""
    rows = [np.concatenate(cells[n : n + 2], axis=2) for n in (0, 2)]
    return np.ascontiguousarray(np.concatenate(rows, axis=1)[None])


def _halve(cell: np.ndarray) -> np.ndarray:
    """Means over blocks of 2 x 2 pixels of a cell (C, H, W)."""
    channels, height, width = cell.shape
    even = cell[:, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(channels, height // 2, 2, width // 2, 2).mean(axis=(2, 4), dtype=cell.dtype)
