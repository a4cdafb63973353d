"""Whether device "cuda" can be used here: driver, GPU, packages; and what to do where one of them is missing.

The driver is asked directly, through ctypes: it says more than that something does not work, and needs no Numba.
"""

from __future__ import annotations

import ctypes
import os
import sys
from importlib.util import find_spec
from typing import Any, NamedTuple

__all__ = ["Gpu", "is_simulated", "list_gpus", "reason_unavailable"]

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
OLDEST_DRIVER = 12000  # CUDA 12.0, as the driver numbers versions
OLDEST_CAPABILITY = 7, 5  # Turing: the oldest that the CUDA 13 compiler still generates code for
MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR

INSTALL = "pip install 'minicnn-engine[cuda]' (CUDA 13), or 'minicnn-engine[cuda12]' for an older driver"


class Gpu(NamedTuple):
    """One GPU, as its driver describes it.

    Attributes
    ----------
    name : product name
    compute_capability : (major, minor)
    memory : bytes

    """

    name: str
    compute_capability: tuple[int, int]
    memory: int

    def __str__(self) -> str:
        """Return name, compute capability and memory in one phrase."""
        major, minor = self.compute_capability
        return f"{self.name}, compute capability {major}.{minor}, {self.memory / 2**30:.0f} GiB"


def reason_unavailable() -> str | None:
    """Return why device "cuda" can't be used here and what to do about it, or None if it can."""
    if is_simulated():
        return None
    driver = _driver()
    if driver is None:
        return f"there is no NVIDIA driver ({LIBRARY} does not load); install the driver of your GPU"
    version, gpus = _version(driver), list_gpus()
    if not gpus:
        return "the NVIDIA driver finds no GPU; check nvidia-smi, and CUDA_VISIBLE_DEVICES"
    if version < OLDEST_DRIVER:
        return f"the NVIDIA driver is for CUDA {_dotted(version)}, and 12.0 is the oldest that will do; update it"
    if gpus[0].compute_capability < OLDEST_CAPABILITY:
        major, minor = gpus[0].compute_capability
        return f"{gpus[0].name} has compute capability {major}.{minor}, and 7.5 is the oldest that will do"
    return _missing_packages()


def is_simulated() -> bool:
    """Return whether Numba's CUDA simulator stands in for a GPU (NUMBA_ENABLE_CUDASIM=1), as some tests ask."""
    return os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0") and find_spec("numba") is not None


def list_gpus() -> list[Gpu]:
    """Return the GPUs that the driver finds; none without a driver."""
    driver, count = _driver(), ctypes.c_int()
    if driver is None or driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return []
    return [_gpu(driver, i) for i in range(count.value)]


def _driver() -> Any:
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError:
        return None


def _version(driver: Any) -> int:
    version = ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    return version.value


def _dotted(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"


def _gpu(driver: Any, number: int) -> Gpu:
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

        cuda.compile_ptx(_nothing, (), cc=OLDEST_CAPABILITY)
        cuda.current_context()
    except Exception as error:  # its type depends on what is missing: a library, its version, the GPU's mode
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        return f"Numba's CUDA compiler does not work ({reason}); {INSTALL}"
    return None


def _nothing() -> None:
    """Do nothing: the smallest kernel that shows whether the compiler works."""
