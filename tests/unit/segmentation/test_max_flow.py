"""Maximum flow on the 8-connected grid against SciPy, PyMaxflow and all masks; which of several cuts it gives."""

import itertools
import sys
import tracemalloc

import numpy as np
import pytest

from minicnn.errors import DeviceError, ShapeError
from minicnn.segmentation import max_flow as module
from minicnn.segmentation.max_flow import OFFSETS, cut_capacity, max_flow, neighbours

SOLVERS = ["numba", "scipy", "numpy"]


@pytest.fixture(params=SOLVERS)
def solver(request):
    if request.param != "numpy":
        pytest.importorskip("scipy")
    if request.param == "numba":
        pytest.importorskip("numba")
    return request.param


def random_grid(rng, largest=9):
    """Integer capacities of very different size and sparsity on a grid of 1 to ``largest`` pixels a side."""
    height, width = rng.integers(1, largest, 2)
    bound, empty = int(rng.choice([2, 5, 100, 10**6])), rng.choice([0, 0.5, 0.9], 2)
    source, sink = (
        rng.integers(0, bound, (height, width)) * (rng.random((height, width)) >= empty[0]) for _ in "st"
    )
    links = rng.integers(0, bound, (4, height, width)) * (rng.random((4, height, width)) >= empty[1])
    return source, sink, links


def edges(links):
    """Every (pixel, pixel, capacity) of a grid, by the definition, one at a time."""
    _, height, width = links.shape
    for y, x in itertools.product(range(height), range(width)):
        for (down, right), link in zip(OFFSETS, links, strict=True):
            if 0 <= y + down < height and 0 <= x + right < width:
                yield (y, x), (y + down, x + right), link[y, x]


def slow_capacity(mask, source, sink, links):
    terminals = sum(sink[p] if mask[p] else source[p] for p in np.ndindex(mask.shape))
    return terminals + sum(c for p, q, c in edges(links) if mask[p] != mask[q])


def scipy_flow(source, sink, links):
    """Flow by SciPy, on a graph that is built here."""
    sparse = pytest.importorskip("scipy.sparse")
    from scipy.sparse.csgraph import maximum_flow

    number = np.arange(source.size).reshape(source.shape)
    capacity = np.zeros((source.size + 2, source.size + 2), np.int32)
    capacity[-2, :-2], capacity[:-2, -1] = source.ravel(), sink.ravel()
    for p, q, c in edges(links):
        capacity[number[p], number[q]] = capacity[number[q], number[p]] = c
    return maximum_flow(sparse.csr_array(capacity), source.size, source.size + 1).flow_value


def pymaxflow(source, sink, links, dtype=int):
    """Flow and largest source set by PyMaxflow."""
    graph = pytest.importorskip("maxflow").Graph[dtype]()
    ids = graph.add_grid_nodes(source.shape)
    for step, link in zip(OFFSETS, links, strict=True):
        structure = np.zeros((3, 3))
        structure[1 + step[0], 1 + step[1]] = 1
        graph.add_grid_edges(ids, link, structure=structure, symmetric=True)
    graph.add_grid_tedges(ids, source, sink)
    return graph.maxflow(), ~graph.get_grid_segments(ids)


def test_equals_scipy_and_the_cut(solver):
    rng = np.random.default_rng(0)
    for _ in range(150):
        grid = random_grid(rng)
        flow, mask = max_flow(*grid, solver=solver)
        assert type(flow) is int and mask.dtype == bool and mask.shape == grid[0].shape
        assert flow == scipy_flow(*grid) == slow_capacity(mask, *grid)


def test_equals_pymaxflow():
    pytest.importorskip("numba")
    rng = np.random.default_rng(1)
    for _ in range(300):
        grid = random_grid(rng, largest=14)
        flow, mask = max_flow(*grid, solver="numba")
        other, cut = pymaxflow(*grid)
        assert flow == other == cut_capacity(cut, *grid) == cut_capacity(mask, *grid)
        assert not (mask & ~cut).any()  # the smallest source set lies in every other


def test_smallest_of_all_minimal_cuts(solver):
    rng = np.random.default_rng(2)
    masks = np.array(list(itertools.product([False, True], repeat=6))).reshape(-1, 2, 3)
    several = 0
    for bound in rng.choice([2, 3, 10], 150):
        source, sink = rng.integers(0, bound, (2, 2, 3))
        links = rng.integers(0, bound, (4, 2, 3))
        capacities = np.array([slow_capacity(mask, source, sink, links) for mask in masks])
        minimal = masks[capacities == capacities.min()]
        flow, mask = max_flow(source, sink, links, solver=solver)
        assert flow == capacities.min()
        np.testing.assert_array_equal(mask, minimal.all(axis=0))
        several += len(minimal) > 1
    assert several > 30  # the convention was put to the test


def test_all_solvers_give_one_answer():
    pytest.importorskip("numba")
    pytest.importorskip("scipy")
    rng = np.random.default_rng(3)
    source, sink = rng.integers(0, 1000, (2, 60, 80))
    for strength in (10, 50, 200):
        links = rng.integers(0, strength, (4, 60, 80))
        (flow, mask), *others = (max_flow(source, sink, links, solver=s) for s in SOLVERS)
        assert 0 < mask.sum() < mask.size
        for other, cut in others:
            assert flow == other
            np.testing.assert_array_equal(mask, cut)


@pytest.mark.parametrize("unit", [1.0, np.pi, 1e-200, 1e200])
def test_real_capacities(unit, solver):
    """Rounding moves a capacity by 2^-60 of the sum (Numba) or 2^-29 of the largest (SciPy), a cut by at most
    5 H W times that: 1e-15 and 2e-6 of a flow that is above 50 units here."""
    rng = np.random.default_rng(4)
    whole = [rng.integers(0, 1000, shape) for shape in ((12, 15), (12, 15), (4, 12, 15))]
    real = [a * (unit / 1000) for a in whole]
    flow, mask = max_flow(*real, solver=solver)
    assert type(flow) is float
    # 1e-12: sums of some 900 reals in float64
    assert flow == pytest.approx(cut_capacity(mask, *real), rel=1e-12)
    assert flow == pytest.approx(scipy_flow(*whole) * (unit / 1000), rel=1e-12 if solver == "numba" else 2e-6)


def test_real_energies_equal_pymaxflow():
    pytest.importorskip("numba")
    rng = np.random.default_rng(5)
    for strength in (0.1, 1, 10):
        source, sink = rng.exponential(size=(2, 60, 80))
        links = rng.exponential(strength, (4, 60, 80))
        assert max_flow(source, sink, links)[0] == pytest.approx(
            pymaxflow(source, sink, links, float)[0], rel=1e-9
        )


def test_a_grid_without_terminals_or_links(solver):
    nothing = np.zeros((3, 4), int)
    flow, mask = max_flow(nothing, nothing, np.ones((4, 3, 4), int), solver=solver)
    assert flow == 0 and not mask.any()
    source = np.arange(12).reshape(3, 4)
    flow, mask = max_flow(source, source.T.reshape(3, 4), np.zeros((4, 3, 4), int), solver=solver)
    assert flow == np.minimum(source, source.T.reshape(3, 4)).sum()
    np.testing.assert_array_equal(mask, source > source.T.reshape(3, 4))


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (1, 300), (300, 1)])
def test_narrow_grids(shape, solver):
    """A chain carries its weakest link; of the pixels, the source keeps those before the first such link."""
    source, sink = np.zeros((2, *shape), int)
    source.flat[0], sink.flat[-1] = 100, 90
    links = np.full((4, *shape), 95)
    if source.size > 200:
        links[:, 50 % shape[0], 50 % shape[1]] = links[:, 120 % shape[0], 120 % shape[1]] = 7
    flow, mask = max_flow(source, sink, links, solver=solver)
    assert flow == (7 if source.size > 200 else 90)
    np.testing.assert_array_equal(mask.ravel(), np.arange(source.size) <= (50 if source.size > 200 else 1))


def test_long_paths_that_break(solver):
    """A maze one pixel wide: the trees meet far from their roots and lose long branches."""
    size = 41
    wall = np.zeros((size, size), bool)
    wall[1::4, 1:], wall[3::4, :-1] = True, True
    rng = np.random.default_rng(6)
    links = rng.integers(1, 50, (4, size, size))
    for step, link in zip(OFFSETS, links, strict=True):
        here, there = neighbours(wall, step)
        neighbours(link, step)[0][here | there] = 0
    source, sink = np.zeros((2, size, size), int)
    source[0, :3], source[20, 5:9], sink[-1, -3:], sink[10, 3:5] = 60, 20, 60, 30
    flow, mask = max_flow(source, sink, links, solver=solver)
    assert flow == slow_capacity(mask, source, sink, links) > 0
    sparse_flow = scipy_flow(source, sink, links)
    assert flow == sparse_flow


def test_arguments_stay_and_answers_repeat(solver):
    rng = np.random.default_rng(7)
    arrays = [rng.random((20, 30)), rng.random((20, 30)), rng.random((4, 20, 30))]
    for array in arrays:
        array.flags.writeable = False
    (flow, mask), (second_flow, second_mask) = max_flow(*arrays, solver=solver), max_flow(*arrays, solver=solver)
    assert flow == second_flow
    np.testing.assert_array_equal(mask, second_mask)
    flipped = [a[..., ::-1, :] for a in arrays[:2]]  # not contiguous; the links' directions don't matter at zero
    assert max_flow(*flipped, np.zeros((4, 20, 30)), solver=solver)[0] == pytest.approx(
        np.minimum(*flipped).sum(), rel=1e-6
    )


def test_memory():
    """At most 150 bytes a pixel, the 48 of the arguments included."""
    pytest.importorskip("numba")
    rng = np.random.default_rng(8)
    source, sink = rng.random((2, 200, 300))
    links = rng.random((4, 200, 300))
    max_flow(source, sink, links, solver="numba")
    tracemalloc.start()
    try:
        max_flow(source, sink, links, solver="numba")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 48 + peak / source.size < 150


def ones(height=2, width=3):
    return [np.ones((height, width)), np.ones((height, width)), np.ones((4, height, width))]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("value", [-1, np.nan, np.inf])
def test_capacities_that_are_none(place, value):
    grid = ones()
    grid[place].flat[-1] = value
    with pytest.raises(ShapeError, match=f"{('source', 'sink', 'links')[place]} must hold finite capacities"):
        max_flow(*grid)


@pytest.mark.parametrize(
    "grid",
    [
        (np.ones((2, 3)), np.ones((3, 2)), np.ones((4, 2, 3))),
        (np.ones((2, 3)), np.ones((2, 3)), np.ones((8, 2, 3))),
        (np.ones(6), np.ones(6), np.ones((4, 6))),
        (np.ones((0, 3)), np.ones((0, 3)), np.ones((4, 0, 3))),
    ],
)
def test_shapes_that_do_not_fit(grid):
    with pytest.raises(ShapeError, match=r"shape \(4, H, W\), got"):
        max_flow(*grid)


def test_numbers_too_large_are_refused():
    whole = [a.astype(np.int64) for a in ones()]
    whole[0][0, 0] = 2**61
    with pytest.raises(ShapeError, match=r"2\^61"):
        max_flow(*whole)
    real = [a * 1e308 for a in ones()]
    with pytest.raises(ShapeError, match="finite number"):
        max_flow(*real)
    with pytest.raises(ShapeError, match="unknown solver 'dinic'"):
        max_flow(*ones(), solver="dinic")


def test_scipy_s_limit_is_guarded():
    """Above 2^31 - 1 SciPy is silently wrong; what can be made smaller is, the rest is refused."""
    pytest.importorskip("scipy")
    source, sink, links = (a.astype(np.int64) for a in ones())
    source[0, 0] = sink[1, 2] = 2**40
    # 1 straight through each of 6 pixels, and what a corner's 3 links carry
    assert max_flow(source, sink, links, solver="scipy")[0] == 9
    links[0] = 2**31
    with pytest.raises(ShapeError, match=r"below 2\^30"):
        max_flow(source, sink, links, solver="scipy")
    flow = max_flow(source.astype(float), sink, links, solver="scipy")[0]
    pytest.importorskip("numba")
    assert flow == pytest.approx(max_flow(source, sink, links, solver="numba")[0], rel=1e-6)


@pytest.mark.parametrize(("missing", "expected"), [((), "numba"), (("numba",), "scipy"), (("scipy",), "numpy")])
def test_the_fastest_solver_that_is_installed(monkeypatch, missing, expected):
    monkeypatch.setattr(module, "find_spec", lambda name: None if name in missing else name)
    assert module._fastest_installed() == expected


def test_scipy_asked_for_and_missing_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(DeviceError, match=r"minicnn-engine\[cpu\]"):
        max_flow(*ones(), solver="scipy")
