"""Memory of a training after 100 and after 10,000 steps.

    python benchmarks/training_memory.py [--steps N]

A small net, batches of 4, two workers, augmentation; every 1,000 steps an epoch ends, with its checkpoint.  Prints
the resident memory of a run, at some steps, and, of another, what Python and NumPy hold (tracemalloc, which needs
memory itself); exits with 1 if the second grows by more than 2 MB from step 100 on.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from minicnn import Network, Preprocess, training
from minicnn.layers import BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from minicnn.training.step import StepResult

SEEN, EPOCH, BATCH = (100, 1000, 2000, 5000, 10_000, 20_000), 1000, 4
ALLOWED = 2 << 20  # bytes


def main() -> int:
    """Train, and look twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000)
    steps = parser.parse_args().steps
    rng = np.random.default_rng(0)
    data = training.Dataset(rng.integers(0, 256, (BATCH * EPOCH, 8, 8), np.uint8), np.arange(BATCH * EPOCH) % 3)
    print("| step | resident | held by Python and NumPy |\n|---|---|---|")
    in_memory = look(data, steps, resident)
    tracemalloc.start()
    held = look(data, steps, lambda: tracemalloc.get_traced_memory()[0])
    for step, size in held.items():
        print(f"| {step:,} | {in_memory[step] / 1e6:.1f} MB | {size / 1e6:.2f} MB |")
    first, *_, last = held.values()
    return int(last - first > ALLOWED)


def look(data: training.Dataset, steps: int, measure: Callable[[], int]) -> dict[int, int]:
    """Train, and return what is measured at some of the steps, in bytes."""
    count, seen = 0, {}

    def step(batch: int, result: StepResult) -> None:
        nonlocal count
        count += 1
        if count in SEEN or count == steps:
            gc.collect()
            seen[count] = measure()

    recipe = training.Recipe(
        epochs=-(-steps // EPOCH), batch_size=BATCH, average=0.99, augment=training.Augment(crop=1, zero_out=0.5)
    )
    with tempfile.TemporaryDirectory() as folder:
        training.fit(make_net(), data, recipe, checkpoint=folder, workers=2, on_step=step)
    return seen


def make_net() -> Network:
    """Return a net of every kind of layer that training treats in its own way."""
    layers = [
        Conv2d(1, 4, 3, padding=1),
        BatchNorm2d(4),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Dropout(0.2),
        Linear(64, 3),
    ]
    grey = Preprocess((8, 8), channels="L", mean=(0.4,), std=(0.3,))
    return Network(layers, (1, 8, 8), grey, device="cpu")


def resident() -> int:
    """Return the bytes of this process that are in memory now (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("no VmRSS in /proc/self/status: Linux only")


if __name__ == "__main__":
    raise SystemExit(main())
