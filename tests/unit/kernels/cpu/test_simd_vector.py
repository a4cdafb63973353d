"""Processors with shorter vectors than this one's: the compiled convolutions and products hold there too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")

from numba.core import codegen

from minicnn.kernels.cpu.simd import vector

SHORTER = {
    8: ("haswell", ("avx512", "avx10", "evex", "amx")),  # AVX2
    4: ("nehalem", ("avx", "fma", "f16c", "vaes", "vpclmul", "gfni", "evex", "amx")),  # SSE
}


@pytest.mark.parametrize("lanes", SHORTER)
def test_layers_in_shorter_vectors_are_the_references(lanes, tmp_path):
    """In a process that compiles for an older processor, which this one can run."""
    if vector.LANES <= lanes:
        pytest.skip(f"this processor's vectors have {vector.LANES} numbers: the other tests cover what it can run")
    processor, beyond = SHORTER[lanes]
    features = [f for f in codegen.get_host_cpu_features().split(",") if not any(word in f for word in beyond)]
    environment = os.environ | {
        "NUMBA_CPU_NAME": processor,
        "NUMBA_CPU_FEATURES": ",".join(features),
        "MINICNN_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(Path(vector.__file__).parents[4]), os.environ.get("PYTHONPATH")])
        ),
    }
    command = [sys.executable, "-c", "from minicnn.kernels.cpu.simd import vector; print(vector.LANES)"]
    assert subprocess.run(command, env=environment, capture_output=True, text=True).stdout == f"{lanes}\n"
    files = ("../test_devices.py", "conv/test_few_channels.py", "test_linear_batched.py", "conv/test_pointwise.py")
    chosen = "few_channels or linear_batched or pointwise or (cpu and (conv2d or real_networks))"
    tests = [*(str(Path(__file__).parent / name) for name in files), "-k", chosen]
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    result = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert result.returncode == 0 and " skipped" not in result.stdout, (
        result.stdout[-3000:] + result.stderr[-1000:]
    )
