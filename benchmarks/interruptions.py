"""Ten thousand pictures, one in a hundred broken, through three commands, killed by three signals at ten moments.

    python benchmarks/interruptions.py [--pictures N] [--net NAME] [--moments N]

What is left after each kill is checked: one valid record for each picture that is done, in the order of the
pictures and without gaps; the figure of each record, whole; at most one figure more, whose record was not out yet;
how many are done on stderr and the exit status, where the signal can be caught.  A run of ``predict`` to the end
must name every broken picture.  Prints the table of docs/measurements/interruptions.md; exits with 1 if something
is lost.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from minicnn.figures import provenance

# seconds from the first line to the last kill
COMMANDS = {"predict": 1.5, "saliency": 4.0, "localise": 4.0}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
FORMS = ("jsonl", "json", "text")
BROKEN = 100  # one in so many
FIRST = 0.1  # seconds to the first kill


class Run(NamedTuple):
    """What a command left: its status, what it printed, and when the first line was out, in seconds."""

    status: int
    out: bytes
    err: str
    first: float


def main() -> int:
    """Make the pictures, run, kill, check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--net", default="digits")
    parser.add_argument("--moments", type=int, default=10)
    arguments = parser.parse_args()
    lost = 0
    with tempfile.TemporaryDirectory() as folder:
        pictures = make_pictures(Path(folder) / "pictures", arguments.pictures)
        whole = [path for n, path in enumerate(pictures) if not is_broken(n)]
        for command in COMMANDS:
            # kernels are compiled once, which "minicnn warm-up" does ahead of time
            out = [] if command == "predict" else ["-o", str(Path(folder) / "out")]
            compiled = [command, str(pictures[0]), "--net", arguments.net, "--device", "cpu", *out]
            subprocess.run([sys.executable, "-m", "minicnn", *compiled], check=True, stdout=subprocess.DEVNULL)
            words = [command, str(Path(folder) / "pictures"), "--net", arguments.net, "--device", "cpu"]
            lost += kill_at_moments(words, whole, arguments.moments, Path(folder) / "out")
        lost += check_end(
            ["predict", str(Path(folder) / "pictures"), "--net", arguments.net, "--device", "cpu"], whole
        )
    return 1 if lost else 0


def is_broken(n: int) -> bool:
    """Return whether the n-th picture is broken."""
    return n % BROKEN == BROKEN // 2


def make_pictures(folder: Path, count: int) -> list[Path]:
    """Write JPEG files of noise of 64 x 64 pixels in folders of a thousand; of each hundred one is cut off."""
    rng, paths = np.random.default_rng(0), []
    for n in range(count):
        path = folder / f"{n // 1000:03}" / f"{n:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        data = io.BytesIO()
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((64, 64), Image.Resampling.BILINEAR).save(data, "JPEG")
        path.write_bytes(data.getvalue()[: 300 if is_broken(n) else None])
        paths.append(path)
    return paths


def kill_at_moments(words: list[str], pictures: list[Path], moments: int, folder: Path) -> int:
    """Kill a command by each signal at each moment, each form of output in turn; return how often it lost work."""
    faults, first, done, partial = 0, [], [], 0
    for number in SIGNALS:
        for moment in range(moments):
            form = FORMS[moment % 3] if number != signal.SIGKILL else FORMS[0]
            shutil.rmtree(folder, ignore_errors=True)
            typed = [*words, *([] if form == "text" else [f"--{form}"])]
            typed += [] if words[0] == "predict" else ["-o", str(folder)]
            run = run_and_kill(typed, number, FIRST + (COMMANDS[words[0]] - FIRST) * moment / max(1, moments - 1))
            problems, records, cut = check(run, number, form, pictures, folder)
            faults, partial = faults + bool(problems), partial + cut
            first.append(run.first)
            done.append(records)
            for problem in problems:
                print(f"{' '.join(typed[:1])} {signal.Signals(number).name} {form}: {problem}", file=sys.stderr)
    runs = len(SIGNALS) * moments
    # the median, too: a machine that others use starts late now and then
    start = f"{sorted(first)[runs // 2]:.2f} to {max(first):.2f} s"
    print(
        f"| {words[0]} | {runs} | {min(done)} to {max(done)} | {start} | {partial} | {faults} |",
        flush=True,
    )
    return faults


def run_and_kill(typed: list[str], number: signal.Signals, seconds: float) -> Run:
    """Run a command, and send it the signal so many seconds after its first line."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen([sys.executable, "-m", "minicnn", *typed], stdout=out, stderr=err)
        while process.poll() is None and not out.seek(0, 2):
            time.sleep(0.01)
        first = time.monotonic() - start
        time.sleep(seconds)
        process.send_signal(number)
        status = process.wait()
        out.seek(0)
        err.seek(0)
        return Run(status, out.read(), err.read().decode(), first)


def check(
    run: Run, number: signal.Signals, form: str, pictures: list[Path], folder: Path
) -> tuple[list[str], int, int]:
    """Return what is wrong with what is left, how many records there are, and of a line that was cut off 1."""
    text, cut = run.out.decode(), 0
    if form == "jsonl":
        lines = text.split("\n")
        cut = int(bool(lines.pop()))
        records = [json.loads(line) for line in lines]
    elif form == "json":
        records = json.loads(text)
    else:
        names = re.findall(r"^(\S+\.jpg)(?::|  \()", text, re.MULTILINE)
        records = [{"image": name} for name in names]
    problems = check_records(records, pictures) + check_figures(records, folder)
    if number != signal.SIGKILL:
        if run.status != 128 + number:
            problems.append(f"exit status {run.status}")
        if f": {len(records)} of {len(pictures)}" not in run.err.replace(str(total(pictures)), str(len(pictures))):
            problems.append(f"{len(records)} records, but stderr says {run.err.splitlines()[-1:]}")
    if "Traceback" in run.err:
        problems.append("a traceback")
    return problems, len(records), cut


def total(pictures: list[Path]) -> int:
    """Return how many pictures there are, broken ones among them."""
    return len(pictures) * BROKEN // (BROKEN - 1)


def check_records(records: list[dict[str, Any]], pictures: list[Path]) -> list[str]:
    """Return what is wrong with the order of the records."""
    images = [record["image"] for record in records]
    return (
        [] if images == [str(path) for path in pictures[: len(images)]] else ["records are not those of the first"]
    )


def check_figures(records: list[dict[str, Any]], folder: Path) -> list[str]:
    """Return which figures are missing, damaged, or there without a record."""
    problems = []
    figures = [record.get("figure") or record.get("detections", [{}])[0].get("figure") for record in records]
    for figure in filter(None, figures):
        provenance.read(figure)
        with Image.open(figure) as picture:
            picture.load()
    if folder.exists() and (more := len(list(folder.rglob("*.png"))) - len(records)) not in (0, 1):
        problems.append(f"{more} figures without a record")
    return problems


def check_end(words: list[str], pictures: list[Path]) -> int:
    """Run a command to its end; return 1 unless all is done and every broken picture is named."""
    start = time.monotonic()
    run = subprocess.run([sys.executable, "-m", "minicnn", *words, "--jsonl"], capture_output=True, text=True)
    records, named = len(run.stdout.splitlines()), len(re.findall(r"\d{5}\.jpg: ", run.stderr))
    print(f"to the end: {records} records, {named} named, exit {run.returncode}, {time.monotonic() - start:.0f} s")
    return int((records, named, run.returncode) != (len(pictures), total(pictures) - len(pictures), 1))


if __name__ == "__main__":
    raise SystemExit(main())
