"""Class-specificity: two objects in one picture, and whether the map of a class finds its own.

python benchmarks/two_objects.py DATA [--pairs N] [--methods NAME ...] [-o FOLDER] [--page FILE]

DATA is a labelled folder with masks, as ``minicnn evaluate localisation`` reads it.  The object of one picture is
cut out by its mask and put, at the same size, beside the object of another, which stays on its background: neither
covers the other.  For each of the two classes the box and the mask are then held against both objects.  The same
with the last layer's parameters shuffled, and with every layer's: a map that still tells the objects apart there
owes it to something else than the class.

Each result is kept in FOLDER as soon as it is there, so that a run that was stopped goes on; the figures become a
section of their own in FILE, whatever else stands there.
"""

from __future__ import annotations

import argparse
import sys
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import minicnn
from minicnn.errors import MinicnnError
from minicnn.evaluate.checkpoint import digest, map_with_checkpoint
from minicnn.evaluate.confidence import Estimate, bootstrap_mean
from minicnn.evaluate.dataset import Example, read_dataset, read_mask
from minicnn.evaluate.iou import box_iou, mask_iou
from minicnn.explain import localise
from minicnn.explain.localise import LOCALISATION_METHODS
from minicnn.images import load_image
from minicnn.network import Network
from minicnn.segmentation.components import bounding_box

PAGE = Path(__file__).parents[1] / "docs" / "measurements" / "localisation_composites.md"
HEADING = "## Two objects in one picture"
WEIGHTS = {"trained": None, "last layer shuffled": "last", "all layers shuffled": "all"}
READING = """\
A mask is nearer to its own object if it overlaps it more than the other one; a tie counts one half. Both
classes of a picture are asked for, so that a method that always finds the same one of the two is right in half
of all cases. Only what a trained net has above the shuffled ones is owed to the class. Intervals are 95 %, by
drawing anew the objects that were asked for. The settings of all methods were chosen on the pictures that these
are composed of, which are composites themselves."""


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
    """Return (picture, masks, examples) of pairs of objects with no class in common.

    Objects are paired by random orders of all of them, round after round, each with one of its pictures drawn, so
    that no object is drawn much more often than another and no pair of pictures twice.
    """
    usable: dict[str, list[Example]] = {}
    for example in examples:
        if example.mask is not None:
            usable.setdefault(example.group, []).append(example)
    rng, result, used = np.random.default_rng(seed), [], set()
    for _ in range(50 * count if len(usable) > 1 else 0):
        groups = [list(usable)[n] for n in rng.permutation(len(usable))]
        for names in zip(groups[::2], groups[1::2], strict=False):
            first, second = (usable[name][rng.integers(len(usable[name]))] for name in names)
            key, disjoint = (first.image, second.image), not set(first.classes) & set(second.classes)
            whole = composed(first, second) if disjoint and key not in used and key[::-1] not in used else None
            if whole is not None:
                used.add(key)
                result.append((*whole, (first, second)))
            if len(result) == count:
                return result
    return result


def measured(net: Network, pair: tuple, method: str) -> dict[str, Any]:
    """For each class of a pair, its group and the overlaps of box and mask with its own object and the other."""
    picture, masks, examples = pair
    sides = []
    for own, example in enumerate(examples):
        classes = example.classes
        overlaps = dict.fromkeys(("own box", "other box", "own mask", "other mask"), 0.0)
        try:
            detections = localise(net, picture, partial(_likeliest, classes), method=method)
        except MinicnnError:  # a map that marks nothing finds neither
            detections = []
        for one in detections:
            for side, truth in (("own", masks[own]), ("other", masks[1 - own])):
                overlaps[f"{side} box"] = box_iou(one.box, bounding_box(truth))
                overlaps[f"{side} mask"] = mask_iou(one.mask, truth)
        sides.append({"group": example.group, **overlaps})
    return {"sides": sides}


def _likeliest(classes, probability: np.ndarray) -> list[int]:
    return [max(classes, key=lambda c: probability[c])]


def figures_of(rows: list[dict[str, Any]]) -> list[Estimate]:
    """Shares of masks nearer to their own object, of boxes on it and on the other; mean overlap of the masks."""
    sides = [side for row in rows for side in row["sides"]]
    groups = np.unique([side["group"] for side in sides], return_inverse=True)[1]
    columns = [
        [(s["own mask"] > s["other mask"]) + 0.5 * (s["own mask"] == s["other mask"]) for s in sides],
        [s["own box"] >= 0.5 for s in sides],
        [s["other box"] >= 0.5 for s in sides],
        [s["own mask"] for s in sides],
    ]
    return [bootstrap_mean(np.array(column, float), groups) for column in columns]


def line(name: str, figures: list[Estimate]) -> str:
    """One line of the table."""
    cells = [f"{100 * f.value:.1f} % [{100 * f.low:.1f}, {100 * f.high:.1f}]" for f in figures[:-1]]
    cells.append("{:.3f} [{:.3f}, {:.3f}]".format(*(getattr(figures[-1], n) for n in ("value", "low", "high"))))
    return f"| {name} | " + " | ".join(cells) + " |"


def section_of(page: str, heading: str = HEADING) -> str:
    """Return a Markdown page's section of that heading, up to the next of its kind; empty if there is none."""
    _, result, after = page.partition(heading + "\n")
    return result + after.partition("\n## ")[0].rstrip("\n") + "\n" if result else ""


def with_section(page: str, section: str, heading: str = HEADING) -> str:
    """Return the page with that section in the place of the one of the same heading, or at its end."""
    old = section_of(page, heading)
    return page.replace(old, section) if old else f"{page.rstrip(chr(10))}\n\n{section}"


def main() -> None:
    """Compose pairs, measure three networks by each method, write a section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="a labelled folder with masks")
    parser.add_argument("--net", default="efficientnet-lite0")
    parser.add_argument("--pairs", type=int, default=38)
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=list(LOCALISATION_METHODS),
        default=list(LOCALISATION_METHODS),
        metavar="NAME",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", default="minicnn-localisation", help="folder (default: %(default)s)")
    parser.add_argument("--page", default=PAGE, type=Path)
    arguments = parser.parse_args()
    Path(arguments.output).mkdir(parents=True, exist_ok=True)
    net = minicnn.load(arguments.net).to("auto")
    pairs = pairs_of(read_dataset(arguments.data), arguments.pairs, arguments.seed)
    objects = len({example.group for *_, examples in pairs for example in examples})
    lines = [
        HEADING,
        f"{date.today().isoformat()}, minicnn {minicnn.__version__}, {net.name}: {len(pairs)} pictures of two of "
        f"{objects} objects. Written by `python benchmarks/two_objects.py DATA --pairs {arguments.pairs}`.",
        "",
        "| | mask nearer to its own object | box on its own | box on the other | mask IoU with its own |",
        "|---|---|---|---|---|",
    ]
    for method in arguments.methods:
        for name, which in WEIGHTS.items():
            tried = net if which is None else shuffled(net, which).to("auto")
            print(f"{method}, {name}", file=sys.stderr)
            rows = _kept(tried, pairs, method, Path(arguments.output))
            lines.append(line(f"**{method}**" if which is None else f"{method}, {name}", figures_of(rows)))
    section = "\n".join([*lines, "", READING]) + "\n"
    old = arguments.page.read_text(encoding="utf-8") if arguments.page.exists() else "# Localisation\n"
    arguments.page.write_text(with_section(old, section), encoding="utf-8")
    print(section)


def _kept(net: Network, pairs: list[tuple], method: str, folder: Path) -> list[dict[str, Any]]:
    """Results of all pairs, those that an earlier run kept taken from its file."""
    pictures = [picture for picture, *_ in pairs]
    path = folder / f"pairs-{method}-{digest(net, pictures, repr(LOCALISATION_METHODS[method]))}.jsonl"
    return map_with_checkpoint(path, len(pairs), lambda n: measured(net, pairs[n], method), counted)


def counted(items):
    """Each item, with a count of them on the standard error stream."""
    for n, item in enumerate(items):
        print(f"\r{n + 1}/{len(items)}", end="", file=sys.stderr, flush=True)
        yield item
    print(file=sys.stderr)


if __name__ == "__main__":
    main()
