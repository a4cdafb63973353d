"""What there is for device "cuda": driver, GPU, packages; and what to do where one of them is missing.

The driver is asked directly, since it tells more than whether something works, and answers without Numba.
"""

from __future__ import annotations

import ctypes
import os
import sys
from importlib.util import find_spec
from typing import NamedTuple

__all__ = ["Gpu", "gpus", "missing"]

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
OLDEST_DRIVER = 12000  # CUDA 12.0, as the driver counts
OLDEST_GPU = 7, 5  # Turing: what the CUDA 13 compiler still writes code for
MAJOR, MINOR = 75, 76  # the driver's numbers of a GPU's attributes

INSTALL = "pip install 'minicnn-engine[cuda]' (CUDA 13), or 'minicnn-engine[cuda12]' for an older driver"


class Gpu(NamedTuple):
    """One GPU, as its driver describes it."""

    name: str
    compute_capability: tuple[int, int]
    memory: int  # bytes


def missing() -> str | None:
    """Return why device "cuda" can't be used here and what to do, or None if it can."""
    if simulated():
        return None
    driver = _driver()
    if driver is None:
        return f"there is no NVIDIA driver ({LIBRARY} does not load); install the driver of your GPU"
    version, found = _version(driver), gpus()
    if not found:
        return "the NVIDIA driver finds no GPU; check nvidia-smi, and CUDA_VISIBLE_DEVICES"
    if version < OLDEST_DRIVER:
        return f"the NVIDIA driver is for CUDA {_dotted(version)}, and 12.0 is the oldest that will do; update it"
    if found[0].compute_capability < OLDEST_GPU:
        major, minor = found[0].compute_capability
        return f"{found[0].name} has compute capability {major}.{minor}, and 7.5 is the oldest that will do"
    return _missing_packages()


def simulated() -> bool:
    """Whether Numba's CUDA simulator stands in for a GPU (NUMBA_ENABLE_CUDASIM=1), as some tests ask."""
    return os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0") and find_spec("numba") is not None


def gpus() -> list[Gpu]:
    """Return the GPUs that the driver finds, none without a driver."""
    driver, count = _driver(), ctypes.c_int()
    if driver is None or driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return []
    return [_gpu(driver, i) for i in range(count.value)]


def _driver():
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError:
        return None


def _version(driver) -> int:
    version = ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    return version.value


def _dotted(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"


def _gpu(driver, number: int) -> Gpu:
    name, memory, value = ctypes.create_string_buffer(256), ctypes.c_size_t(), ctypes.c_int()
    driver.cuDeviceGetName(name, len(name), number)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), number)
    capability = []
    for attribute in (MAJOR, MINOR):
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, number)
        capability.append(value.value)
    return Gpu(name.value.decode(errors="replace"), (capability[0], capability[1]), memory.value)


def _missing_packages() -> str | None:
    if find_spec("numba") is None or find_spec("numba_cuda") is None:
        return f"Numba's CUDA compiler is not installed; {INSTALL}"
    try:
        from numba import cuda

        cuda.compile_ptx(_nothing, (), cc=OLDEST_GPU)
        cuda.current_context()
    except Exception as error:  # of many kinds, by what is missing: a library, its version, the GPU's mode
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        return f"Numba's CUDA compiler does not work ({reason}); {INSTALL}"
    return None


def _nothing():
    """Compile to a kernel that does nothing: the smallest question to the compiler."""
