"""The paper's pictures as commands: seconds of the whole process, from its start to the written file.

    python benchmarks/pictures.py [--rounds 3] [--only WORD ...] [--json FILE]

The kernels are compiled before; localisation is of a photograph of 500 x 375 pixels.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure
from PIL import Image

from minicnn.io import catalogue

LITE0, DIGITS = ["--net", "efficientnet-lite0"], ["--net", "digits"]
COMMANDS = {
    "class model, digits, 28 x 28, 200 steps": ["class-model", "3", *DIGITS],
    "class models of all ten digits": ["class-model", *map(str, range(10)), *DIGITS],
    "class model, Lite0, 224 x 224, 200 steps": ["class-model", "espresso", *LITE0],
    "saliency, digits": ["saliency", "seven.png", *DIGITS],
    "saliency, Lite0, one crop": ["saliency", "PHOTOGRAPH", *LITE0, "--crops", "one"],
    "saliency, Lite0, ten crops": ["saliency", "PHOTOGRAPH", *LITE0],
    "localise, Lite0, ten crops, top 1": ["localise", "PHOTOGRAPH", *LITE0],
    "deconvnet, Lite0, one image": ["deconvnet", "PHOTOGRAPH", *LITE0, "--layer", "_blocks.5", "--channel", "7"],
    "table of three rules, digits": ["deconvnet", "--table", "seven.png", *DIGITS],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="of each command (default: %(default)s)")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="commands that hold one of these")
    parser.add_argument("--json", help="file to write the figures to")
    arguments = parser.parse_args()
    chosen = {n: c for n, c in COMMANDS.items() if not arguments.only or any(w in n for w in arguments.only)}
    with tempfile.TemporaryDirectory() as folder:
        images = {"PHOTOGRAPH": Path(folder) / "coffee.png", "seven.png": catalogue.folder("images") / "seven.png"}
        picture = Image.open(catalogue.folder("images") / "coffee.png").convert("RGB")
        picture.resize((500, 375)).save(images["PHOTOGRAPH"])
        runs = {name: _run([str(images.get(w, w)) for w in words], folder) for name, words in chosen.items()}
        for run in runs.values():
            run()
        seconds = measure.interleaved(runs, arguments.rounds)
    rows = {name: measure.spread(s) for name, s in seconds.items()}
    results = {"machine": measure.machine(2), "milliseconds": rows}
    print(f"{measure.described(results['machine'])}\n")
    cells = [
        [name, f"{r['median'] / 1e3:.2f} ({r['low'] / 1e3:.2f} to {r['high'] / 1e3:.2f})"]
        for name, r in rows.items()
    ]
    print(measure.table(["what", "seconds, median and quartiles"], cells))
    if arguments.json:
        measure.write_json(arguments.json, results)


def _run(words: list[str], folder: str):
    def run() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "minicnn", *words, "-o", folder], check=True, capture_output=True)
        return time.perf_counter() - start

    return run


if __name__ == "__main__":
    main()
