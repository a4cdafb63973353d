"""The plan on the page on CUDA is what ``cuda_plan.py`` computes from today's code and the tables there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PAGE = (BENCHMARKS.parent / "docs" / "measurements" / "cuda.md").read_text(encoding="utf-8")
SCRIPT = """
import json
import cuda_plan, cuda_launches
import numpy as np
from minicnn.kernels import cuda
from minicnn.kernels.cuda import arrays
from minicnn.kernels.cuda.gemm import tap_tables
from minicnn.kernels.cuda.arrays import empty

def algorithm(n, c, k, size):
    with cuda_launches.record_launches() as launches:
        cuda.conv2d(empty((n, c, size, size), np.float32), empty((k, c, 3, 3), np.float32), padding=1)
    return cuda_plan._pass(launches, (0, 0), cuda_plan.compiled(cuda_plan.PAGE.read_text())).algorithm

cases = {
    "few pixels": (1, 512, 512, 14), "many": (32, 512, 512, 14),
    "few channels": (32, 3, 64, 224), "few filters": (32, 64, 3, 224),
}
print(json.dumps({name: algorithm(*case) for name, case in cases.items()}))
assert not arrays._parameters and not tap_tables.forward_plan.cache_info().currsize, "stand-ins are forgotten"
"""


def run(*command):
    done = subprocess.run([sys.executable, *command], cwd=BENCHMARKS, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def planned(text):
    """Cells of every table's row, without the columns that are measured."""
    rows = [
        line.split(" | ")
        for line in text.splitlines()
        if line.startswith(("| features", "| classifier", "| **all"))
    ]
    return [row[:8] + row[10:15] for row in rows]


def test_the_page_has_the_plan_of_todays_code():
    printed = run("cuda_plan.py")
    rows = planned(printed)
    assert len(rows) == 2 * (23 + 1) + 2 * (13 + 1)
    aims = [line for line in printed.splitlines() if line.startswith("- ")]
    assert len(aims) == 2 and all(line in PAGE for line in aims)
    assert rows == planned(PAGE), (
        "python benchmarks/cuda_plan.py; put what it prints into docs/measurements/cuda.md"
    )


def test_the_algorithm_is_the_one_that_the_plan_expects_most_of():
    assert json.loads(run("-c", SCRIPT)) == {
        "few pixels": "product 64, split",
        "many": "Winograd 128",
        "few channels": "product 64",
        "few filters": "direct",
    }
