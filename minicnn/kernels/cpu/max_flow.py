"""Maximum flow on a grid of pixels in Numba: two search trees, kept breadth-first.

Reference: ``segmentation.push_relabel``, whose flow is the same.

One tree grows from the source along arcs with capacity left, one backwards from the sink (Boykov, Kolmogorov
2004). Where they touch there is an augmenting path: flow is pushed along it, and a pixel whose arc from its
parent is now full is an orphan, which finds a new parent, sinks to a deeper level or leaves the tree. Levels are
distances from the terminal (Goldberg, Hed, Kaplan, Tarjan, Werneck 2011), so that the paths are shortest ones
and a pixel one level up is never one's own descendant: no orphan walks to the root to see whether its new
parent is still attached.

Arcs are implicit. The grid has an empty column beside it and an empty row above and below, so neighbour d of
pixel p is p + steps[d] and always exists. Directions come in pairs, d ^ 1 is the opposite of d; the eight
capacities of a pixel fill one cache line. Memory: 97 bytes a pixel.

``side`` is 1 for the source's tree, -1 for the sink's, and (side + 1) // 2 where it indexes. The work is serial
by nature: the order of the augmentations is the result's.
"""

from __future__ import annotations

import numpy as np
from numba import float64, from_dtype, int32, int64, types

from minicnn.kernels.cpu.runtime.jit import Kernel, inner, kernel, reads, writes

__all__ = ["solve"]

ROOT, NONE = 8, 9  # parents that are no direction: the terminal itself, none

PIXEL = np.dtype(
    [
        ("excess", "i8"),  # capacity left from the source if positive, to the sink if negative
        ("level", "i4"),  # side times the distance from the terminal, 0: in neither tree
        ("orphan", "i4"),  # an orphan's successor on the list of its level, -1: last
        ("orphans", "i4"),  # of pixel number l: first orphan of level l, -1: none
        ("parent", "u1"),  # direction, ROOT or NONE
        ("queued", "u1"),  # bit mask of the queues it waits in
    ],
    align=True,
)

# Head of each side's queue: deepest level, whether this pass grows it, place of the first, length, how many of
# them belong to this pass.  The pixels follow, as a ring.
DEPTH, GROWING, FRONT, LENGTH, NOW, RING = range(6)


def solve(
    source: np.ndarray, sink: np.ndarray, links: np.ndarray, scale: float, half: float
) -> tuple[int, np.ndarray]:
    """Maximum flow and its smallest source set, capacities taken as floor(scale * capacity + half).

    Parameters
    ----------
    source, sink : arrays of shape (H, W), int64 or float64, >= 0
    links : array of shape (4, H, W), same dtype, >= 0: to the east, south, south-east and south-west
    scale, half : numbers of the same dtype; 1 and 0 for integers

    Returns
    -------
    flow : int, in units of 1 / scale
    mask : array of shape (H, W), bool, true on the source's side

    """
    height, width = source.shape
    # the column beside the grid serves both ends of its rows: behind the end of one lies the start of the next
    stride = width + 1
    # the first pixel's north-west neighbour has number -1, which is the last: it must be empty, too
    size = (height + 2) * stride + 1
    capacity = np.zeros(8 * size, np.int64)
    pixels = np.zeros(size, PIXEL)
    pixels["parent"] = NONE
    pixels["orphans"] = -1
    queues = np.zeros((2, RING + size), np.int32)
    # the roots have level 1: 0 is that of the pixels in neither tree
    queues[:, DEPTH] = 1
    # east, west, south, north, south-east, north-west, south-west, north-east: 2 k is the direction of links[k]
    steps = np.array([1, -1, stride, -stride, stride + 1, -stride - 1, stride - 1, 1 - stride])
    flow = np.zeros(1, np.int64)
    start = _start_int64 if source.dtype == np.int64 else _start_float64
    rounding = source.dtype.type(scale), source.dtype.type(half)
    start(flow, capacity, pixels, queues, steps, (source, sink, links), rounding)
    _maximise(flow, capacity, pixels, queues, steps)
    # (H, W): without the empty rows and the empty column
    levels = pixels["level"][stride : stride * (height + 1)].reshape(height, stride)[:, :width]
    return int(flow[0]), levels > 0


def _start(flow, capacity, pixels, queues, steps, capacities, rounding):
    """Copy the capacities, count as flow what can go straight through a pixel, make what is left over roots."""
    (source, sink, links), (scale, half) = capacities, rounding
    height, width = source.shape
    for y in range(height):
        for x in range(width):
            p = (y + 1) * (width + 1) + x
            inflow, outflow = np.int64(scale * source[y, x] + half), np.int64(scale * sink[y, x] + half)
            # from source to pixel to sink there are two arcs: what both can carry is flow already
            flow[0] += min(inflow, outflow)
            pixels[p].excess = inflow - outflow
            if inflow != outflow:
                side = 1 if inflow > outflow else -1
                pixels[p].parent = ROOT
                pixels[p].level = side
                _enqueue(pixels, queues, p, side)
            for k in range(4):
                # an arc to beyond the grid keeps capacity 0, which no search passes: the empty pixels stay free
                inside = (k == 0 or y + 1 < height) and (k == 1 or (x > 0 if k == 3 else x + 1 < width))
                if inside:
                    both_ways = np.int64(scale * links[k, y, x] + half)
                    capacity[8 * p + 2 * k] = both_ways
                    # the same link seen from the neighbour: in each direction it can carry as much
                    capacity[8 * (p + steps[2 * k]) + 2 * k + 1] = both_ways


_STATE = (writes(1, int64), writes(1, int64), writes(1, from_dtype(PIXEL)), writes(2, int32), reads(1, int64))


def _start_kernel(kind):
    capacities = types.Tuple([reads(2, kind), reads(2, kind), reads(3, kind)])
    return Kernel(_start, (*_STATE, capacities, types.UniTuple(kind, 2)), serial=True)


_start_int64, _start_float64 = map(_start_kernel, (int64, float64))


@kernel(*_STATE, serial=True)
def _maximise(flow, capacity, pixels, queues, steps):
    """Grow the trees in turn, a level a pass, until the source's can't grow.

    Then the source's tree is all that the source reaches: the smallest source set.
    """
    while queues[1, LENGTH] > 0:
        # the shallower tree grows, so that the two meet half way
        source_next = queues[1, DEPTH] <= queues[0, DEPTH] or queues[0, LENGTH] == 0
        flow[0] += _grow(capacity, pixels, queues, steps, 1 if source_next else -1)


@inner
def _grow(capacity, pixels, queues, steps, side):
    """Let the deepest level of a tree take its free neighbours and meet the other tree; return the flow pushed."""
    flow = 0
    s = (side + 1) // 2
    depth = queues[s, DEPTH]
    queues[s, GROWING] = 1
    queues[s, NOW] = queues[s, LENGTH]
    while queues[s, NOW] > 0:
        p = _pop(pixels, queues, s)
        if side * pixels[p].level > depth:  # it sank while it waited: its turn is the next pass
            _enqueue(pixels, queues, p, side)
        d = np.int64(0)  # typed, lest Numba compile all below twice, once for a literal
        # a pixel that has sunk, left the tree or joined the other one has another level: its turn is over
        while d < 8 and side * pixels[p].level == depth:
            q = p + steps[d]
            depth_q = side * pixels[q].level
            # of this tree already, or out of reach
            if depth_q > 0 or capacity[_outward(p, q, d, side)] == 0:
                d += 1
            elif depth_q < 0:
                # d stays: the same neighbour may carry more, or be free for this tree to take by now
                flow += _augment(capacity, pixels, queues, steps, p, d, side)
            else:
                pixels[q].level = side * (depth + 1)
                pixels[q].parent = d ^ 1
                _enqueue(pixels, queues, q, side)
                d += 1
    queues[s, GROWING] = 0
    queues[s, DEPTH] += 1
    return flow


@inner
def _outward(p, q, d, side):
    """Where the arc between p and its neighbour q in direction d is kept that leads from p's side on to q."""
    return 8 * p + d if side > 0 else 8 * q + (d ^ 1)


@inner
def _augment(capacity, pixels, queues, steps, p, d, side):
    """Push all that the path through p and its neighbour d, of the other tree, can carry; the amount."""
    q = p + steps[d]
    arc = _outward(p, q, d, side)
    # the path is root ... p, then the arc from p to q, then q ... root of the other tree
    residual_p = _residual(capacity, pixels, steps, p, side)
    amount = min(capacity[arc], residual_p, _residual(capacity, pixels, steps, q, -side))
    capacity[arc] -= amount
    # flow that was pushed may be pushed back: the opposite arc gains what this one loses
    capacity[_outward(p, q, d, -side)] += amount
    for leaf, tree in ((p, side), (q, -side)):
        last = abs(pixels[leaf].level)
        # each half of the path belongs to one tree, which mends itself
        first = _push(capacity, pixels, steps, leaf, tree, amount)
        _adopt(capacity, pixels, queues, steps, tree, first, last)
    return amount


@inner
def _residual(capacity, pixels, steps, p, side):
    """Least capacity left between p and its terminal."""
    residual = np.int64(2**62)
    while pixels[p].parent != ROOT:
        d = pixels[p].parent
        q = p + steps[d]
        residual = min(residual, capacity[_outward(q, p, d ^ 1, side)])
        # parents lead to the root; in this walk q is p's parent, one level up
        p = q
    return min(residual, side * pixels[p].excess)


@inner
def _push(capacity, pixels, steps, p, side, amount):
    """Push flow between p and its terminal, making orphans where arcs fill up; their lowest level."""
    # beyond the leaf's own level: with no orphan there is nothing to adopt
    lowest = abs(pixels[p].level) + 1
    while pixels[p].parent != ROOT:
        d = pixels[p].parent
        q = p + steps[d]
        arc = _outward(q, p, d ^ 1, side)
        capacity[arc] -= amount
        capacity[_outward(q, p, d ^ 1, -side)] += amount
        if capacity[arc] == 0:
            # the walk climbs, so that the last orphan is the one of the lowest level
            lowest = _orphan(pixels, p)
        p = q
    pixels[p].excess -= side * amount
    # a root whose arc to the terminal is full is an orphan as well
    return _orphan(pixels, p) if pixels[p].excess == 0 else lowest


@inner
def _orphan(pixels, p):
    """Take p's parent away and put p on the list of its level, which is returned."""
    level = abs(pixels[p].level)
    pixels[p].parent = NONE
    # lists are linked through the pixels; the head of that of level l is kept with pixel number l
    pixels[p].orphan = pixels[level].orphans
    pixels[level].orphans = p
    return level


@inner
def _adopt(capacity, pixels, queues, steps, side, level, last):
    """Find new parents for the orphans of one tree, from ``level`` to ``last`` and their children below.

    A parent one level up is as good as the old one.  Without it the children are orphans too, and the pixel sinks
    to below the uppermost neighbour that leads to it; if that is too deep, it leaves the tree.  The other tree
    need not search again: what it has searched has no capacity left towards the pixel.
    """
    # the deepest level that this tree has so far: while a pass grows it, the one that the pass makes
    limit = queues[(side + 1) // 2, DEPTH] + queues[(side + 1) // 2, GROWING]
    # levels are settled in ascending order: what is orphaned meanwhile lies deeper
    while level <= last:
        p = np.int64(pixels[level].orphans)
        if p < 0:
            level += 1
            continue
        pixels[level].orphans = pixels[p].orphan
        parent, below = NONE, limit + 1
        for d in range(8):
            q = p + steps[d]
            candidate = side * pixels[q].level + 1
            # a neighbour that is an orphan itself will do: should it sink, p is its child, and an orphan again
            if 1 < candidate < below and capacity[_outward(q, p, d ^ 1, side)] > 0:
                parent, below = d, candidate
                # no neighbour can be nearer to the terminal, for levels are distances
                if candidate == level:
                    break
        pixels[p].parent = parent
        # p stays at its level, and so do its children
        if below == level:
            continue
        for d in range(8):
            q = p + steps[d]
            # from q to p is direction d ^ 1: where that is q's parent, q is a child of p
            if pixels[q].parent == d ^ 1 and side * pixels[q].level > 0:
                last = max(last, _orphan(pixels, q))
        # from its new, deeper level it has to search again
        pixels[p].level = 0 if parent == NONE else side * below
        _enqueue(pixels, queues, p, side)


@inner
def _enqueue(pixels, queues, p, side):
    """Queue p, if its level may have something to reach, for this pass or the next; it waits at most once."""
    s = (side + 1) // 2
    ahead = side * pixels[p].level - queues[s, DEPTH]
    # levels above the deepest have been searched already, and level 0, of a free pixel, never is
    if ahead < 0 or pixels[p].queued & (s + 1):
        return
    size = queues.shape[1] - RING
    # the first NOW on the ring are this pass's: what joins them now goes to the front
    if ahead == 0 and queues[s, GROWING]:
        place = (queues[s, FRONT] + size - 1) % size
        queues[s, FRONT] = place
        queues[s, NOW] += 1
    else:
        place = (queues[s, FRONT] + queues[s, LENGTH]) % size
    queues[s, RING + place] = p
    queues[s, LENGTH] += 1
    pixels[p].queued |= s + 1


@inner
def _pop(pixels, queues, s):
    """Take the first pixel out of a queue."""
    p = np.int64(queues[s, RING + queues[s, FRONT]])
    queues[s, FRONT] = (queues[s, FRONT] + 1) % (queues.shape[1] - RING)
    queues[s, LENGTH] -= 1
    queues[s, NOW] -= 1
    pixels[p].queued ^= s + 1
    return p
