"""Maximum flow on photographs: ours against PyMaxflow and SciPy, in time and memory, and on random grids in value.

    python benchmarks/graph_cut.py [--rounds 7] [--scipy-rounds 1] [--grids 1000] [--json FILE]

The energies are those of ``segment``: Gaussian mixtures of a disc in the middle and of the border, which are
clamped, and a boundary of weak (gamma 10, 50) to strong (200, 1000) smoothness.  All engines get the same integer
capacities in the same arrays and answer with flow and mask; "solve" leaves out of PyMaxflow's time how long
it takes to build its graph, which for ours is part of the call.  Every answer is compared.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc

import measure
import numpy as np
from PIL import Image

from minicnn.images.lab import rgb_to_lab
from minicnn.io import catalogue
from minicnn.segmentation import colour_model
from minicnn.segmentation.graph_cut import boundary_term, region_term
from minicnn.segmentation.max_flow import OFFSETS, cut_capacity, max_flow

SIZE = (500, 375)
# real energies times this are rounded to the integers that everybody gets; SciPy's fit in 32 bits
UNIT = 2.0**16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="of ours and PyMaxflow (default: %(default)s)")
    parser.add_argument("--scipy-rounds", type=int, default=1, help="0: leave SciPy out (default: %(default)s)")
    parser.add_argument("--grids", type=int, default=1000, help="random grids to compare (default: %(default)s)")
    parser.add_argument("--json", help="file to write the figures to")
    arguments = parser.parse_args()
    print(f"{compared(arguments.grids)} random grids: all three flows equal, each the capacity of our cut\n")
    rows = []
    for name in ("chelsea", "coffee"):
        for gamma in (10, 50, 200, 1000):
            rows.append(timed(name, gamma, arguments.rounds, arguments.scipy_rounds))
            print(f"{name}, gamma {gamma}: {rows[-1]['of build and solve']['of_medians']:.2f}", flush=True)
    results = {"machine": measure.machine(1), "rows": rows}
    print(f"\n{measure.described(results['machine'])}\n\n{printed(rows)}")
    if arguments.json:
        measure.write_json(arguments.json, results)


def capacities(name: str, gamma: float) -> list[np.ndarray]:
    """Source, sink and links, int64, of a photograph that ships with the package."""
    picture = Image.open(catalogue.folder("images") / f"{name}.png").convert("RGB").resize(SIZE)
    colours = rgb_to_lab(np.asarray(picture))
    y, x = np.mgrid[-1 : 1 : 1j * SIZE[1], -1 : 1 : 1j * SIZE[0]]
    sides = [x**2 + y**2 < 0.15, x**2 + y**2 > 1.2]
    rng = np.random.default_rng(0)
    models = [colour_model.fit(rng.choice(colours[side], 3000, replace=False)) for side in sides]
    costs, links = region_term(colours, *models), boundary_term(colours, gamma)
    costs -= costs.min(axis=0)
    for label, side in ((0, sides[0]), (1, sides[1])):
        costs[:, side], costs[label, side] = 0, 1 + 8 * links.max()
    return [np.rint(a * UNIT).astype(np.int64) for a in (costs[0], costs[1], links)]


def pymaxflow(source, sink, links):
    """Flow, and the seconds for building and for solving."""
    import maxflow

    start = time.perf_counter()
    graph = maxflow.Graph[int](source.size, len(OFFSETS) * source.size)
    ids = graph.add_grid_nodes(source.shape)
    for step, link in zip(OFFSETS, links, strict=True):
        structure = np.zeros((3, 3))
        structure[1 + step[0], 1 + step[1]] = 1
        graph.add_grid_edges(ids, link, structure=structure, symmetric=True)
    graph.add_grid_tedges(ids, source, sink)
    built = time.perf_counter()
    flow = graph.maxflow()
    graph.get_grid_segments(ids)
    return flow, built - start, time.perf_counter() - built


def timed(name: str, gamma: float, rounds: int, scipy_rounds: int) -> dict:
    """Seconds of each engine, taking turns, and our peak memory."""
    grid = capacities(name, gamma)
    flow, mask = max_flow(*grid)
    assert flow == cut_capacity(mask, *grid)
    solving = []

    def ours() -> float:
        start = time.perf_counter()
        assert max_flow(*grid)[0] == flow
        return time.perf_counter() - start

    def theirs() -> float:
        other, build, solve = pymaxflow(*grid)
        assert other == flow
        solving.append(solve)
        return build + solve

    def scipy() -> float:
        start = time.perf_counter()
        assert max_flow(*grid, solver="scipy")[0] == flow
        return time.perf_counter() - start

    seconds = measure.interleaved({"ours": ours, "PyMaxflow": theirs}, rounds)
    seconds["PyMaxflow, solve"] = solving
    if scipy_rounds:
        seconds |= measure.interleaved({"SciPy": scipy}, scipy_rounds)
    return {
        "image": name,
        "gamma": gamma,
        "share of the mask": float(mask.mean()),
        "milliseconds": {engine: measure.spread(s) for engine, s in seconds.items()},
        "of build and solve": measure.ratio(seconds["ours"], seconds["PyMaxflow"]),
        "of solve": measure.ratio(seconds["ours"], solving),
        "bytes a pixel": bytes_a_pixel(grid),
    }


def bytes_a_pixel(grid: list[np.ndarray]) -> float:
    """Most memory our solver has at once, with its arguments, divided by the pixels."""
    tracemalloc.start()
    max_flow(*grid)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return (peak + sum(a.nbytes for a in grid)) / grid[0].size


def compared(count: int) -> int:
    """Compare flows on that many random grids of up to 24 x 24 pixels; an error where one differs."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        height, width = rng.integers(1, 25, 2)
        bound, empty = int(rng.choice([2, 10, 1000, 10**7])), rng.choice([0, 0.5, 0.9], 2)
        source, sink = rng.integers(0, bound, (2, height, width)) * (rng.random((2, height, width)) >= empty[0])
        links = rng.integers(0, bound, (4, height, width)) * (rng.random((4, height, width)) >= empty[1])
        flow, mask = max_flow(source, sink, links)
        others = pymaxflow(source, sink, links)[0], max_flow(source, sink, links, solver="scipy")[0]
        assert others == (flow, flow) and flow == cut_capacity(mask, source, sink, links)
    return count


def printed(rows: list[dict]) -> str:
    """Milliseconds (medians), the quotients of the medians with the quartiles of runs side by side, and memory."""
    engines = list(rows[0]["milliseconds"])
    head = ["photograph", "gamma", *engines, "ours / PyMaxflow", "ours / its solve", "bytes a pixel"]
    return measure.table(head, [cells(row, engines) for row in rows])


def cells(row: dict, engines: list[str]) -> list[str]:
    medians = [f"{row['milliseconds'][engine]['median']:.0f}" for engine in engines]
    ratios = [
        f"{row[key]['of_medians']:.2f} ({row[key]['low']:.2f} to {row[key]['high']:.2f})"
        for key in ("of build and solve", "of solve")
    ]
    return [row["image"], str(row["gamma"]), *medians, *ratios, f"{row['bytes a pixel']:.0f}"]


if __name__ == "__main__":
    main()
