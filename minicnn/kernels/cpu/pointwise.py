"""Functions of one number, each in one pass over its array.

Schedule, memory and gain: see ``pointwise_kernels``, which is imported when an array is large enough for it.
Reference: ``reference.pointwise`` and ``reference.pointwise_input_grad``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.kernels import reference
from minicnn.kernels.cpu.dtype import dense, float32_or
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.recorder import capturable, record_result

__all__ = ["pointwise", "pointwise_input_grad"]

# values a thread takes at a time; up to so many NumPy is as fast, and waits for no compiler
BLOCK = 8192


@capturable
@float32_or(reference.pointwise)
def pointwise(x: np.ndarray, function: str, constants: tuple[float, ...] = ()) -> np.ndarray:
    """One of the functions of each value, as ``reference.pointwise``."""
    if x.size <= BLOCK:
        return record_result(reference.pointwise, x, function, constants)
    y = empty(x.shape)
    _kernel(function)(dense(x).reshape(-1), *_three(constants), y.reshape(-1))
    return y


@capturable
@float32_or(reference.pointwise_input_grad)
def pointwise_input_grad(dy, x, function, constants=()):
    """Gradient with respect to the input, as ``reference.pointwise_input_grad``."""
    if dy.size <= BLOCK:
        return record_result(reference.pointwise_input_grad, dy, x, function, constants)
    dx = empty(dy.shape)
    arrays = dense(dy).reshape(-1), dense(x).reshape(-1)
    _kernel(f"{function}_slope")(*arrays, *_three(constants), dx.reshape(-1))
    return dx


def _three(constants):
    """Return the constants with zeros for those that a function has not."""
    return (*constants, 0.0, 0.0, 0.0)[:3]


def _kernel(name: str) -> Callable[..., Any]:
    # made when one is needed, since most networks need none
    from minicnn.kernels.cpu import pointwise_kernels

    return getattr(pointwise_kernels, f"_{name}")
