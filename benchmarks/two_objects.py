"""Class-specificity: two objects in one picture, and whether the map of a class finds its own.

python benchmarks/two_objects.py DATA [--pairs N] [--method NAME]

DATA is a labelled folder with masks, as ``minicnn evaluate localisation`` reads it.  The object of one picture is
cut out by its mask and put, at the same size, beside the object of another, which stays on its background: neither
covers the other.  For each of the two classes the box and the mask are then held against both objects.  The same
with the last layer's parameters shuffled, and with every layer's: a map that still tells the objects apart there
owes it to something else than the class.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

import minicnn
from minicnn.errors import MinicnnError
from minicnn.explain import localise
from minicnn.explain.components import bounding_box
from minicnn.explain.dataset import Example, read_dataset, read_mask
from minicnn.explain.intervals import interval
from minicnn.explain.overlap import box_iou, mask_iou
from minicnn.images import load_image
from minicnn.network import Network


def shuffled(net: Network, which: str, seed: int = 0) -> Network:
    """Copy of a network with the values of each parameter of its last layer, or of all layers, shuffled.

    Shuffling keeps every parameter's distribution, so that scores stay in range; running variances stay positive.
    """
    state, rng = net.state_dict(), np.random.default_rng(seed)
    last = list(state)[-1].rpartition(".")[0]
    changed = {
        name: rng.permutation(array.ravel()).reshape(array.shape)
        if which == "all" or name.rpartition(".")[0] == last
        else array
        for name, array in state.items()
    }
    return Network.from_state_dict(
        net.named_layers,
        changed,
        net.input_shape,
        preprocess=net.preprocess,
        labels=net.labels,
    )


def composed(first: Example, second: Example) -> tuple[np.ndarray, list[np.ndarray]] | None:
    """Picture (H, W, 3) of the first example with the second's object beside it, and both masks (H, W).

    None if the second's object, moved to the wider free side, would not fit or would cover the first.
    """
    picture, (own, other) = np.array(load_image(first.image)), (read_mask(first), read_mask(second))
    source = np.asarray(load_image(second.image))
    (x0, _, x1, _), (a, top, b, bottom) = bounding_box(own), bounding_box(other)
    left, width = (0, x0) if x0 > own.shape[1] - x1 else (x1, own.shape[1] - x1)
    if b - a > width or bottom > own.shape[0]:
        return None
    left += (width - (b - a)) // 2
    cut = other[top:bottom, a:b]
    placed = np.zeros_like(own)
    placed[top:bottom, left : left + b - a] = cut
    picture[top:bottom, left : left + b - a][cut] = source[top:bottom, a:b][cut]
    return picture, [own, placed]


def pairs_of(examples: list[Example], count: int, seed: int = 0) -> list[tuple]:
    """Return (picture, masks, examples) of randomly drawn pairs of objects with no class in common."""
    rng, found, tries = np.random.default_rng(seed), [], 0
    usable = [example for example in examples if example.mask is not None]
    while len(found) < count and tries < 50 * count:
        first, second = (usable[n] for n in rng.choice(len(usable), 2, replace=False))
        tries += 1
        whole = None if set(first.classes) & set(second.classes) else composed(first, second)
        if whole is not None:
            found.append((*whole, (first, second)))
    return found


def measured(net: Network, pairs: list[tuple], method: str) -> list[dict[str, float]]:
    """One row for each class of each pair: overlap with its own object and with the other."""
    rows = []
    for number, (picture, masks, examples) in enumerate(pairs):
        for own, example in enumerate(examples):
            row = {"pair": number, "own box": 0.0, "other box": 0.0, "own mask": 0.0, "other mask": 0.0}
            try:
                (found,) = localise(net, picture, [example.classes[0]], method=method)
            except MinicnnError:  # a map that marks nothing finds neither
                rows.append(row)
                continue
            for side, truth in (("own", masks[own]), ("other", masks[1 - own])):
                row[f"{side} box"] = box_iou(found.box, bounding_box(truth))
                row[f"{side} mask"] = mask_iou(found.mask, truth)
            rows.append(row)
        print(f"\r{number + 1}/{len(pairs)}", end="", file=sys.stderr, flush=True)
    return rows


def table(name: str, rows: list[dict[str, float]]) -> str:
    """One line of the table: share of maps on the right object, and of boxes that hit own and other."""
    groups = np.array([row["pair"] for row in rows])
    columns = [
        [(row["own mask"] > row["other mask"]) + 0.5 * (row["own mask"] == row["other mask"]) for row in rows],
        [row["own box"] >= 0.5 for row in rows],
        [row["other box"] >= 0.5 for row in rows],
    ]
    figures = [interval(np.array(column, float), groups) for column in columns]
    return f"| {name} | " + " | ".join(f"{f.value:.0%} [{f.low:.0%}, {f.high:.0%}]" for f in figures) + " |"


def main() -> None:
    """Compose pairs, measure three networks, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="a labelled folder with masks")
    parser.add_argument("--net", default="efficientnet-lite0")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--method", default="paper")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    net = minicnn.load(arguments.net).to("auto")
    pairs = pairs_of(read_dataset(arguments.data), arguments.pairs, arguments.seed)
    print(f"{len(pairs)} pictures of two objects, method {arguments.method}; 95 % intervals by picture\n")
    print("| weights | mask nearer to its own object | box hits its own | box hits the other |\n|---|---|---|---|")
    for name, which in (("trained", None), ("last layer shuffled", "last"), ("all layers shuffled", "all")):
        tried = net if which is None else shuffled(net, which).to("auto")
        print(table(name, measured(tried, pairs, arguments.method)), flush=True)


if __name__ == "__main__":
    main()
