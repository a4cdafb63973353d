"""Maximum flow on the 8-connected grid in NumPy alone: push-relabel, every pixel at once.

The flow runs backwards, from the sink's terminals to the source's: links carry the same both ways, so the value is
the same, and the pixels from which the source's terminals can still be reached when all is done are those that the
source reaches in the maximum flow: the smallest mask.
"""

from __future__ import annotations

import numpy as np

__all__ = ["solve"]

# (rows, columns) to the eight neighbours; offsets d and 7 - d are opposite
OFFSETS = ((0, 1), (1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (-1, 0), (0, -1))
SWEEPS = 25  # between exact distance labels: a photograph takes as long with 12 to 50, longer with fewer


def solve(source: np.ndarray, sink: np.ndarray, links: np.ndarray) -> tuple[float, np.ndarray]:
    """Compute the maximum flow and the smallest mask of the source's side.

    Parameters
    ----------
    source, sink : arrays of shape (H, W), int64 or float64, >= 0
    links : array of shape (4, H, W) of that dtype, to the east, south, south-east and south-west

    Returns
    -------
    flow : int or float
    mask : array of shape (H, W), bool

    References
    ----------
    Goldberg, Tarjan 1988, with their exact distance labels every ``SWEEPS`` sweeps.

    Examples
    --------
    >>> source, sink = np.array([[3, 0]]), np.array([[0, 5]])
    >>> links = np.zeros((4, 1, 2), int)
    >>> links[0, 0, 0] = 2
    >>> flow, mask = solve(source, sink, links)
    >>> flow, mask.tolist()
    (2, [[True, False]])

    """
    # what goes from source to sink through one pixel alone is taken at once
    through = np.minimum(source, sink)
    # what has to leave a pixel, and what its terminal can take
    excess, terminal = sink - through, source - through
    residual = _residual(links)
    # all that the terminals could take; what is left of them at the end did not flow
    flow, unreachable = through.sum() + terminal.sum(), terminal.size + 1  # no path is as long
    height = _distances(terminal, residual, unreachable)
    # excess that reaches no open terminal stays where it is: only the cut and its value are asked for
    while ((excess > 0) & (height < unreachable)).any():
        for _ in range(SWEEPS):
            _push(excess, terminal, residual, height)
            _relabel(excess, terminal, residual, height, unreachable)
        # exact distances instead of heights that creep up by one a sweep
        height = _distances(terminal, residual, unreachable)
    # pixels from which an open terminal is reached are on the source's side, as the flow runs backwards
    return (flow - terminal.sum()).item(), height < unreachable


def _residual(links: np.ndarray) -> np.ndarray:
    """Capacity of each pixel towards its eight neighbours, 0 out of the grid: (8, H, W)."""
    residual = np.zeros((8, *links.shape[1:]), links.dtype)
    for d, link in enumerate(links):
        here, there = _slices(OFFSETS[d])
        residual[d][here] = link[here]
        # the same capacity both ways
        residual[7 - d][there] = link[here]
    return residual


def _slices(offset: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of the pixels that have a neighbour at an offset, and of those neighbours."""
    down, right = offset
    return (_overlap(-down), _overlap(-right)), (_overlap(down), _overlap(right))


def _overlap(n: int) -> slice:
    """Slice of an axis without its first n entries, or, for a negative n, without its last."""
    return slice(max(n, 0), min(n, 0) or None)


def _distances(terminal: np.ndarray, residual: np.ndarray, unreachable: int) -> np.ndarray:
    """Count the arcs to the nearest open terminal, along residual arcs; ``unreachable`` where there is no path."""
    # breadth first from all open terminals at once; a front is the pixels at one distance
    front, steps = terminal > 0, 1
    height = np.where(front, 1, unreachable)
    while front.any():
        steps += 1
        reached = np.zeros_like(front)
        for d, offset in enumerate(OFFSETS):
            here, there = _slices(offset)
            # the search runs against the arcs: a pixel is reached if its arc to the front has capacity left
            reached[here] |= front[there] & (residual[d][here] > 0)
        # each pixel joins one front alone, so the loop ends
        front = reached & (height == unreachable)
        height[front] = steps
    return height


def _push(excess: np.ndarray, terminal: np.ndarray, residual: np.ndarray, height: np.ndarray) -> None:
    """Push the excess to the terminals, then to the neighbours that are one lower, direction by direction."""
    pushed = np.minimum(excess, terminal)
    excess -= pushed
    terminal -= pushed
    for d, offset in enumerate(OFFSETS):
        here, there = _slices(offset)
        # all pixels push in one direction together, so none can give away its excess twice
        pushed = np.minimum(excess[here], residual[d][here])
        pushed[height[here] != height[there] + 1] = 0
        excess[here] -= pushed
        residual[d][here] -= pushed
        excess[there] += pushed
        # what was pushed can be pushed back
        residual[7 - d][there] += pushed


def _relabel(
    excess: np.ndarray, terminal: np.ndarray, residual: np.ndarray, height: np.ndarray, unreachable: int
) -> None:
    """Lift the pixels that still have excess to one above their lowest neighbour along a residual arc."""
    # an open terminal has height 0
    lowest = np.where(terminal > 0, 0, unreachable)
    for d, offset in enumerate(OFFSETS):
        here, there = _slices(offset)
        lowest[here] = np.minimum(lowest[here], np.where(residual[d][here] > 0, height[there], unreachable))
    # lifted together from the old heights: as heights only grow, none ends up more than one above a
    # neighbour that its residual arcs lead to
    stuck = (excess > 0) & (height < unreachable)
    height[stuck] = np.minimum(np.maximum(height, lowest + 1), unreachable)[stuck]
