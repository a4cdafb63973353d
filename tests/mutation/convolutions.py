"""Mutations of convolutions and their gradients."""

import numpy as np

from minicnn.kernels.reference.windows import Windows
from tests.mutation.mutations import mutation

CONV = "conv2d"


def windows_for(size, kernel_size, g):
    """Windows for the keyword arguments of a kernel."""
    names = ("stride", "padding", "dilation", "ceil_mode")
    return Windows.over(tuple(size), kernel_size, **{k: v for k, v in g.items() if k in names})


@mutation("conv2d", source="keras-team/keras#3015", tests=CONV)
def flipped_kernel(right):
    """Kernel flipped forward."""
    return lambda x, weight, bias=None, **g: right(x, weight[:, :, ::-1, ::-1], bias, **g)


@mutation("conv2d_input_grad", source="coxlab/prednet#46", tests=CONV)
def gradient_without_the_flip(right):
    """Kernel not flipped back."""
    return lambda dy, weight, size, **g: right(dy, weight[:, :, ::-1, ::-1], size, **g)


@mutation("conv2d_input_grad", source="tensorflow/tensorflow#30044", tests=CONV)
def height_and_width_of_the_kernel_exchanged(right):
    """Kernel transposed."""

    def wrong(dy, weight, size, **g):
        square = weight.shape[2] == weight.shape[3]
        return right(dy, weight.swapaxes(2, 3) if square else weight, size, **g)

    return wrong


@mutation("conv2d_input_grad", source="pytorch/pytorch#16012", tests=CONV)
def dilation_ignored_in_the_input_gradient(right):
    """Dilation left out of the input gradient."""

    def wrong(dy, weight, size, **g):
        windows = windows_for(size, weight.shape[2:], g)
        spans = [d * (k - 1) + 1 for k, d in zip(windows.kernel_size, windows.dilation, strict=True)]
        dense = np.zeros((*weight.shape[:2], *spans), weight.dtype)
        dense[:, :, : weight.shape[2], : weight.shape[3]] = weight
        return right(dy, dense, size, **{**g, "dilation": 1})

    return wrong


@mutation("conv2d_input_grad", source="enggen/Deep-Learning-Coursera#7", tests=CONV)
def stride_ignored_in_the_input_gradient(right):
    """Stride left out of the input gradient."""

    def wrong(dy, weight, size, **g):
        dense = np.zeros(
            (*dy.shape[:2], *windows_for(size, weight.shape[2:], {**g, "stride": 1}).output_size), dy.dtype
        )
        dense[:, :, : dy.shape[2], : dy.shape[3]] = dy
        return right(dense, weight, size, **{**g, "stride": 1})

    return wrong


def _covered_size(size, weight, g):
    """How many rows and columns of the padded input the windows read, and the padding."""
    windows = windows_for(size, weight.shape[2:], g)
    taps = zip(windows.output_size, windows.stride, windows.kernel_size, windows.dilation, strict=True)
    return [(out - 1) * s + d * (k - 1) + 1 for out, s, k, d in taps], windows.padding


@mutation("conv2d_input_grad", source="flagos-ai/FlagGems#1576", tests=CONV)
def phase_lost_where_pixels_are_left_over(right):
    """Input gradient shifted where the stride leaves pixels over."""

    def wrong(dy, weight, size, **g):
        dx = right(dy, weight, size, **g)
        (rows, columns), ((top, bottom), (left, right_)) = _covered_size(size, weight, g)
        left_over = rows < top + size[0] + bottom, columns < left + size[1] + right_
        return np.roll(dx, tuple(map(int, left_over)), axis=(2, 3))

    return wrong


@mutation("conv2d_input_grad", source="torch/DEPRECEATED-torch7-distro#20", tests=CONV)
def gradient_smaller_than_the_input(right):
    """Input gradient as large as what the windows read."""

    def wrong(dy, weight, size, **g):
        (rows, columns), ((top, _), (left, _)) = _covered_size(size, weight, g)
        return right(dy, weight, size, **g)[:, :, : rows - top, : columns - left]

    return wrong


@mutation("conv2d_weight_grad", source="pytorch/pytorch#51430", tests=CONV)
def groups_mixed_up_in_the_weight_gradient(right):
    """Weight gradient of the wrong group."""

    def wrong(x, dy, kernel_size, **g):
        dweight = right(x, dy, kernel_size, **g)
        blocks = dweight.reshape(g["groups"], -1, *dweight.shape[1:])
        return np.ascontiguousarray(blocks[::-1].reshape(dweight.shape))

    return wrong


@mutation("conv2d_weight_grad", source="pytorch/pytorch#50042", tests=CONV)
def last_row_and_column_of_depthwise_lost(right):
    """Last row and column lost, depthwise with stride."""

    def wrong(x, dy, kernel_size, **g):
        if g["groups"] == x.shape[1] and g["stride"] != (1, 1):
            x = x.copy()
            x[:, :, -1], x[:, :, :, -1] = 0, 0
        return right(x, dy, kernel_size, **g)

    return wrong


@mutation("conv2d_weight_grad", source="sebgao/cTensor#3", tests=CONV)
def weight_gradient_averaged_over_pixels(right):
    """Weight gradient divided by N P Q."""
    return lambda x, dy, kernel_size, **g: right(x, dy, kernel_size, **g) / (dy.size // dy.shape[1])


@mutation("conv2d_bias_grad", "linear_bias_grad", source="mlpack/mlpack#3679", tests="conv2d or linear")
def bias_gradient_of_the_first_image(right):
    """Bias gradient not summed over the batch."""
    return lambda dy: right(dy[:1])


@mutation("linear_bias_grad", source="kvfrans/notes#5", tests="linear")
def bias_gradient_averaged_over_the_batch(right):
    """Bias gradient a mean instead of a sum."""
    return lambda dy: right(dy) / len(dy)


@mutation("same_padding", source="vtjeng/MIPVerify.jl#23", tests="same_padding", gradient=False)
def same_padding_with_the_larger_half_first(right):
    """SAME padding on the wrong side."""
    return lambda *args: tuple((after, before) for before, after in right(*args))


@mutation("conv_transpose2d", source="llvm/torch-mlir#4650", tests="conv_transpose2d")
def output_padding_on_the_wrong_side(right):
    """Output padding shifts the map."""

    def wrong(x, weight, bias=None, **g):
        extra = g.get("output_padding", 0)
        rows, columns = extra if isinstance(extra, tuple) else (extra, extra)
        return np.roll(right(x, weight, bias, **g), (rows, columns), axis=(2, 3))

    return wrong


@mutation("conv2d_input_grad", source="pytorch/pytorch#8230", tests=CONV)
def computed_in_single_precision(right):
    """Float64 asked for, float32 computed."""

    def wrong(dy, weight, size, **g):
        return right(dy.astype(np.float32), weight.astype(np.float32), size, **g).astype(dy.dtype)

    return wrong
