"""The page on methods of maps, from the records of ``minicnn evaluate methods``, one for each net.

python benchmarks/methods.py RECORD.json [RECORD.json ...] [--page FILE]

It measures nothing: every number of the page is in the records.  No photograph is in it.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from pathlib import Path
from typing import Any

from minicnn.figures.evaluation.method_table import READING, markdown

PAGE = Path(__file__).parents[1] / "docs" / "measurements" / "methods.md"
WIDTH = 115

INTRODUCTION = """# Methods of maps compared

Written by `python benchmarks/methods.py` from the records of `minicnn evaluate methods DATA --net NAME -o DIR`,
whose `methods.html` has the same tables in colour. The photographs are real ones of ImageNet's training part, one
of a class, with boxes drawn by hand; classification is easier on them than on validation data. Maps are of the
true class. Baselines, which know nothing of the net, are in brackets. An arrow up: more is better.
"""


def reading(record: dict[str, Any]) -> list[str]:
    """Return how to read the tables: what each column means, and what it does not say."""
    points = [f"**{m['name']}**: {m['meaning']}." for m in record["measures"]] + list(READING)
    lines = ["## How to read it", ""]
    for point in points:
        lines += textwrap.wrap(point, WIDTH - 2, initial_indent="- ", subsequent_indent="  ")
    return lines


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", nargs="+", metavar="RECORD")
    parser.add_argument("--page", default=str(PAGE))
    arguments = parser.parse_args()
    records = [json.loads(Path(path).read_text(encoding="utf-8")) for path in arguments.records]
    lines = [INTRODUCTION]
    for record in records:
        lines += markdown(record)
    Path(arguments.page).write_text("\n".join([*lines, *reading(records[0]), ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
