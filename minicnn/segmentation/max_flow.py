"""Maximum flow, and so minimum cut, on the 8-connected grid of an image's pixels."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import numpy as np

from minicnn.errors import DeviceError, ShapeError
from minicnn.kernels import on
from minicnn.segmentation import push_relabel

__all__ = ["OFFSETS", "count_threads", "cut_capacity", "max_flow", "neighbours"]

# (rows, columns) to four of the 8-neighbourhood: E, S, SE, SW; the other four mirror them.
OFFSETS = ((0, 1), (1, 0), (1, 1), (1, -1))

# All capacities sum to less, so that no flow or residual leaves an int64.
LARGEST_TOTAL = 2.0**61
# SciPy counts in int32, where a residual is up to twice a capacity: above this it is silently wrong.
SCIPY_LARGEST = 2**30 - 1


def neighbours(array: np.ndarray, offset: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return views of the pixels that have a neighbour at an offset, and of those neighbours.

    Parameters
    ----------
    array : array of shape (H, W, ...)
    offset : one of OFFSETS

    Returns
    -------
    here, there : views of one shape, there[i] the neighbour of here[i]

    Examples
    --------
    >>> here, there = neighbours(np.array([[1, 2], [3, 4]]), (1, -1))  # south-west
    >>> here.tolist(), there.tolist()
    ([[2]], [[3]])

    """
    down, right = offset
    height, width = array.shape[:2]
    # east and south steps cut off the last columns and rows, a south-west step the first column
    here = array[: max(height - down, 0), max(-right, 0) : width - max(right, 0)]
    return here, array[down:, max(right, 0) : width - max(-right, 0)]


def cut_capacity(
    mask: np.ndarray, source: np.ndarray, sink: np.ndarray, links: np.ndarray
) -> np.floating[Any] | np.integer[Any]:
    """Capacity of the cut that has the mask on the source's side.

    sum_p not in mask source_p + sum_p in mask sink_p + sum_pq links_pq [one of p, q in the mask].

    Parameters
    ----------
    mask : array of shape (H, W), bool
    source, sink : arrays of shape (H, W)
    links : array of shape (4, H, W), to the neighbours of OFFSETS; what leads out of the grid is ignored

    Returns
    -------
    capacity : scalar of the capacities' dtype

    Examples
    --------
    >>> links = np.zeros((4, 1, 2), int)
    >>> links[0, 0, 0] = 2
    >>> int(cut_capacity(np.array([[True, False]]), np.array([[3, 0]]), np.array([[0, 5]]), links))
    2

    """
    # a pixel on the source's side cuts its arc to the sink, any other its arc from the source
    capacity = np.where(mask, sink, source).sum()
    for offset, link in zip(OFFSETS, links, strict=True):
        here, there = neighbours(mask, offset)
        capacity += neighbours(link, offset)[0][here != there].sum()
    return capacity


def max_flow(
    source: np.ndarray, sink: np.ndarray, links: np.ndarray, *, solver: str | None = None
) -> tuple[float, np.ndarray]:
    """Maximum flow from source to sink through a grid of pixels, and the minimum cut nearest to the source.

    flow = min over masks of ``cut_capacity(mask, source, sink, links)``.  Of several such masks the smallest is
    returned: the pixels that the source can still reach along arcs with capacity left.

    Parameters
    ----------
    source, sink : arrays of shape (H, W), finite, >= 0: capacity from the source, and to the sink
    links : array of shape (4, H, W), finite, >= 0: capacity, the same both ways, between each pixel and its
        neighbour to the east, south, south-east and south-west; what leads out of the grid is ignored
    solver : None, "numba", "scipy" or "numpy"; None is the first of them that is installed

    Returns
    -------
    flow : int if all three arrays are of integers, else float
    mask : array of shape (H, W), bool, true on the source's side

    Raises
    ------
    ShapeError
        If shapes differ, a capacity is negative, NaN or infinite, or integers are too large for the solver.

    See Also
    --------
    scipy.sparse.csgraph.maximum_flow : for any graph

    Notes
    -----
    Integers are exact.  Real capacities are multiplied by a power of two and rounded, and the mask is that of the
    rounded ones.  Numba counts in 64 bits: the power is the largest for which all capacities sum to at most 2^60,
    so each is off by at most 2^-60 of their sum; the flow is the rounded ones'.  SciPy counts in 32 bits: there a
    terminal capacity is first cut down to a little more than what the pixel's links can carry, which changes
    neither flow nor mask; the largest that is left becomes at most 2^30 - 1, so each is off by less than 2^-29 of
    that one; the flow is the real capacity of the cut.  On equal integers both solvers give equal answers.

    Numba's takes 97 bytes a pixel beside the arguments.  On a grid that is one long path its time grows with the
    square of the length (16,000 pixels: half a second); photographs are far from that.

    References
    ----------
    Boykov, Kolmogorov 2004 with the distance labels of Goldberg et al. 2011; SciPy's is Dinic's, 1970, NumPy's
    that of Goldberg, Tarjan 1988.

    Examples
    --------
    Two pixels: at most 2 of the 3 that the source offers pass from the first to the second:

    >>> source, sink = np.array([[3, 0]]), np.array([[0, 5]])
    >>> links = np.zeros((4, 1, 2), int)
    >>> links[0, 0, 0] = 2
    >>> flow, mask = max_flow(source, sink, links, solver="numpy")
    >>> flow, mask.tolist()
    (2, [[True, False]])

    """
    source, sink, links = _check_capacities(source, sink, links)
    solvers = {"numba": _solve_with_numba, "scipy": _solve_with_scipy, "numpy": push_relabel.solve}
    if solver not in (None, *solvers):
        raise ShapeError(f'max_flow: unknown solver {solver!r}; expected None, "numba", "scipy" or "numpy"')
    return solvers[solver or _fastest_installed()](source, sink, links)


def count_threads() -> int:
    """Return how many flows are best computed at once, each on a Python thread of its own.

    Numba's solver lets other threads run; the others mostly hold Python's lock, so that one at a time is as fast.
    """
    if _fastest_installed() != "numba":
        return 1
    on("cpu")  # raises in one sentence if the package can't be used
    from minicnn.kernels.cpu.runtime.thread_pool import num_threads

    return num_threads()


def _fastest_installed() -> str:
    """Name of the fastest solver whose packages are installed."""
    if not find_spec("scipy"):
        return "numpy"
    # Numba's solver comes with device 'cpu', which needs SciPy too, so SciPy is asked for first
    return "numba" if find_spec("numba") else "scipy"


def _check_capacities(
    source: np.ndarray, sink: np.ndarray, links: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return contiguous arrays, all int64 or, if any of them is real, all float64."""
    arrays = {"source": np.asarray(source), "sink": np.asarray(sink), "links": np.asarray(links)}
    shapes = [a.shape for a in arrays.values()]
    if len(shapes[0]) != 2 or 0 in shapes[0] or shapes[1:] != [shapes[0], (4, *shapes[0])]:
        raise ShapeError(
            "max_flow: expected source and sink of shape (H, W) and links of shape (4, H, W), "
            f"got {shapes[0]}, {shapes[1]} and {shapes[2]}"
        )
    for name, a in arrays.items():
        if a.dtype.kind not in "buif" or not (a.min() >= 0 and a.max() < np.inf):
            raise ShapeError(f"max_flow: {name} must hold finite capacities >= 0; check it for NaN and infinity")
    integers = all(a.dtype.kind in "bui" for a in arrays.values())
    if not _total(arrays.values()) < (LARGEST_TOTAL if integers else np.inf):
        raise ShapeError(
            "max_flow: capacities must sum to less than 2^61 if integers, to a finite number if reals"
        )
    source, sink, links = (np.ascontiguousarray(a, np.int64 if integers else np.float64) for a in arrays.values())
    return source, sink, links


def _total(arrays: Iterable[np.ndarray]) -> float:
    """Sum of all capacities, those of links counted for both ways."""
    with np.errstate(over="ignore"):
        # ndim - 1 is 1 for source and sink (H, W), and 2 for links (4, H, W), which are arcs both ways
        return sum(float(a.sum(dtype=np.float64)) * (a.ndim - 1) for a in arrays)


def _power_of_two(limit: float, largest: float) -> float:
    """Largest power of two that keeps ``largest`` at or below ``limit``; 1 for zero."""
    return 2.0 ** min(np.floor(np.log2(limit) - np.log2(largest)), 1000) if largest > 0 else 1.0


def _solve_with_numba(source: np.ndarray, sink: np.ndarray, links: np.ndarray) -> tuple[float, np.ndarray]:
    """Flow and mask by our own search trees, compiled."""
    on("cpu")  # raises in one sentence if Numba or SciPy is missing
    from minicnn.kernels.cpu import max_flow

    if source.dtype == np.int64:
        return max_flow.solve(source, sink, links, 1, 0)
    # a power of two is exact, so only the rounding to integers loses anything
    scale = _power_of_two(LARGEST_TOTAL / 2, _total((source, sink, links)))
    flow, mask = max_flow.solve(source, sink, links, scale, 0.5)
    return float(flow / scale), mask


def _solve_with_scipy(source: np.ndarray, sink: np.ndarray, links: np.ndarray) -> tuple[float, np.ndarray]:
    """Flow and mask by ``scipy.sparse.csgraph``: what the source reaches in the graph left by its maximum flow."""
    try:
        from scipy.sparse import csgraph
    except ImportError as error:
        raise DeviceError(
            "max_flow: needs SciPy, and Numba to be fast: pip install 'minicnn-engine[cpu]'"
        ) from error
    # only the excess of one terminal over the other matters to the cut: the smaller passes straight through
    graph = _sparse_graph(*_to_int32(source - sink, links))
    from_source, to_sink = graph.shape[0] - 2, graph.shape[0] - 1
    # SciPy's flow is antisymmetric, so the difference holds the arcs back as well
    residual = graph - csgraph.maximum_flow(graph, from_source, to_sink).flow
    # an explicit zero would count as an arc in the search
    residual.eliminate_zeros()
    reached = np.zeros(graph.shape[0], bool)
    reached[csgraph.breadth_first_order(residual, from_source, return_predecessors=False)] = True
    mask = reached[:-2].reshape(source.shape)
    return cut_capacity(mask, source, sink, links).item(), mask


def _to_int32(excess: np.ndarray, links: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return terminal capacities (H, W), positive from the source, and links (4, H, W), as int32 for SciPy."""
    links = links.copy()
    passable = np.zeros_like(excess)  # what a pixel's links can carry
    for offset, link in zip(OFFSETS, links, strict=True):
        # links that lead out of the grid become 0
        inside, outward = neighbours(link, offset)[0], np.zeros_like(link)
        neighbours(outward, offset)[0][...] = inside
        link[...] = outward
        # a link carries as much either way, so it counts for both of its ends
        passable += outward
        neighbours(passable, offset)[1][...] += inside
    # no more than that can pass, so a larger excess changes neither flow nor mask
    # the extra keeps a terminal's arc from filling up, so that the pixel is still reached along it
    bound = passable + (links.max() or 1)
    excess = np.clip(excess, -bound, bound)
    largest = max(np.abs(excess).max(), links.max())
    if excess.dtype == np.int64:
        if largest > SCIPY_LARGEST:
            raise ShapeError(
                f"max_flow: without Numba integer capacities must stay below 2^30, got {largest}; "
                "install Numba, or pass floats, which are rescaled"
            )
        return excess.astype(np.int32), links.astype(np.int32)
    # reals: scaled to use all of int32's room
    scale = _power_of_two(SCIPY_LARGEST, largest)
    return np.rint(excess * scale).astype(np.int32), np.rint(links * scale).astype(np.int32)


def _sparse_graph(excess: np.ndarray, links: np.ndarray) -> Any:
    """Return the capacities as a sparse matrix; the last two rows and columns are the source and the sink."""
    from scipy.sparse import coo_matrix

    # node p of the graph is pixel p in row order
    number = np.arange(excess.size).reshape(excess.shape)
    source, sink = excess.size, excess.size + 1
    parts = [
        # (from, to, capacity): a pixel has one terminal, whichever its excess is on
        (np.broadcast_to(source, number.shape), number, np.maximum(excess, 0)),
        (number, np.broadcast_to(sink, number.shape), np.maximum(-excess, 0)),
    ]
    for offset, link in zip(OFFSETS, links, strict=True):
        (here, there), capacity = neighbours(number, offset), neighbours(link, offset)[0]
        # an undirected link is an arc each way
        parts += [(here, there, capacity), (there, here, capacity)]
    rows, columns, data = (np.concatenate([p[i].ravel() for p in parts]) for i in range(3))
    graph = coo_matrix((data, (rows, columns)), shape=(sink + 1, sink + 1)).tocsr()
    graph.eliminate_zeros()
    return graph
