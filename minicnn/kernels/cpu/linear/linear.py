"""The fully connected layer and its gradients: one pass over the weight, which is all that takes time.

Schedule: the weight is cut into blocks of rows, whatever the number of threads, so that the sums are the same on
any number of them.  Several images go through the weight together (see ``batched``).
Memory: for the input gradient PARTS partial sums of dx.
Gain: rows that a cotangent does not need are not read; several images cost hardly more than one.
Reference: ``reference.linear`` and its gradients.
"""

from __future__ import annotations

import numpy as np
from numba import int64

from minicnn.kernels import reference
from minicnn.kernels.cpu.dtype import dense, float32_or
from minicnn.kernels.cpu.linear import batched
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for

__all__ = ["linear", "linear_input_grad", "linear_weight_grad"]

PARTS = 8  # of the rows of a weight, each read by one thread from end to end: memory likes long runs
MAX_SPARSE = 2  # images up to which rows with dy = 0 are not read; of more, few rows are 0 for all


@float32_or(reference.linear)
def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """Fully connected layer, as ``reference.linear``."""
    if len(x) > 1 and batched.is_applicable(x.shape[1]):
        y = batched.forward(dense(x), dense(weight))
    else:  # one vector BLAS multiplies as fast as it can read the weight
        # (out, N): a block of rows of the weight then writes a contiguous block of y'
        transposed = np.empty((len(weight), len(x)), np.float32)
        _multiply(dense(weight), dense(x), _block_rows(len(weight)), transposed)
        y = np.ascontiguousarray(transposed.T)
    # bias (out,) is added to each image's row
    if bias is not None:
        y += bias
    return y


@float32_or(reference.linear_input_grad)
def linear_input_grad(dy: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Gradient with respect to the input, as ``reference.linear_input_grad``.

    For a few images only the rows of the weight are read whose dy is not zero: behind a ReLU that is a small part
    of them, and a single one for the gradient of a class score.
    """
    if len(dy) > MAX_SPARSE and batched.is_applicable(weight.shape[1]):
        return batched.input_grad(dense(dy), dense(weight))
    # rows of the weight that at least one image needs
    rows = np.flatnonzero(dy.any(axis=0))
    # (parts, N, in): each thread sums its rows, four or more, into a part of its own
    parts = empty((min(PARTS, max(1, len(rows) // 4)), len(dy), weight.shape[1]))
    _add_rows(rows, dense(dy), dense(weight), parts)
    # added in the order of the parts, whichever was ready first
    return np.sum(parts, axis=0)


@float32_or(reference.linear_weight_grad)
def linear_weight_grad(x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Gradient with respect to the weight, as ``reference.linear_weight_grad``."""
    dweight = np.empty((dy.shape[1], x.shape[1]), np.float32)
    _multiply_outer(np.ascontiguousarray(dy.T), dense(x), _block_rows(len(dweight)), dweight)
    return dweight


def _block_rows(count):
    """Rows in a block: an eighth of them, but at least 32, which keep BLAS busy, and at most 256."""
    return min(256, max(32, -(-count // 8)))


@inner
def _multiply_block(block, weight, x, rows, y):
    part = slice(block * rows, block * rows + rows)
    # one image is a vector: GEMV, not GEMM
    if len(x) == 1:
        np.dot(weight[part], x[0], y[part].reshape(-1))
    else:
        np.dot(weight[part], x.T, y[part])


@kernel(reads(2), reads(2), int64, writes(2))
def _multiply(weight, x, rows, y):
    """Transposed product: y[o, n] = sum_i weight[o, i] x[n, i]."""
    parallel_for(_multiply_block, (len(weight) + rows - 1) // rows, (weight, x, rows, y))


@inner
def _add_four(dx, rows, factors):
    """Add four rows, each times its factor: dx is read and written once for all of them."""
    (a, b, c, d), (fa, fb, fc, fd) = rows, factors
    for i in range(len(dx)):
        # in parentheses, two sums that don't wait for each other
        dx[i] += fa * a[i] + fb * b[i] + (fc * c[i] + fd * d[i])


@inner
def _sum_rows(rows, factors, weight, dx):
    """Set dx to the sum of factors[o] weight[o] over ``rows``, four of them at a time."""
    dx[:] = 0
    whole = len(rows) // 4 * 4
    for j in range(0, whole, 4):
        a, b, c, d = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
        four_rows = weight[a], weight[b], weight[c], weight[d]
        _add_four(dx, four_rows, (factors[a], factors[b], factors[c], factors[d]))
    # up to three rows are left
    for j in range(whole, len(rows)):
        row, factor = weight[rows[j]], factors[rows[j]]
        for i in range(len(dx)):
            dx[i] += factor * row[i]


@inner
def _add_part(j, rows, dy, weight, parts):
    # rows are cut into parts of equal number, by the parts' number and not by that of the threads
    part = rows[j * len(rows) // len(parts) : (j + 1) * len(rows) // len(parts)]
    for n in range(len(dy)):
        _sum_rows(part, dy[n], weight, parts[j, n])


@kernel(reads(1, int64), reads(2), reads(2), writes(3))
def _add_rows(rows, dy, weight, parts):
    """parts[j, n] = sum of dy[n, o] weight[o] over the j-th part of ``rows``."""
    parallel_for(_add_part, len(parts), (rows, dy, weight, parts))


@inner
def _multiply_outer_block(block, dy, x, rows, dweight):
    part = slice(block * rows, block * rows + rows)
    # dy (out, N) by x (N, in): the sum over images is the depth of the product
    np.dot(dy[part], x, dweight[part])


@kernel(reads(2), reads(2), int64, writes(2))
def _multiply_outer(dy, x, rows, dweight):
    """dweight[o, i] = sum_n dy[o, n] x[n, i], with dy transposed."""
    parallel_for(_multiply_outer_block, (len(dy) + rows - 1) // rows, (dy, x, rows, dweight))
