"""Thousands of real pictures, one in twenty broken, through ``minicnn batch``, killed at random moments.

    python benchmarks/batch_kills.py FASHION [--pictures N] [--kills N] [--net NAME] [--photographs FOLDER]
        [--do TASK]

FASHION is the folder of Fashion-MNIST's idx files.  One run to its end; then runs that are killed with SIGKILL,
most at random moments spread over the shards, one in five while it starts, and one that ends by itself.  All files
but the manifest must be the same bytes, all good pictures answered and all broken ones listed.  Prints how many
kills there were, how far each came, and what differs; exits with 1 if anything does.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image

BROKEN = 20  # one in so many
START = 3.0  # seconds in which a run starts


def main() -> int:
    """Make the pictures, run, kill, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fashion", type=Path)
    parser.add_argument("--photographs", type=Path, help="a folder of photographs, repeated among the others")
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--net", default="digits")
    parser.add_argument("--do", default="predict")
    arguments = parser.parse_args()
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_pictures(folder / "in", arguments.fashion, arguments.photographs, arguments.pictures)
        typed = [sys.executable, "-m", "minicnn", "batch", "in", "--net", arguments.net, "--device", "cpu"]
        typed += ["--do", arguments.do, "--quiet", "--out"]
        start = time.perf_counter()
        subprocess.run([*typed, "whole"], cwd=folder, check=False)
        seconds = time.perf_counter() - start
        print(f"whole: {seconds:.1f} s, {arguments.pictures / seconds:.0f} pictures a second")
        shards = len(list((folder / "whole/answers").iterdir()))
        # spread over the whole run, the first of them before anything is done
        moments = sorted(rng.uniform(0, shards) for _ in range(arguments.kills))
        for number, moment in enumerate(moments):
            process = subprocess.Popen([*typed, "parts"], cwd=folder, stdout=subprocess.DEVNULL)
            if number % 5 == 4:  # while it starts, lists and looks at what is there
                time.sleep(rng.uniform(0, START))
            else:
                until(process, folder / "parts", int(moment), rng.uniform(0, seconds / shards))
            process.send_signal(signal.SIGKILL)
            process.wait()
            print(f"killed {number + 1}: {done(folder / 'parts')} of {shards} shards recorded", flush=True)
        subprocess.run([*typed, "parts"], cwd=folder, check=False)
        faults = differences(folder / "whole", folder / "parts") + wrong_counts(folder, arguments.pictures)
    print(f"{arguments.kills} kills, {len(faults)} differences")
    print("\n".join(faults[:10]))
    return 1 if faults else 0


def until(process: subprocess.Popen[bytes], folder: Path, shards: int, seconds: float) -> None:
    """Wait until so many shards have files, and some time more."""
    there = files(folder)
    while files(folder) < max(shards, there + 1):
        if process.poll() is not None:
            raise SystemExit(f"the run ended with {process.returncode} before it could be killed")
        time.sleep(0.002)
    time.sleep(seconds)
    if process.poll() is not None:
        print("a run was over before its moment had come")


def files(folder: Path) -> int:
    """Return how many shards have a file; while a run goes on, its manifest can't be asked."""
    return len(list(folder.glob("answers/part-*")))


def done(folder: Path) -> int:
    """Return how many shards the manifest holds as done."""
    path = folder / "manifest.sqlite"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as base:
        try:
            return base.execute("select count(distinct shard) from inputs where state != 'open'").fetchone()[0]
        except sqlite3.OperationalError:  # killed before its tables were made
            return 0


def make_pictures(folder: Path, fashion: Path, photographs: Path | None, count: int) -> None:
    """Write pictures in folders of a thousand; one in twenty is cut off, empty, or text."""
    path = next(fashion.glob("train-images*"))
    data = (gzip.open(path) if path.suffix == ".gz" else path.open("rb")).read()
    pixels = np.frombuffer(data, np.uint8, offset=16).reshape(-1, 28, 28)
    photos = [] if photographs is None else sorted(p for p in photographs.rglob("*.jpg"))
    for n in range(count):
        below = folder / f"{n // 1000:03}"
        below.mkdir(parents=True, exist_ok=True)
        if photos and n % 50 == 0:
            place = below / f"{n:06}.jpg"
            shutil.copy(photos[n // 50 % len(photos)], place)
        else:
            place = below / f"{n:06}.png"
            Image.fromarray(pixels[n % len(pixels)]).save(place)
        if is_broken(n):
            whole = place.read_bytes()
            place.write_bytes((whole[: len(whole) // 2], b"", b"no picture")[n // BROKEN % 3])


def is_broken(n: int) -> bool:
    """Return whether the n-th picture is broken."""
    return n % BROKEN == BROKEN // 2


def differences(one: Path, other: Path) -> list[str]:
    """Return the files that differ, but for the manifests."""
    names = {p.relative_to(f).as_posix() for f in (one, other) for p in f.rglob("*") if p.is_file()}
    names.discard("manifest.sqlite")
    return [
        name
        for name in sorted(names)
        if not ((one / name).exists() and (other / name).exists())
        or (one / name).read_bytes() != (other / name).read_bytes()
    ]


def wrong_counts(folder: Path, count: int) -> list[str]:
    """Return what is wrong with which pictures are answered and which are listed as broken."""
    parts = sorted((folder / "parts/answers").iterdir())
    answered = [json.loads(line)["image"] for part in parts for line in part.read_text().splitlines()]
    listed = [line.split(",")[0] for line in (folder / "parts/broken.csv").read_text().splitlines()[1:]]
    numbers = [int(Path(name).stem) for name in answered], [int(Path(name).stem) for name in listed]
    expected = [n for n in range(count) if not is_broken(n)], [n for n in range(count) if is_broken(n)]
    return [
        f"{what}: {len(got)} of {len(want)}"
        for what, got, want in zip(("answered", "broken"), numbers, expected, strict=True)
        if got != want
    ]


if __name__ == "__main__":
    sys.exit(main())
