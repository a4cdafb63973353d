"""Where the time of a pass goes, and how far each part is from what the machine can do.

    python benchmarks/roofline.py [--nets vgg16 alexnet] [--rounds 7] [--threads 2] [--json FILE]

First the machine's limits are measured: multiply-adds a second of all threads at once, in cache, and bytes a
second of a copy between arrays that fit no cache.  Then each call of the engine is timed.  Its floor is the
longer of two times: its multiply-adds at the first limit (those of the algorithm that it takes: Winograd's are
a quarter), and its arrays, each read or written once, at the second.  Maps that stay in a cache can beat the
second, and so do gradients of full layers, which skip rows whose cotangent is zero.  What the compiled kernels
inside of the calls take is listed apart, so that transforms can be told from products.  Where short passes are
repeated as lists of kernel calls, they are taken apart as they are without, and both times are given.
"""

from __future__ import annotations

import argparse
import inspect
import math
import time
from collections import defaultdict

import measure
import numpy as np
from numba import int64
from peers import Work, input_shape, inputs, network, scores_of

from minicnn.kernels import cpu, reference
from minicnn.kernels.cpu.conv import dispatch
from minicnn.kernels.cpu.runtime.jit import Kernel, inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.runtime.thread_pool import num_threads, set_num_threads
from minicnn.kernels.cpu.simd.gemm_micro import ROWS, Panel, Strided, gemm_micro_3
from minicnn.kernels.cpu.simd.vector import LANES, address

DEPTH = 128  # of the products that find the peak
COPIED = 1 << 26  # floats
PASSES = ("forward", "gradient")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="+", default=("vgg16", "alexnet", "efficientnet-lite0"))
    parser.add_argument("--rounds", type=int, default=7, help="runs of each pass (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of the engine (default: %(default)s)")
    parser.add_argument("--json", help="file to write the figures to")
    arguments = parser.parse_args()
    set_num_threads(arguments.threads)
    limits = {"multiply_adds": peak(), "bytes": bandwidth()}
    works = [Work(net, kind, 1) for net in arguments.nets for kind in PASSES]
    rows = [profile(work, arguments.rounds, limits) for work in works]
    results = {"machine": measure.machine(arguments.threads), "limits": limits, "passes": rows}
    print(f"{measure.described(results['machine'])}\n")
    print(f"Limits: {limits['multiply_adds'] / 1e9:.0f}e9 multiply-adds, {limits['bytes'] / 1e9:.1f} GB a second.")
    for row in rows:
        print(f"\n{printed(row)}")
    if arguments.json:
        measure.write_json(arguments.json, results)


# the machine


@inner
def _product(part, a, b, c, times):
    width = 3 * LANES
    for _ in range(times):
        rows, columns = Strided(address(a[part]), DEPTH, 1), Panel(address(b[part]), width)
        gemm_micro_3(rows, columns, Panel(address(c[part]), width), DEPTH, False)


@kernel(reads(2), reads(2), writes(2), int64)
def _products(a, b, c, times):
    parallel_for(_product, len(a), (a, b, c, times))


@inner
def _copy_part(part, x, y):
    y[part] = x[part]


@kernel(reads(2), writes(2))
def _copy(x, y):
    parallel_for(_copy_part, len(x), (x, y))


def peak() -> float:
    """Multiply-adds a second of all threads at once, in products whose matrices stay in the nearest cache."""
    threads, width, times = num_threads(), 3 * LANES, 20_000
    a, b, c = (np.zeros((threads, n), np.float32) for n in (ROWS * DEPTH, DEPTH * width, ROWS * width))
    return threads * times * ROWS * width * DEPTH / _best(_products, a, b, c, times)


def bandwidth() -> float:
    """Bytes read and written a second: the best of some copies."""
    x = np.ones((64, COPIED // 64), np.float32)
    return 2 * x.nbytes / _best(_copy, x, np.zeros_like(x))


def _best(run, *args) -> float:
    run(*args)
    return min(_timed(run, *args)[0] for _ in range(9))


def _timed(run, *args, **kwargs):
    start = time.perf_counter()
    completed = run(*args, **kwargs)
    return time.perf_counter() - start, completed


# a pass


class Recorder:
    """The functions of the "cpu" kernels, each call of which is timed, weighed and named.

    Attributes
    ----------
    calls : list of (what it is, seconds, multiply-adds, bytes)
    kernels : {name of a compiled kernel: seconds}

    """

    def __init__(self):
        self.calls, self.kernels, self._algorithm = [], defaultdict(float), None

    def __getattr__(self, name):
        """Return the function of that name, which records its calls."""
        function, parameters = getattr(cpu, name), inspect.signature(getattr(reference, name))

        def call(*args, **kwargs):
            self._algorithm = None
            seconds, result = _timed(function, *args, **kwargs)
            given = parameters.bind(*args, **kwargs).arguments
            results = result if isinstance(result, tuple) else (result,)
            arrays = [a for a in (*given.values(), *results) if isinstance(a, np.ndarray)]
            kind = _kind(name, self._algorithm, given.get("weight"))
            work = _multiply_adds(self._algorithm, given, results[0])
            self.calls.append((kind, seconds, work, sum(a.nbytes for a in arrays)))
            return result

        return call

    def recording(self, run) -> float:
        """Seconds of a run, with all that happens in it recorded."""
        compiled, plan_convolution = Kernel.__call__, dispatch.plan_convolution

        def timed_kernel(kernel, *args):
            seconds, _ = _timed(compiled, kernel, *args)
            self.kernels[kernel.name] += seconds

        def recorded(*args, **kwargs):
            plan = plan_convolution(*args, **kwargs)
            self._algorithm = plan[-1]
            return plan

        Kernel.__call__, dispatch.plan_convolution = timed_kernel, recorded
        try:
            return _timed(run)[0]
        finally:
            Kernel.__call__, dispatch.plan_convolution = compiled, plan_convolution


def _kind(name, algorithm, weight) -> str:
    if algorithm is None:
        return name
    words = "gradient of convolution" if name.endswith("grad") else "convolution"
    return f"{words}, {algorithm} {weight.shape[2]}x{weight.shape[3]}"


def _multiply_adds(algorithm, given, result) -> int:
    """Multiply-adds of a call: 0 where there is no weight."""
    weight = given.get("weight")
    if weight is None or weight.ndim == 1:
        return 0
    if weight.ndim == 2:
        return len(result) * weight.size
    n, _, p, q = given["dy"].shape if "dy" in given else result.shape
    if algorithm.endswith("winograd"):  # by tiles of 4x4 outputs, in blocks of 3x3 weights
        stride = _stride(given.get("stride", 1)) if algorithm.startswith("strided") else 1
        blocks = stride**2 * math.prod(-(-size // (3 * stride)) for size in weight.shape[2:])
        return 36 * n * -(-p // 4) * -(-q // 4) * blocks * weight.shape[0] * weight.shape[1]
    return n * p * q * weight.size


def _stride(stride) -> int:
    return stride if isinstance(stride, int) else stride[0]


def profile(work: Work, rounds: int, limits: dict[str, float]) -> dict:
    """Return medians over the rounds: of the whole, and taken apart by kind of call and by compiled kernel."""
    net = network(work).to("cpu")
    x, targets = inputs(work, scores_of(net, input_shape(work)))
    run = (lambda: net(x)) if work.kind == "forward" else (lambda: net.input_gradient(x, targets))
    repeated = []
    for _ in range(rounds + 3):  # the first runs, the second is captured, the third warms up
        time.sleep(measure.SILENCE)
        repeated.append(_timed(run)[0])
    net._executor._passes, runs = None, []
    for _ in range(rounds):
        time.sleep(measure.SILENCE)
        net._executor.kernels = recorder = Recorder()
        runs.append((recorder.recording(run), recorder))
    total = float(np.median([seconds for seconds, _ in runs]))
    calls = [_call(same, limits) for same in zip(*(recorder.calls for _, recorder in runs), strict=True)]
    names = runs[0][1].kernels
    kernels = {name: float(np.median([r.kernels[name] for _, r in runs])) for name in names}
    usual = float(np.median(repeated[3:]))
    return {**work._asdict(), "usual": usual, "seconds": total, "calls": calls, "kernels": kernels}


def _call(same, limits) -> dict:
    kind, _, work, size = same[0]
    floors = work / limits["multiply_adds"], size / limits["bytes"]
    return {
        "kind": kind,
        "seconds": float(np.median([call[1] for call in same])),
        "product": floors[0],
        "memory": floors[1],
    }


def printed(row: dict) -> str:
    """Return one table a pass, and a line of kernels."""
    kinds = defaultdict(list)
    for call in row["calls"]:
        kinds[call["kind"]].append(call)
    lines, ms = [], 1e3
    for kind, calls in sorted(kinds.items(), key=lambda item: -_sum(item[1], "seconds")):
        floor = sum(max(call["product"], call["memory"]) for call in calls)
        parts = [_sum(calls, name) for name in ("seconds", "product", "memory")]
        share = parts[0] / row["seconds"]
        lines.append(
            [
                kind,
                str(len(calls)),
                *(f"{part * ms:.2f}" for part in parts),
                f"{share:.0%}",
                f"{floor / parts[0]:.0%}",
            ]
        )
    rest = row["seconds"] - _sum(row["calls"], "seconds")
    lines.append(["between the calls", "", f"{rest * ms:.2f}", "", "", f"{rest / row['seconds']:.0%}", ""])
    head = ["call", "how many", "ms", "products' floor", "memory's floor", "of the pass", "floor / time"]
    kernels = sorted(row["kernels"].items(), key=lambda item: -item[1])
    named = ", ".join(f"{name} {seconds * ms:.2f}" for name, seconds in kernels if seconds > 0.01 * row["seconds"])
    title = f"{row['net']}, {row['kind']}: {row['usual'] * ms:.1f} ms, taken apart {row['seconds'] * ms:.1f} ms"
    return f"{title}\n\n{measure.table(head, lines)}\n\nCompiled kernels, ms: {named}."


def _sum(calls: list[dict], name: str) -> float:
    return sum(call[name] for call in calls)


if __name__ == "__main__":
    main()
