"""``minicnn train``, killed at random moments and resumed until it ends, against a run left alone.

    python benchmarks/training_kills.py [--kills N] [--seed N]

For 1 and 2 threads and 0 and 2 workers, SIGKILL, SIGTERM and SIGINT in turn, after times drawn from none to
those of a whole run.  Afterwards ``best.npz``, all arrays of ``last.npz`` and all of ``metrics.csv`` but the
seconds must be those of the undisturbed run, bit by bit.
Prints a table; exits with 1 if something differs.
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SETTINGS = [(threads, workers) for threads in (1, 2) for workers in (0, 2)]
EPOCHS, IMAGES = 16, 320
RECIPE = f"""
epochs = {EPOCHS}
batch_size = 32
average = 0.99
[augment]
crop = 2
zero_out = 0.5
rotate = 10.0
[optimiser]
name = "adamw"
learning_rate = 0.004
"""


def main() -> int:
    """Train undisturbed, train and kill, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=5, help="for each of four settings")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    rng, faults = np.random.default_rng(arguments.seed), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder)
        seconds = [undisturbed(folder, name) for name in ("warm-up", "whole")][1]
        print(f"{EPOCHS} epochs take {seconds:.1f} s\n")
        wanted = results(folder / "whole")
        print("| threads | workers | kills | of these before the first checkpoint | differences |")
        print("|---|---|---|---|---|", flush=True)
        for threads, workers in SETTINGS:
            out = f"run-{threads}-{workers}"
            early = kill_and_finish(folder, out, (threads, workers), rng.uniform(0, seconds, arguments.kills))
            finished = results(folder / out)
            different = [key for key in wanted if finished.get(key) != wanted[key]]
            faults += bool(different or len(finished) != len(wanted))
            print(f"| {threads} | {workers} | {arguments.kills} | {early} | {len(different)} |", flush=True)
    return 1 if faults else 0


def write_data(folder: Path) -> None:
    """Write images of a bar or of none, and a recipe."""
    rng, classes = np.random.default_rng(0), np.arange(IMAGES) % 2
    images = rng.integers(0, 120, (IMAGES, 32, 32), np.uint8)
    images[classes == 1, 10:20, 12:16] = 250
    np.savez(folder / "data.npz", images=images, labels=classes)
    (folder / "recipe.toml").write_text(RECIPE)


def undisturbed(folder: Path, out: str) -> float:
    """Train without a kill and return the seconds; the first run on a machine compiles for most of its time."""
    start = time.monotonic()
    if start_training(folder, out, 1, 0).wait():
        raise SystemExit(f"{out}: the run did not end well")
    return time.monotonic() - start


def start_training(folder: Path, out: str, threads: int, workers: int) -> subprocess.Popen[bytes]:
    """Start the same command again, as a person would."""
    words = [
        "train",
        "data.npz",
        "--net",
        "lenet5",
        "--recipe",
        "recipe.toml",
        "--workers",
        str(workers),
        "-o",
        out,
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "minicnn", *words],
        cwd=folder,
        env=os.environ | {"NUMBA_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_and_finish(folder: Path, out: str, setting: tuple[int, int], moments: np.ndarray) -> int:
    """Kill the run after each time in turn, then let it end; return how many kills came before a checkpoint yet.

    A run that is over before its moment has come starts anew, so that every kill meets one that lives.
    """
    early = 0
    for number, moment in enumerate(moments):
        while True:
            process = start_training(folder, out, *setting)
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                process.send_signal(SIGNALS[number % len(SIGNALS)])
                process.wait()
                break
            for path in (folder / out).iterdir():
                if path.is_file():
                    path.unlink()
        early += not (folder / out / "last.npz").exists()
    if start_training(folder, out, *setting).wait():
        raise SystemExit(f"{out}: the run did not end well")
    return early


def results(folder: Path) -> dict[str, bytes]:
    """Return the bytes of what must not depend on kills, by name."""
    kept = {"best.npz": (folder / "best.npz").read_bytes()}
    with np.load(folder / "last.npz") as arrays:
        kept |= {f"last {name}": arrays[name].tobytes() for name in arrays.files if name != "training.json"}
    with open(folder / "metrics.csv", newline="") as file:
        for row in csv.DictReader(file):
            row.pop("seconds")
            kept[f"epoch {row['epoch']}"] = repr(row).encode()
    return kept


if __name__ == "__main__":
    raise SystemExit(main())
