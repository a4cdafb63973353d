"""Interleaved timing, what it is worth, and the machine it was made on."""

from __future__ import annotations

import datetime
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "torch", "onnxruntime")
SILENCE = 0.2  # seconds


def interleaved(runs: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each run, ``rounds`` times, taking turns, so that a busy machine is unfair to nobody.

    Before each turn all are silent for a moment: an engine whose turn is over keeps its threads spinning, on the
    cores of the next.
    """
    names, seconds = list(runs), {name: [] for name in runs}
    for i in range(rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            time.sleep(SILENCE)
            seconds[name].append(runs[name]())
    return seconds


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median and quartiles in milliseconds, and the least."""
    low, median, high = np.percentile(seconds, (25, 50, 75)) * 1e3
    return {"median": median, "low": low, "high": high, "least": min(seconds) * 1e3}


def ratio(seconds: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    """Quotient of the medians, and the quartiles of the quotients of runs made side by side."""
    low, high = np.percentile(np.divide(seconds, others), (25, 75))
    return {"of_medians": float(np.median(seconds) / np.median(others)), "low": float(low), "high": float(high)}


def machine(threads: int) -> dict:
    """Processor, versions, date and load of the machine."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def described(machine: dict) -> str:
    """One paragraph about the machine."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    load = "" if machine["load"] is None else f", load {machine['load'][0]:.1f} at the end"
    return (
        f"{machine['date']}: {machine['processor']}, {machine['cores']} cores, {machine['threads']} threads used"
        f"{load}; Python {machine['python']}, {versions}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        flags = next(line for line in lines if line.startswith("flags")).split()
        return f"{model} ({'AVX-512' if 'avx512f' in flags else 'AVX2' if 'avx2' in flags else 'no AVX2'})"
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown table with aligned columns."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    padded = [[f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in padded)


def write_json(path: str | Path, result: dict) -> None:
    """Write beside, then put into place."""
    path = Path(path)
    beside = path.with_name(f"{path.name}.part")
    beside.write_text(json.dumps(result, indent=1) + "\n")
    os.replace(beside, path)


def pyplot():
    """Matplotlib's pyplot without a window; an error that names the extra where it is not installed."""
    try:
        import matplotlib
    except ImportError as error:
        raise SystemExit("a plot needs matplotlib: pip install 'minicnn-engine[notebooks]'") from error
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    return plt
