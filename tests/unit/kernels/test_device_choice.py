"""Which device "auto" stands for, and what is said where Numba or SciPy is missing."""

import sys

import pytest

from minicnn.errors import DeviceError
from minicnn.kernels import SMALL, choose, on


@pytest.fixture(params=["numba", "scipy"])
def missing(request, monkeypatch):
    """Make a package impossible to import, and forget the kernels that were imported with it."""
    for name in list(sys.modules):
        if name.startswith("minicnn.kernels.cpu"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("minicnn.kernels.cpu", raising=False)
    monkeypatch.setitem(sys.modules, request.param, None)
    return request.param


def test_small_work_runs_on_numpy_and_loads_nothing():
    assert choose(0) == choose(SMALL) == "reference"


def test_large_work_runs_on_the_compiled_kernels():
    pytest.importorskip("numba")
    pytest.importorskip("scipy")
    assert choose(SMALL + 1) == "cpu"
    assert on("cpu").__name__ == "minicnn.kernels.cpu"


def test_without_numba_or_scipy_all_work_runs_on_numpy(missing):
    assert choose(10**12) == "reference"
    with pytest.raises(DeviceError, match=rf"needs Numba and SciPy \(.*{missing}.*minicnn-engine\[cpu\]") as error:
        on("cpu")
    assert "\n" not in str(error.value)
