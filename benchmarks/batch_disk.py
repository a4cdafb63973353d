"""``minicnn batch`` onto disks that are full, at many sizes, and onto one that can't be written to; root alone.

    python benchmarks/batch_disk.py FASHION [--pictures N] [--net NAME] [--do TASK] [--steps N]

FASHION is the folder of Fashion-MNIST's idx files.  A file system in memory (tmpfs) starts with no room for the
network and gets a step larger each time that a run has filled it, until one ends.  Then it is made read-only and
the command is typed again.  Each run must stop with a sentence and exit status 1, leave no half-written file, and
the last must have the bytes of a run with room.  Prints a table; exits with 1 if something differs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from batch_kills import differences, done, make_pictures


def main() -> int:
    """Fill, look, give more room, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fashion", type=Path)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--net", default="digits")
    parser.add_argument("--do", default="saliency")
    parser.add_argument("--steps", type=int, default=12, help="sizes between nothing and enough")
    arguments = parser.parse_args()
    faults = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_pictures(folder / "in", arguments.fashion, None, arguments.pictures)
        whole = run(arguments, folder, "whole")
        needed = sum(path.stat().st_size for path in (folder / "whole").rglob("*") if path.is_file())
        print(f"a run with room: exit status {whole.returncode}, {needed / 1e6:.1f} MB\n")
        print("| room, MB | exit status | shards recorded | what is said |\n|---|---|---|---|")
        small = folder / "small"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=True)
        try:
            for step in range(1, 3 * arguments.steps):
                size = needed * step // arguments.steps // 1024
                remount(small, f"size={size}k")
                ended = run(arguments, folder, "small/out")
                tell(f"{size / 1000:.1f}", ended, small / "out")
                faults += [f"left behind: {path}" for path in small.rglob(".*.part")]
                faults += [f"no sentence: {ended.stderr}"] * (ended.stderr.count("\n") != 1 and ended.stdout == "")
                if ended.stdout:
                    break
            faults += differences(folder / "whole", small / "out")
            for what in ("in place", "new"):
                remount(small, "ro")
                ended = run(arguments, folder, "small/out" if what == "in place" else "small/new")
                tell(f"read-only, {what}", ended, small / "out")
                faults += [f"read-only: {ended.stderr}"] * (ended.returncode != 1 or ended.stderr.count("\n") != 1)
            faults += differences(folder / "whole", small / "out")
        finally:
            subprocess.run(["umount", small], check=True)
    print(f"\n{len(faults)} faults", *faults[:10], sep="\n")
    return 1 if faults else 0


def run(arguments: argparse.Namespace, folder: Path, out: str) -> subprocess.CompletedProcess[str]:
    """Type the command."""
    typed = [sys.executable, "-m", "minicnn", "batch", "in", "--net", arguments.net, "--do", arguments.do]
    typed += ["--shard-size", "32", "-q", "--out", out]
    return subprocess.run(typed, cwd=folder, check=False, capture_output=True, text=True)


def remount(folder: Path, options: str) -> None:
    """Change the size of a file system, or make it read-only."""
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def tell(room: str, ended: subprocess.CompletedProcess[str], out: Path) -> None:
    """Print a row."""
    try:
        recorded = done(out)
    except Exception as error:
        recorded = f"({error})"
    said = (ended.stderr or ended.stdout).strip().replace("\n", " // ")
    print(f"| {room} | {ended.returncode} | {recorded} | {said[-160:]} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
