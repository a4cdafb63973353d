"""ReLU and its backward rules, each in one pass over its arrays.

Schedule: threads take blocks of BLOCK values, which the compiler turns into vector instructions.
Memory: y and its mask.
Gain: NumPy needs a pass over memory for each of the comparison, the choice and the mask; here all are one.
Reference: ``reference.relu``, ``reference.hardtanh`` and ``reference.relu_input_grad``.
"""

from __future__ import annotations

import numpy as np
from numba import boolean, float32

from minicnn.kernels import reference
from minicnn.kernels.cpu.dtype import dense, float32_or
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.runtime.recorder import capturable, record_result
from minicnn.rules import Rule

__all__ = ["hardtanh", "relu", "relu_input_grad"]

# values a thread takes at a time: two arrays of them fit its L1 cache; up to so many NumPy is as fast, and waits
# for no compiler: VGG's rectifiers behind linear layers
BLOCK = 8192


@capturable
@float32_or(reference.relu)
def relu(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rectifier and its mask, as ``reference.relu``."""
    return _run_clip(x, 0, np.inf) if x.size > BLOCK else record_result(reference.relu, x)


@capturable
@float32_or(reference.hardtanh)
def hardtanh(x: np.ndarray, min_val: float, max_val: float) -> tuple[np.ndarray, np.ndarray]:
    """Values clipped to an interval and their mask, as ``reference.hardtanh``."""
    if x.size > BLOCK:
        return _run_clip(x, min_val, max_val)
    return record_result(reference.hardtanh, x, min_val, max_val)


def _run_clip(x, low, high):
    y, mask = empty(x.shape), empty(x.shape, bool)
    # an elementwise kernel sees every array as one row, whatever its shape
    _clip(dense(x).reshape(-1), low, high, y.reshape(-1), mask.reshape(-1))
    return y, mask


@capturable
@float32_or(reference.relu_input_grad)
def relu_input_grad(dy: np.ndarray, mask: np.ndarray, rule: Rule) -> np.ndarray:
    """Backward through ReLU or ``hardtanh`` by one of three rules, as ``reference.relu_input_grad``."""
    if dy.size <= BLOCK:
        return record_result(reference.relu_input_grad, dy, mask, rule)
    dx = empty(dy.shape)
    where = rule.where_input_positive, rule.where_cotangent_positive
    _relu_input_grad(dense(dy).reshape(-1), dense(mask).reshape(-1), *where, dx.reshape(-1))
    return dx


@inner
def _clip_values(x, low, high, y, mask):
    for i in range(len(x)):
        v = x[i]
        y[i] = low if v <= low else high if v >= high else v  # NaN stays NaN
        mask[i] = (v > low) & ((v < high) | (high == np.inf))


@inner
def _clip_block(block, x, low, high, y, mask):
    # the last block may be shorter: a slice ends where its array does
    part = slice(block * BLOCK, block * BLOCK + BLOCK)
    _clip_values(x[part], low, high, y[part], mask[part])


@kernel(reads(1), float32, float32, writes(1), writes(1, boolean))
def _clip(x, low, high, y, mask):
    parallel_for(_clip_block, (len(x) + BLOCK - 1) // BLOCK, (x, low, high, y, mask))


@inner
def _select(dy, mask, where_input, where_cotangent, dx):
    for i in range(len(dy)):
        # backprop reads the mask alone, the deconvnet the sign of dy alone, guided backprop both
        # | and & rather than or and and: no branch, so that the loop becomes vector instructions
        passed = (mask[i] | (not where_input)) & ((dy[i] > 0) | (not where_cotangent))
        dx[i] = dy[i] if passed else np.float32(0)


@inner
def _relu_input_grad_block(block, dy, mask, where_input, where_cotangent, dx):
    part = slice(block * BLOCK, block * BLOCK + BLOCK)
    _select(dy[part], mask[part], where_input, where_cotangent, dx[part])


@kernel(reads(1), reads(1, boolean), boolean, boolean, writes(1))
def _relu_input_grad(dy, mask, where_input, where_cotangent, dx):
    arguments = dy, mask, where_input, where_cotangent, dx
    parallel_for(_relu_input_grad_block, (len(dy) + BLOCK - 1) // BLOCK, arguments)
