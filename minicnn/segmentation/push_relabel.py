"""Maximum flow on the 8-connected grid in NumPy alone: push-relabel, every pixel at once.

The flow runs backwards, from the sink's terminals to the source's: links carry the same both ways, so the value is
the same, and the pixels from which the source's terminals can still be reached when all is done are those that the
source reaches in the maximum flow: the smallest mask.
"""

import numpy as np

__all__ = ["solve"]

# (down, right) of the eight neighbours; direction d and direction 7 - d are opposite
AROUND = ((0, 1), (1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (-1, 0), (0, -1))
SWEEPS = 25  # between exact distances: a photograph takes as long with 12 to 50, longer with fewer


def solve(source, sink, links):
    """Flow and smallest mask of the source's side.

    Parameters
    ----------
    source, sink : arrays of shape (H, W), int64 or float64, >= 0
    links : array of shape (4, H, W) of that dtype, to the east, south, south-east and south-west

    Returns
    -------
    flow : int or float
    mask : array of shape (H, W), bool

    Source: Goldberg, Tarjan 1988, with their exact distances from time to time.

    """
    through = np.minimum(source, sink)
    excess, room = sink - through, source - through  # what has to leave a pixel, and what its terminal takes
    left = _residual(links)
    flow, far = through.sum() + room.sum(), room.size + 1  # no path is as long
    height = _distances(room, left, far)
    while ((excess > 0) & (height < far)).any():
        for _ in range(SWEEPS):
            _push(excess, room, left, height)
            _relabel(excess, room, left, height, far)
        height = _distances(room, left, far)
    return (flow - room.sum()).item(), height < far


def _residual(links):
    """Capacity of each pixel towards its eight neighbours, 0 out of the grid: (8, H, W)."""
    left = np.zeros((8, *links.shape[1:]), links.dtype)
    for d, link in enumerate(links):
        here, there = _ends(AROUND[d])
        left[d][here] = link[here]
        left[7 - d][there] = link[here]
    return left


def _ends(step):
    """Slices of the pixels that have a neighbour one step away, and of those neighbours."""
    here = tuple(slice(max(-n, 0), min(-n, 0) or None) for n in step)
    there = tuple(slice(max(n, 0), min(n, 0) or None) for n in step)
    return here, there


def _distances(room, left, far):
    """Count the steps to the nearest terminal with room, along open arcs; ``far`` where there is no way."""
    front, steps = room > 0, 1
    height = np.where(front, 1, far)
    while front.any():
        steps += 1
        reached = np.zeros_like(front)
        for d, step in enumerate(AROUND):
            here, there = _ends(step)
            reached[here] |= front[there] & (left[d][here] > 0)
        front = reached & (height == far)
        height[front] = steps
    return height


def _push(excess, room, left, height):
    """Send what is in excess to the terminals, then one step down in each direction."""
    sent = np.minimum(excess, room)
    excess -= sent
    room -= sent
    for d, step in enumerate(AROUND):
        here, there = _ends(step)
        sent = np.minimum(excess[here], left[d][here])
        sent[height[here] != height[there] + 1] = 0
        excess[here] -= sent
        left[d][here] -= sent
        excess[there] += sent
        left[7 - d][there] += sent


def _relabel(excess, room, left, height, far):
    """Lift what is still in excess to one step above its lowest open neighbour."""
    lowest = np.where(room > 0, 0, far)
    for d, step in enumerate(AROUND):
        here, there = _ends(step)
        lowest[here] = np.minimum(lowest[here], np.where(left[d][here] > 0, height[there], far))
    stuck = (excess > 0) & (height < far)
    height[stuck] = np.minimum(np.maximum(height, lowest + 1), far)[stuck]
