"""The maths, once per device, and the one place where a device's name is read.

``on(device)`` gives the module whose functions compute there: ``reference`` is the specification, the others have
its names and signatures.  The other functions answer what else depends on the device; no other module compares
its name.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.errors import DeviceError

if TYPE_CHECKING:
    from minicnn.kernels.cpu.runtime.replay import PassCache

__all__ = [
    "DEVICES",
    "choose",
    "describe",
    "fuses_layers",
    "is_reference",
    "keeps_parameters",
    "on",
    "parallel_region",
    "pass_cache",
    "send",
]

DEVICES = ("reference", "cpu", "cuda")

# Multiply-adds up to which "auto" stays on NumPy: some tens of milliseconds there, so that a first
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

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn.kernels import on
    >>> y, mask = on("reference").relu(np.array([-1.0, 2.0]))
    >>> y.tolist(), mask.tolist()
    ([0.0, 2.0], [False, True])

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

    reason = cuda_availability.reason_unavailable()
    if reason is not None:
        raise DeviceError(f"device 'cuda' can't be used here: {reason}; or use device 'cpu'")
    from minicnn.kernels import cuda

    return cuda


def choose(multiply_adds: int) -> str:
    """Return the device for work of that many multiply-adds: what "auto" stands for.

    Small work runs on NumPy, so that a first answer waits for no compiler; the rest on "cpu" where Numba and
    SciPy are installed and work.

    Examples
    --------
    >>> choose(400_000)
    'reference'

    """
    if multiply_adds <= SMALL:
        return "reference"
    try:
        on("cpu")
    except DeviceError:
        return "reference"
    return "cpu"


def describe(device: str) -> str:
    """Return in a few words what a device that can be used here computes with.

    Examples
    --------
    >>> describe("reference")
    'plain NumPy, the specification'

    """
    if is_reference(device):
        return "plain NumPy, the specification"
    if device == "cpu":
        return f"Numba and BLAS on {os.cpu_count()} cores"
    from minicnn.kernels.cuda_availability import list_gpus

    gpus = list_gpus()
    return f"Numba CUDA on {gpus[0]}" if gpus else "Numba's CUDA simulator: for tests, very slow"


def is_reference(device: str) -> bool:
    """Return whether a device is the specification itself: layer by layer, plain sums, any float dtype.

    Examples
    --------
    >>> is_reference("reference"), is_reference("cpu")
    (True, False)

    """
    return device == "reference"


def fuses_layers(device: str) -> bool:
    """Return whether a device runs convolution, normalisation and rectifier as one step where they follow.

    The specification runs one step a layer, so that it can be read beside the network.

    Examples
    --------
    >>> fuses_layers("reference"), fuses_layers("cpu")
    (False, True)

    """
    return not is_reference(device)


def keeps_parameters(device: str) -> bool:
    """Return whether parameters are sent to a device once and stay in its own memory.

    Examples
    --------
    >>> keeps_parameters("cpu"), keeps_parameters("cuda")
    (False, True)

    """
    return device == "cuda"


def send(x: Any, device: str) -> Any:
    """Return the array where a device's kernels work: in the GPU's memory for "cuda", else x itself.

    ``numpy.asarray`` copies an array back to the host.

    Examples
    --------
    >>> x = np.zeros(3)
    >>> send(x, "cpu") is x
    True

    """
    if not keeps_parameters(device) or not isinstance(x, np.ndarray):
        return x
    from minicnn.kernels.cuda.arrays import upload

    return upload(x)


def parallel_region(device: str) -> AbstractContextManager[Any]:
    """Return a context for many calls of a device's kernels: "cpu" wakes its thread pool once for all of them."""
    if device != "cpu":
        return nullcontext()
    from minicnn.kernels.cpu.runtime.thread_pool import parallel

    return parallel()


def pass_cache(device: str) -> PassCache | None:
    """Return what captures and replays the passes of one network (``cpu.runtime.replay``); None but for "cpu"."""
    if device != "cpu":
        return None
    from minicnn.kernels.cpu.runtime.replay import PassCache

    return PassCache()
