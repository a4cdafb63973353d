"""The launches of the CUDA engine, recorded instead of run: no GPU is needed to know what would run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

__all__ = ["Launch", "closed_over", "name_of", "record_launches", "source"]


def source(kernel):
    """Return the function that a kernel was made of, on a GPU or in Numba's simulator."""
    return getattr(kernel, "py_func", None) or kernel.fn


class Memory(np.ndarray):
    """An array that stands in for one on the GPU."""

    def copy_to_host(self):
        """Return the values, such as they are."""
        return np.asarray(self)

    def copy_to_device(self, _):
        """Send nothing."""


class Launch(NamedTuple):
    """One launch: the kernel, blocks along x, y and z, threads of a block, and the kernel's arguments in order."""

    kernel: Any
    grid: tuple[int, int, int]
    threads: int
    args: tuple

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return int(np.prod(self.grid))

    @property
    def name(self) -> str:
        """Name of the kernel in its source."""
        return source(self.kernel).__name__

    @property
    def named(self) -> dict:
        """Arguments by their names in the kernel's source."""
        names = source(self.kernel).__code__.co_varnames
        return dict(zip(names[: len(self.args)], self.args, strict=True))


@contextmanager
def record_launches() -> Iterator[list[Launch]]:
    """Give a list, to which the engine's launches are appended instead of run; arrays hold no values inside."""
    from minicnn.kernels.cuda import activation, arrays
    from minicnn.kernels.cuda.gemm import split_k, tap_tables

    launches = []

    def record(kernel, configuration):
        blocks, threads = configuration[:2]
        blocks = (*(blocks if isinstance(blocks, tuple) else (blocks,)), 1, 1)[:3]
        return lambda *args: launches.append(Launch(kernel, blocks, int(np.prod(threads)), args))

    memory = {
        "_allocate": lambda size, dtype: np.zeros(size, dtype).view(Memory),
        "_cache_limit": lambda: 0,
        "_parameters": {},
    }
    kept = tap_tables.forward_plan, tap_tables.backward_plans, tap_tables.weight_plan, activation._slopes
    try:
        with (
            mock.patch.object(type(split_k.reduce_partials), "__getitem__", record),
            mock.patch.multiple(arrays, **memory),
        ):
            for tables in kept:
                tables.cache_clear()
            yield launches
    finally:
        for tables in kept:  # those made here are on no GPU
            tables.cache_clear()


def closed_over(kernel) -> dict:
    """Return what a kernel's source names from outside of it: its tile, above all."""
    cells = source(kernel).__closure__ or ()
    return dict(zip(source(kernel).__code__.co_freevars, (cell.cell_contents for cell in cells), strict=True))


def name_of(kernel, dtypes: set[str]) -> str:
    """Return module and kernel, its tile or function where it has one, and the dtype among its arguments' own."""
    closed = closed_over(kernel)
    tile = f" {closed['bm']}x{closed['bn']}" if "bm" in closed else ""
    tile += "".join(f" of {closed[few]}" for few in ("filters", "channels") if few in closed)
    tile += "".join(f" {word}" for word in ("dense", "split") if closed.get(word))
    functions = (closed[name] for name in ("function", "value", "slope") if name in closed)
    tile += "".join(f" {source(function).__name__.strip('_')}" for function in functions)
    dtype = "float64" if "float64" in dtypes else "float32" if "float32" in dtypes else "any"
    switches = " (uint16)" if "uint16" in dtypes else ""
    module = source(kernel).__module__.split(".")[-1]
    return f"{module}.{source(kernel).__name__.strip('_')}{tile} {dtype}{switches}"
