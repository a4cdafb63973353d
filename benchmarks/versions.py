"""Two checkouts of minicnn in turns: whether a change made anything slower.

    python benchmarks/versions.py ../before . [--python FILE FILE] [--only vgg] [--rounds 1.0]

Each version runs in a process of its own, both stay alive, and they take turns run by run, so that what
neighbours take of the machine falls on both.  "Paired" is the median of the ratios of runs that followed each
other.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# network, what is computed, images, runs
WORKS = [
    ("efficientnet-lite0", "forward", 1, 80),
    ("efficientnet-lite0", "gradient", 1, 60),
    ("efficientnet-lite0", "forward", 8, 24),
    ("efficientnet-lite0", "gradient", 10, 14),
    ("alexnet", "forward", 1, 60),
    ("alexnet", "gradient", 1, 50),
    ("vgg16", "forward", 1, 20),
    ("vgg16", "gradient", 1, 16),
    ("digits", "forward", 1, 120),
    ("digits", "training", 64, 50),
]
WARM_UP = 4  # runs: the first compiles, the second is captured, later ones are replayed
SILENCE = 0.02  # seconds before each run


def serve(name: str, kind: str, images: int) -> None:
    """Build a network with random weights, then run it once for each line of standard input."""
    import numpy as np

    import minicnn

    net = minicnn.zoo.build(name, seed=0)
    if kind != "training":
        net = net.fold_batch_norm()
    net = net.to("cpu")
    x = np.random.default_rng(0).normal(size=(images, *net.input_shape)).astype(np.float32)
    run = {
        "forward": lambda: net(x),
        "gradient": lambda: net.input_gradient(x, 3),
        "training": lambda: net.loss_gradient(x, np.arange(images) % 10),
    }[kind]
    for _ in range(WARM_UP):
        run()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(time.perf_counter() - start, flush=True)


class Version:
    """One checkout, running one work in a process of its own."""

    def __init__(self, folder: Path, python: str, work: tuple[str, str, int], cache: Path):
        self._process = subprocess.Popen(
            [python, __file__, "--serve", *map(str, work)],
            env=os.environ | {"PYTHONPATH": str(folder.resolve()), "MINICNN_CACHE_DIR": str(cache)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._process.stdout.readline().strip() != "ready":
            raise SystemExit(f"{folder}: {' '.join(map(str, work))} could not be run")

    def run(self) -> float:
        """Seconds of one run."""
        time.sleep(SILENCE)
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path, help="a checkout")
    parser.add_argument("new", type=Path, help="another")
    parser.add_argument("--python", nargs=2, default=[sys.executable] * 2, help="the interpreter of each")
    parser.add_argument("--only", default="", help="only works whose name holds this")
    parser.add_argument("--rounds", type=float, default=1.0, help="times the usual number of runs")
    arguments = parser.parse_args()
    print("| work | old, ms | new / old, medians | paired |\n|---|---|---|---|")
    with (
        tempfile.TemporaryDirectory() as folder
    ):  # each keeps its kernels apart from the other's, and from its user's
        for work in WORKS:
            if arguments.only in " ".join(map(str, work)):
                compare(work, arguments, Path(folder))


def compare(work: tuple[str, str, int, int], arguments: argparse.Namespace, caches: Path) -> None:
    """Run one work in turns and print its row."""
    *what, runs = work
    checkouts = zip((arguments.old, arguments.new), arguments.python, ("old", "new"), strict=True)
    old, new = (Version(folder, python, tuple(what), caches / name) for folder, python, name in checkouts)
    seconds: dict[Version, list[float]] = {old: [], new: []}
    for turn in range(max(2, round(runs * arguments.rounds))):
        for version in (old, new) if turn % 2 else (new, old):
            seconds[version].append(version.run())
    paired = statistics.median(b / a for a, b in zip(seconds[old], seconds[new], strict=True))
    before, after = (statistics.median(seconds[version]) for version in (old, new))
    title = ", ".join(map(str, what))
    print(f"| {title} | {before * 1e3:.2f} | {after / before:.3f} | {paired:.3f} |", flush=True)
    old.close()
    new.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
