"""The walks of the documentation, typed as they stand: no traceback, no long silence, no lost work.

    python benchmarks/walks.py                   # all three, in fresh folders
    python benchmarks/walks.py deployer --keep FOLDER

Each console line of docs/how_to/walk_*.md runs in one folder, where ``photos`` holds the shipped pictures and, for
the deployer, a truncated one.  Printed are its exit status, its time, and the time to its first line.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
WALKS = {path.stem.removeprefix("walk_"): path for path in sorted((ROOT / "docs/how_to").glob("walk_*.md"))}
BROKEN = {"deployer": {"predict photos", "saliency photos"}}  # commands that meet the broken picture, and say so


def commands(page):
    """Yield the lines after a dollar, without their comments."""
    for block in re.findall(r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                yield re.sub(r"\s+# .*", "", line[2:])


def prepare(folder, walk):
    photos = folder / "photos"
    photos.mkdir(parents=True)
    for path in (ROOT / "notebooks/images").iterdir():
        if path.suffix in (".png", ".jpg"):
            shutil.copy(path, photos)
    if walk in BROKEN:
        whole = (photos / "koala.jpg").read_bytes()
        (photos / "truncated.jpg").write_bytes(whole[: len(whole) // 2])


def run(command, folder):
    """Return (status, what was printed, seconds, seconds to the first output)."""
    line = command.replace("minicnn ", f"{sys.executable} -m minicnn ", 1)
    start, first, output = time.perf_counter(), None, b""
    with subprocess.Popen(
        line, shell=True, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        while chunk := os.read(process.stdout.fileno(), 1 << 16):
            first = first or time.perf_counter() - start
            output += chunk
        status = process.wait()
    seconds = time.perf_counter() - start
    return status, output.decode(errors="replace"), seconds, first or seconds


def walk(name, folder):
    prepare(folder, name)
    fine = True
    for command in commands(WALKS[name]):
        status, output, seconds, first = run(command, folder)
        meets_broken = any(f"minicnn {start} " in f"{command} " for start in BROKEN.get(name, ()))
        wanted = 1 if meets_broken else 0
        right = status == wanted and "Traceback" not in output
        fine &= right
        print(
            f"{'  ' if right else 'NO'} {status}  {seconds:6.1f} s  first line {first:5.1f} s  {command}",
            flush=True,
        )
        if not right:
            print(output[-2000:])
    return fine


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("walks", nargs="*", choices=[*WALKS, []], default=[])
    parser.add_argument("--keep", type=Path, help="the folder to work in, which then stays")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        # this tree's package, unless another is installed
        os.environ.setdefault("PYTHONPATH", str(ROOT))
        results = []
        for name in options.walks or WALKS:
            print(f"{name}")
            results.append(walk(name, folder / name))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
