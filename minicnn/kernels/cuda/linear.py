"""The fully connected layer; see ``minicnn.kernels.reference.linear``.

A few images read the weight once for hardly any arithmetic, so the kernels for them are laid out for the weight's
sake: whole lines of it, every value once.  More images are a product, and run as the 1x1 convolution they are.
"""

from __future__ import annotations

from numba import cuda, float32, float64

from minicnn.kernels.cuda.arrays import empty, on_device
from minicnn.kernels.cuda.convolution import convolve, convolve_input_grad
from minicnn.kernels.cuda.gemm.split_k import reduce_partials
from minicnn.kernels.cuda.launch import THREADS, divmod_u32, launch_per_value, optional
from minicnn.kernels.cuda.reduction import WARPS, WIDTH, block_sum, sum_per_channel
from minicnn.kernels.reference.windows import Windows

__all__ = ["linear", "linear_bias_grad", "linear_input_grad", "linear_weight_grad"]

FEW = 4  # images up to which the weight's bytes are the work
ROWS = 64  # of the weight that a thread of ``_gemv_transposed`` sums: few, so that enough threads wait for memory


def _make_gemv(real):
    @cuda.jit
    def gemv(x, weight, bias, y, images, length):
        """One output a block: y[n, o] = bias[o] + weight[o] . x[n], the threads along the row."""
        partials = cuda.shared.array(WARPS, real)
        o, n = divmod_u32(cuda.blockIdx.x, images)  # neighbours share the row, which they find in the cache
        t = cuda.threadIdx.x
        total = real(0)
        # neighbouring threads read neighbouring weights of row o
        for i in range(t, length, WIDTH):
            total += weight[o * length + i] * x[n * length + i]
        total = block_sum(total, partials)
        if t == 0:
            y[n * (cuda.gridDim.x // images) + o] = total + bias.values[o] if bias.given else total

    return gemv


_GEMV = {"float32": _make_gemv(float32), "float64": _make_gemv(float64)}


@cuda.jit
def _gemv_transposed(dy, weight, parts, rows, length):
    """One column a thread and a share of the rows a block: sum_o weight[o, i] dy[n, o], the threads along i."""
    i, n, part = cuda.grid(1), cuda.blockIdx.y, cuda.blockIdx.z
    if i < length:
        total = dy.dtype.type(0)
        # row by row, the threads side by side along it: the weight is never read down a column
        for o in range(part * ROWS, min(rows, part * ROWS + ROWS)):
            total += weight[o * length + i] * dy[n * rows + o]
        # (shares, N, in)
        parts[(part * cuda.gridDim.y + n) * length + i] = total


def _as_maps(x):
    return x.reshape(*x.shape, 1, 1)


@on_device
def linear(x, weight, bias=None):
    """Fully connected layer: ``reference.linear``."""
    (n, length), k = x.shape, len(weight)
    # (N, in, 1, 1) by 1x1 filters (out, in, 1, 1)
    if n > FEW:
        windows = Windows.over((1, 1), (1, 1))
        return convolve(_as_maps(x), _as_maps(weight), windows, 1, shift=bias)[0].reshape(n, k)
    # block o N + n computes y[n, o]: the blocks of one row of the weight are neighbours
    y = empty((n, k), x.dtype)
    _GEMV[x.dtype.name][k * n, WIDTH](x.memory, weight.memory, optional(bias, weight), y.memory, n, length)
    return y


@on_device
def linear_input_grad(dy, weight):
    """Gradient with respect to the input: ``reference.linear_input_grad``."""
    (n, rows), length = dy.shape, weight.shape[1]
    if n > FEW:  # the weight's rows are maps, and dy the filters: both are read as they lie
        windows = Windows.over((1, length), (1, 1))
        return convolve(weight.reshape(1, rows, 1, length), _as_maps(dy), windows, 1)[0].reshape(n, length)
    # shares of ROWS rows each, which reduce_partials adds in order
    count = -(-rows // ROWS)
    parts, dx = empty((count, n, length), dy.dtype), empty((n, length), dy.dtype)
    _gemv_transposed[(-(-length // THREADS), n, count), THREADS](
        dy.memory, weight.memory, parts.memory, rows, length
    )
    launch_per_value(reduce_partials, dx.size, parts.memory, dx.memory, count)
    return dx


@on_device
def linear_weight_grad(x, dy):
    """Gradient with respect to the weight: ``reference.linear_weight_grad``."""
    (n, length), rows = x.shape, dy.shape[1]
    windows = Windows.over((1, length), (1, 1))  # x's rows are maps, and the images the channels that are summed
    # dweight[o, i] = sum_n dy[n, o] x[n, i]: dy is the weight (N, out, 1, 1), its transpose maps N to out
    return convolve_input_grad(x.reshape(1, n, 1, length), _as_maps(dy), windows, 1).reshape(rows, length)


@on_device
def linear_bias_grad(dy):
    """Gradient with respect to the bias: ``reference.linear_bias_grad``."""
    return sum_per_channel(dy.reshape(*dy.shape, 1), None)
