"""ReLU and its backward rules, each in one pass over its arrays."""

import numpy as np
from numba import boolean, float32

from minicnn.kernels import reference
from minicnn.kernels.cpu.dtype import dense, float32_or
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.runtime.recorder import capturable, record_result

__all__ = ["relu", "relu6", "relu_input_grad"]

# values a thread takes at a time: two arrays of them fit its first-level cache; up to so many NumPy is as fast,
# and waits for no compiler: VGG's rectifiers that no convolution absorbs
BLOCK = 8192


@capturable
@float32_or(reference.relu)
def relu(x):
    """Rectifier and its mask, as ``reference.relu``."""
    return _rectified(x, np.inf) if x.size > BLOCK else record_result(reference.relu, x)


@capturable
@float32_or(reference.relu6)
def relu6(x):
    """Rectifier with a ceiling and its mask, as ``reference.relu6``."""
    return _rectified(x, 6) if x.size > BLOCK else record_result(reference.relu6, x)


def _rectified(x, ceiling):
    y, mask = empty(x.shape), empty(x.shape, bool)
    _relu(dense(x).reshape(-1), ceiling, y.reshape(-1), mask.reshape(-1))
    return y, mask


@capturable
@float32_or(reference.relu_input_grad)
def relu_input_grad(dy, mask, rule):
    """Backward through ReLU or ReLU6 by one of three rules, as ``reference.relu_input_grad``."""
    if dy.size <= BLOCK:
        return record_result(reference.relu_input_grad, dy, mask, rule)
    dx = empty(dy.shape)
    where = rule.where_input_positive, rule.where_cotangent_positive
    _relu_input_grad(dense(dy).reshape(-1), dense(mask).reshape(-1), *where, dx.reshape(-1))
    return dx


@inner
def _clip(x, ceiling, y, mask):
    for i in range(len(x)):
        v = x[i]
        y[i] = np.float32(0) if v <= 0 else ceiling if v >= ceiling else v  # NaN stays NaN
        mask[i] = (v > 0) & ((v < ceiling) | (ceiling == np.inf))


@inner
def _relu_block(block, x, ceiling, y, mask):
    part = slice(block * BLOCK, block * BLOCK + BLOCK)
    _clip(x[part], ceiling, y[part], mask[part])


@kernel(reads(1), float32, writes(1), writes(1, boolean))
def _relu(x, ceiling, y, mask):
    parallel_for(_relu_block, (len(x) + BLOCK - 1) // BLOCK, (x, ceiling, y, mask))


@inner
def _select(dy, mask, where_input, where_cotangent, dx):
    for i in range(len(dy)):
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
