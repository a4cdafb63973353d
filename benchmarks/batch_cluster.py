"""``minicnn batch`` on four workers of Dask: one is killed in the middle, then the scheduler, which starts again.

    python benchmarks/batch_cluster.py FASHION [--pictures N] [--net NAME] [--photographs FOLDER]

FASHION is the folder of Fashion-MNIST's idx files.  The answers must be the bytes of a run without Dask.  Prints
what became of each run, and how long it took to notice; exits with 1 if a file differs.
"""

from __future__ import annotations

import argparse
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from batch_kills import differences, done, files, make_pictures

WORKERS = 4


def main() -> int:
    """Make the pictures, run here, run there, kill, run again, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fashion", type=Path)
    parser.add_argument("--photographs", type=Path, help="a folder of photographs, repeated among the others")
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--net", default="digits")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_pictures(folder / "in", arguments.fashion, arguments.photographs, arguments.pictures)
        typed = [sys.executable, "-m", "minicnn", "batch", "in", "--net", arguments.net, "--device", "cpu", "-q"]
        typed += ["--shard-size", "64", "--out"]
        subprocess.run([*typed, "here"], cwd=folder, check=False)
        shards = len(list((folder / "here/answers").iterdir()))
        port = free_port()
        there = [*typed, "there", "--scheduler", f"tcp://127.0.0.1:{port}"]
        scheduler, workers = start_cluster(port, folder)
        try:
            process = subprocess.Popen(there, cwd=folder, stderr=subprocess.PIPE, text=True)
            wait_for(process, folder, shards // 3)
            workers[0].kill()
            print(f"a worker killed: {files(folder / 'there')} of {shards} shards written", flush=True)
            wait_for(process, folder, 2 * shards // 3)
            scheduler.send_signal(signal.SIGKILL)
            start = time.monotonic()
            print(f"the scheduler killed: {files(folder / 'there')} of {shards} shards written", flush=True)
            said = process.communicate()[1].strip().splitlines()
            print(
                f"exit status {process.returncode} after {time.monotonic() - start:.1f} s: {said[-1:]}", flush=True
            )
            print(f"{done(folder / 'there')} of {shards} shards recorded")
            stop([scheduler, *workers])
            scheduler, workers = start_cluster(port, folder)
            status = subprocess.run(there, cwd=folder, check=False).returncode
            print(f"the same command again: exit status {status}, {done(folder / 'there')} shards recorded")
        finally:
            stop([scheduler, *workers])
        faults = differences(folder / "here", folder / "there")
    print(f"{len(faults)} differences", *faults[:10], sep="\n")
    return 1 if faults else 0


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start_cluster(port: int, folder: Path) -> tuple[subprocess.Popen[bytes], list[subprocess.Popen[bytes]]]:
    """Start a scheduler and its workers, in processes of their own."""
    dask, quiet = [sys.executable, "-m", "dask"], {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen([*dask, "scheduler", "--port", str(port), "--no-dashboard"], cwd=folder, **quiet)
    typed = [*dask, "worker", f"tcp://127.0.0.1:{port}", "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    workers = [subprocess.Popen(typed, cwd=folder, **quiet) for _ in range(WORKERS)]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return scheduler, workers
        time.sleep(0.1)
    raise SystemExit("the scheduler does not start")


def wait_for(process: subprocess.Popen[str], folder: Path, shards: int) -> None:
    """Wait until so many shards have files."""
    while files(folder / "there") < shards:
        if process.poll() is not None:
            raise SystemExit(f"the run ended with {process.returncode} too soon: {process.stderr.read()}")
        time.sleep(0.02)


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """Kill what is left."""
    for process in processes:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
