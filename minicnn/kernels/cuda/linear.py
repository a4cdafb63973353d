"""The fully connected layer; see ``minicnn.kernels.reference.linear``.

A few images read the weight once for hardly any arithmetic, so the kernels for them are laid out for the weight's
sake: whole lines of it, every value once.  More images are a product, and run as the 1x1 convolution they are.
"""

from __future__ import annotations

from numba import cuda, float32, float64

from minicnn.kernels.cuda.arrays import empty, on_device
from minicnn.kernels.cuda.convolution import convolved, convolved_back
from minicnn.kernels.cuda.gemm.split_k import sum_parts
from minicnn.kernels.cuda.launch import THREADS, divided, each
from minicnn.kernels.cuda.reduction import WIDTH, add_up, sum_of_products
from minicnn.kernels.reference.windows import Windows

__all__ = ["linear", "linear_bias_grad", "linear_input_grad", "linear_weight_grad"]

FEW = 4  # images up to which the weight's bytes are the work
ROWS = 64  # rows of the weight that one thread of ``_columns`` sums: few, so that enough threads wait for memory


def _rows_kernel(real):
    @cuda.jit
    def row_products(x, weight, bias, y, biased, images, length):
        """One output a block: y[n, o] = bias[o] + weight[o] . x[n], the threads along the row."""
        shares = cuda.shared.array(WIDTH, real)
        o, n = divided(cuda.blockIdx.x, images)  # neighbours share the row, which they find in the cache
        t = cuda.threadIdx.x
        total = real(0)
        for i in range(t, length, WIDTH):
            total += weight[o * length + i] * x[n * length + i]
        shares[t] = total
        add_up(shares, t)
        if t == 0:
            y[n * (cuda.gridDim.x // images) + o] = shares[0] + bias[o] if biased else shares[0]

    return row_products


_ROWS = {"float32": _rows_kernel(float32), "float64": _rows_kernel(float64)}


@cuda.jit
def _columns(dy, weight, parts, rows, length):
    """One column a thread and a share of the rows a block: sum_o weight[o, i] dy[n, o], the threads along i."""
    i, n, part = cuda.grid(1), cuda.blockIdx.y, cuda.blockIdx.z
    if i < length:
        total = dy.dtype.type(0)
        for o in range(part * ROWS, min(rows, part * ROWS + ROWS)):
            total += weight[o * length + i] * dy[n * rows + o]
        parts[(part * cuda.gridDim.y + n) * length + i] = total


def _as_maps(x):
    return x.reshape(*x.shape, 1, 1)


@on_device
def linear(x, weight, bias=None):
    """Fully connected layer: ``reference.linear``."""
    (n, length), k = x.shape, len(weight)
    if n > FEW:
        windows = Windows.over((1, 1), (1, 1))
        return convolved(_as_maps(x), _as_maps(weight), windows, 1, shift=bias)[0].reshape(n, k)
    y = empty((n, k), x.dtype)
    args = x.memory, weight.memory, (weight if bias is None else bias).memory, y.memory
    _ROWS[x.dtype.name][k * n, WIDTH](*args, int(bias is not None), n, length)
    return y


@on_device
def linear_input_grad(dy, weight):
    """Gradient with respect to the input: ``reference.linear_input_grad``."""
    (n, rows), length = dy.shape, weight.shape[1]
    if n > FEW:  # the weight's rows are maps, and dy the filters: both are read as they lie
        windows = Windows.over((1, length), (1, 1))
        return convolved(weight.reshape(1, rows, 1, length), _as_maps(dy), windows, 1)[0].reshape(n, length)
    count = -(-rows // ROWS)
    parts, dx = empty((count, n, length), dy.dtype), empty((n, length), dy.dtype)
    _columns[(-(-length // THREADS), n, count), THREADS](dy.memory, weight.memory, parts.memory, rows, length)
    each(sum_parts, dx.size, parts.memory, dx.memory, count)
    return dx


@on_device
def linear_weight_grad(x, dy):
    """Gradient with respect to the weight: ``reference.linear_weight_grad``."""
    (n, length), rows = x.shape, dy.shape[1]
    windows = Windows.over((1, length), (1, 1))  # x's rows are maps, and the images the channels that are summed
    return convolved_back(x.reshape(1, n, 1, length), _as_maps(dy), windows, 1).reshape(rows, length)


@on_device
def linear_bias_grad(dy):
    """Gradient with respect to the bias: ``reference.linear_bias_grad``."""
    return sum_of_products(dy.reshape(*dy.shape, 1), None)
