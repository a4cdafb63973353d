"""The maths, once per device: ``on(device)`` gives the module whose functions compute there."""

from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

import numpy as np

from minicnn.errors import DeviceError

__all__ = ["DEVICES", "choose", "on", "parallel_region", "pass_cache", "send"]

DEVICES = ("reference", "cpu", "cuda")

# Multiply-adds for one image up to which "auto" stays on NumPy: some tens of milliseconds there, so that a first
# answer waits for no compiler.  EfficientNet-Lite0 (0.4e9), ten-crop saliency: 2.1 s there, 0.5 s compiled.
SMALL = 100_000_000


def on(device: str) -> ModuleType:
    """Return the kernels of a device.

    "reference" is plain NumPy, the specification of all others; "cpu" is Numba and BLAS on all cores; "cuda"
    is an NVIDIA GPU.

    Raises
    ------
    DeviceError
        If there is no such device, or what it needs is not installed.

    """
    if device == "reference":
        from minicnn.kernels import reference

        return reference
    if device == "cpu":
        try:
            from minicnn.kernels import cpu
        except ImportError as error:
            raise DeviceError(
                f"device 'cpu' needs Numba and SciPy ({error}); pip install 'minicnn-engine[cpu]', "
                "or use device 'reference'"
            ) from error
        return cpu
    if device == "cuda":
        return _cuda()
    raise DeviceError(f"unknown device {device!r}; expected one of {', '.join(DEVICES)}")


def _cuda() -> ModuleType:
    from minicnn.kernels import cuda_availability

    reason = cuda_availability.missing()
    if reason is not None:
        raise DeviceError(f"device 'cuda' can't be used here: {reason}; or use device 'cpu'")
    from minicnn.kernels import cuda

    return cuda


def send(x: Any, device: str) -> Any:
    """Return the array where a device's kernels work: on the GPU for "cuda", else x itself.

    ``numpy.asarray`` brings an array home.
    """
    if device != "cuda" or not isinstance(x, np.ndarray):
        return x
    from minicnn.kernels.cuda.arrays import upload

    return upload(x)


def parallel_region(device: str) -> AbstractContextManager:
    """Return a context for many calls of a device's kernels: "cpu" takes its pool of threads once for all."""
    if device != "cpu":
        return nullcontext()
    from minicnn.kernels.cpu.runtime.thread_pool import parallel

    return parallel()


def pass_cache(device: str) -> Any:
    """Return what notes and repeats the passes of one network, see ``cpu.replay``; None but for "cpu"."""
    if device != "cpu":
        return None
    from minicnn.kernels.cpu.runtime.replay import PassCache

    return PassCache()


def choose(multiply_adds: int) -> str:
    """Device for work of that many multiply-adds: what "auto" stands for.

    Small work runs on NumPy, so that a first answer waits for no compiler; the rest on "cpu" where Numba and
    SciPy are installed and work.
    """
    if multiply_adds <= SMALL:
        return "reference"
    try:
        on("cpu")
    except DeviceError:
        return "reference"
    return "cpu"
