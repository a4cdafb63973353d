"""Sanity checks, pointing game, deletion and insertion measured on real networks, as a page.

python benchmarks/sanity.py DATA [--digits FOLDER] [-o FOLDER] [--pictures NAME,NAME] [--curves N] [--page FILE]

DATA is a labelled folder, as for ``minicnn evaluate localisation``; --digits one of pictures of single digits.
Each picture's result is kept in FOLDER as soon as it is there, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import minicnn
from minicnn.evaluate.dataset import read_dataset
from minicnn.evaluate.insertion_deletion import evaluate_insertion_deletion
from minicnn.evaluate.method_comparison import MethodComparison
from minicnn.evaluate.pointing_game import evaluate_pointing
from minicnn.evaluate.sanity_checks import sanity_check
from minicnn.evaluate.sanity_result import THRESHOLDS, SanityCheck
from minicnn.explain.methods import METHODS
from minicnn.images.folder import list_images

PAGE = Path(__file__).parents[1] / "docs" / "measurements" / "sanity.md"
# all methods, those of many passes with fewer than by default
ON_DIGITS = {name: {} for name in METHODS}
ON_DIGITS |= {
    "smoothgrad": {"samples": 8},
    "integrated-gradients": {"steps": 16},
    "occlusion": {"window": 8, "stride": 5},
}

# on EfficientNet-Lite0, where each picture asks for some 40 nets: fewer pictures and fewer passes
MANY_PASSES = {"smoothgrad": {"samples": 4}, "integrated-gradients": {"steps": 8}}
MANY_PASSES |= {"occlusion": {"window": 56, "stride": 42}}
MANY_SAID = "maps of many passes (4 samples; 8 steps; windows of 56 every 42 pixels)"

READING = """## How to read it

- Numbers of the sanity checks are Spearman's rank correlation of |map| with the map of the trained net (1 the same
  map, 0 another), their mean and 95 % interval over pictures.
- {thresholds}.
- Parameters are shuffled within each array, so that every layer keeps its scale; the publication draws new ones.
  Layers go from the scores down. A block of a residual network is one layer here.
- "Another class" is what permuting the rows of the last layer comes to. "Permuted labels" fits the last layer
  anew by least squares, to the classes that the net sees in these pictures and to the same permuted; no other
  layer changes. The publication trains whole nets on permuted labels; that asks more, and was not done.
- A map that does not change with the last layer says nothing about the class, however well it points; it shows
  what stands out in the picture.
- The deconvnet of EfficientNet-Lite0 is the same, bit for bit, for all pictures: what ties a deconvnet to its
  picture are the switches of max-pooling, and this network has none. On digits, with three, it passes.
- Integrated gradients are the input less a black one, times a mean gradient: on black ground they are 0 whatever
  the net is, and all maps of a digit share that. The signed maps, of which nothing is left, say what has changed.
- In the pointing game most of these pictures show one thing, and finding it takes no class. The share of a random
  point and the centre are what to hold the maps against.
- A small area of deletion and a large one of insertion are better, against pixels in random order. Deleting
  scattered pixels destroys a picture faster than deleting patches, whatever they show, so that fine maps look
  better there than coarse ones: in random order pixels are scattered too.
- `minicnn evaluate sanity NET IMAGE...`, `evaluate pointing DATA` and `evaluate curves DATA` measure the same, and
  write tables and figures.
- Intervals of pointing and of the curves are 95 %, by drawing whole objects anew.
- {caution}
"""


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Lines of a table in Markdown."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def of_check(name: str, check: SanityCheck) -> list[str]:
    """Lines of a sanity check."""
    lines = [f"## Sanity checks, {name}: {len(check.rows)} pictures, {len(check.stages)} layers or blocks", ""]
    lines += [", ".join(Path(row["image"]).name for row in check.rows) + ".", ""]
    verdicts = [f"- **{method}** {check.verdict(method)}" for method in check.methods]
    return [*lines, *table(*check.table()), "", *verdicts, "", f"Permuted labels: {check.labels}.", ""]


def of_comparison(name: str, result: MethodComparison) -> list[str]:
    """Lines of a comparison."""
    over = f"{len(result.rows)} pictures of {result.groups} objects"
    return [f"## {result.title[0].upper()}{result.title[1:]}, {name}: {over}", "", *table(*result.table()), ""]


def spread(items: list, count: int) -> list:
    """Return so many items, evenly through the list."""
    return [items[len(items) * n // count] for n in range(min(count, len(items)))]


def counted(items: list) -> Iterable:
    """Items, the number of those left on stderr."""
    for n, item in enumerate(items):
        print(f"\r{len(items) - n} left ", end="", file=sys.stderr)
        yield item


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--digits")
    parser.add_argument("-o", "--output", default="minicnn-sanity")
    parser.add_argument("--pictures", help="of the sanity checks, names with commas (default: 12 of DATA)")
    parser.add_argument("--curves", type=int, default=8, help="pictures of the curves, evenly through DATA")
    parser.add_argument("--page", default=str(PAGE))
    arguments = parser.parse_args()
    keep = Path(arguments.output)
    keep.mkdir(parents=True, exist_ok=True)
    net, examples = minicnn.load("efficientnet-lite0").to("auto"), read_dataset(arguments.data)
    how = {"keep": keep, "progress": counted}
    names = (arguments.pictures or "").split(",")
    images = [e.image for e in examples if e.image.name in names] or [e.image for e in spread(examples, 12)]
    lines = ["# Whether maps can be trusted"]
    lines += [
        f"{date.today().isoformat()}, minicnn {minicnn.__version__}. Written by `python benchmarks/sanity.py`.",
        "",
    ]
    lines += of_check(net.name, sanity_check(net, images, **how))
    lines += of_check(f"{net.name}, {MANY_SAID}", sanity_check(net, spread(images, 4), MANY_PASSES, **how))
    if arguments.digits is not None:
        digits = minicnn.load("digits")
        lines += of_check(digits.name, sanity_check(digits, list_images(arguments.digits), ON_DIGITS, **how))
    pointed = evaluate_pointing(net, examples, **how)
    lines += of_comparison(net.name, pointed)
    lines += of_comparison(
        net.name, evaluate_insertion_deletion(net, spread(examples, arguments.curves), steps=16, **how)
    )
    lines.append(
        READING.format(thresholds=THRESHOLDS[0].upper() + THRESHOLDS[1:], caution=pointed.record()["caution"])
    )
    Path(arguments.page).write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
