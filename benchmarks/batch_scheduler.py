"""What ten thousand shards cost Dask's scheduler, and our manifest: tasks that do nothing, of real size.

    python benchmarks/batch_scheduler.py [--shards N] [--workers N] [--threads N]

The tasks carry a shard of 256 names and return 256 digests, as those of ``minicnn batch`` do.  They go to the
scheduler a few at a time, as a batch hands them over, and all at once; then the manifest takes as many images and
notes as many shards.  Prints seconds a shard, and the memory of the scheduler's process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, wait
from itertools import islice
from pathlib import Path

import batch_cluster

from minicnn.batch.cluster import open_cluster
from minicnn.batch.inputs import Input
from minicnn.batch.manifest import Manifest
from minicnn.batch.shard import Done, Output, Shard

SIZE = 256  # images of a shard


def main() -> None:
    """Submit, wait, look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=32, help="of each worker: tasks that run at once")
    arguments = parser.parse_args()
    port, count = batch_cluster.free_port(), arguments.shards
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "dask"]
    scheduler = subprocess.Popen([*dask, "scheduler", "--port", str(port), "--no-dashboard"], **quiet)
    typed = [*dask, "worker", f"tcp://127.0.0.1:{port}", "--no-nanny", "--no-dashboard"]
    workers = [
        subprocess.Popen([*typed, "--nthreads", str(arguments.threads)], **quiet) for _ in range(arguments.workers)
    ]
    try:
        time.sleep(3)
        with open_cluster(f"tcp://127.0.0.1:{port}") as executor:
            while executor.width() < 2 * arguments.workers * arguments.threads:
                time.sleep(0.1)
            print(f"scheduler at rest: {memory(scheduler.pid):.0f} MB", flush=True)
            for what, width in (("a few at a time", executor.width()), ("all at once", count)):
                start, most = time.perf_counter(), 0.0
                waiting = (shard(n) for n in range(count))
                running = {executor.submit(answer, each) for each in islice(waiting, width)}
                while running:
                    finished, running = wait(running, return_when=FIRST_COMPLETED)
                    most = max(most, memory(scheduler.pid))
                    running |= {executor.submit(answer, each) for each in islice(waiting, len(finished))}
                    finished.clear()
                each = (time.perf_counter() - start) / count
                print(f"{what} ({width}): {each * 1e3:.2f} ms a shard, at most {most:.0f} MB, ", end="")
                print(f"{memory(scheduler.pid):.0f} MB afterwards", flush=True)
    finally:
        batch_cluster.stop([scheduler, *workers])
    note(count)


def note(count: int) -> None:
    """Print what the manifest takes for as many shards."""
    with tempfile.TemporaryDirectory() as name:
        manifest = Manifest(Path(name))
        start = time.perf_counter()
        images = count * SIZE
        manifest.add((image for n in range(count) for image in shard(n).images), SIZE)
        listed = time.perf_counter()
        some = range(0, count, max(1, count // 1000))
        for n in some:
            whole = manifest.shard(n)
            manifest.finish(whole, answer(whole))
        end = time.perf_counter()
        size = manifest.path.stat().st_size
        print(f"manifest: {(listed - start) / images * 1e6:.1f} us to list an image, ", end="")
        print(f"{(end - listed) / len(some) * 1e3:.1f} ms to note a shard, {size / images:.0f} bytes an image")
        start = time.perf_counter()
        manifest.close()
        again = Manifest(Path(name))
        again.open_shards()
        print(f"opened again, with {images} images: {time.perf_counter() - start:.1f} s")
        again.close()


def shard(number: int) -> Shard:
    """Return a shard with names of usual length."""
    names = [f"/data/photographs/{number:06}/{i:08}.jpg" for i in range(SIZE)]
    return Shard(number, SIZE * number, [Input(name, name) for name in names])


def answer(given: Shard) -> Done:
    """Return what a worker would, having done nothing."""
    digests = [(100_000, "0" * 64, 1_700_000_000_000_000_000)] * len(given.images)
    output = Output(f"answers/part-{given.number:06}.jsonl", 60_000, "0" * 64)
    return Done(given.number, list(digests), [None] * len(given.images), [output])


def memory(pid: int) -> float:
    """Return a process's resident megabytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1000
    return 0.0


if __name__ == "__main__":
    main()
