"""Convolution and its gradients: the reference's functions, each by the algorithm that suits its shapes."""

import functools
import math
from typing import NamedTuple

import numpy as np

from minicnn.kernels import reference
from minicnn.kernels.cpu.conv import depthwise, few_channels, im2col, pointwise, space_to_depth
from minicnn.kernels.cpu.conv.winograd import convolve, weight_grad
from minicnn.kernels.cpu.dtype import constant, dense, float32_or
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.simd.epilogue import Epilogue, Prologue
from minicnn.shapes import output_size, pair, sides, transposed_size

__all__ = [
    "conv2d",
    "conv2d_input_grad",
    "conv2d_relu",
    "conv2d_relu_input_grad",
    "conv2d_weight_grad",
    "conv_transpose2d",
    "conv_transpose2d_input_grad",
    "conv_transpose2d_weight_grad",
]

DIRECT = {"depthwise": depthwise, "first layer": few_channels}


def algorithm(size, weight_shape, geometry, out, of="output"):
    """Name of the algorithm for a convolution of maps of ``size`` with outputs of size ``out``.

    ``of`` says what is wanted: the "output", or the gradient with respect to the "input" or to the "weight".

    - first layer: three channels or fewer are worth neither a transform nor a copy of each pixel for each tap.
      But the gradient of one is a product of a single row, which leaves registers empty; that of a 3x3 kernel with
      stride 1 takes Winograd's algorithm as long, and this is compiled for the layers behind; and kernels much
      larger than their stride are faster as strided winograd.
    - depthwise: a filter has 9 or 25 weights, too few for a product; reading and writing maps is all there is.
    - winograd: 3x3 with stride 1 takes a quarter of the multiplications (F(4x4, 3x3)), larger kernels up to twice
      that share, and outputs of less than a tile waste it; its transforms cost more where channels are few.  It
      errs by some 1e-5 of the largest output.  The gradient of 3x3 weights has a form of its own, F(3x3, 4x4),
      which wants some tiles to add up.
    - strided winograd: kernels much larger than their stride, made into smaller ones of stride 1 on more channels.
    - pointwise: 1x1 with stride 1 is a product of weights and pixels as they lie, finished in registers.
    - im2col: everything else, and 1x1 where matrices are small, without columns.
    """
    filters, channels, *kernel_size = weight_shape
    groups = int(geometry[6])
    if channels == 1 and groups == filters and groups > 1:
        return "depthwise"
    stride, first = int(geometry[0]), few_channels.suits(size, weight_shape, geometry, out)
    if first and stride == 1 and of == "output":
        return "first layer"
    if geometry[1] == stride and (geometry[4:7] == 1).all() and channels * stride**2 >= 3 and filters >= 16:
        tiles = math.prod(-(-n // 4) for n in out)
        blocks = math.prod(-(-n // (3 * stride)) for n in kernel_size)
        spares = 54 * stride**2 * blocks * tiles <= math.prod(kernel_size) * math.prod(out)  # a third at least
        plain = kernel_size == [3, 3] and stride == 1
        if spares and min(kernel_size) >= 3 and (plain or of != "weight"):
            return "winograd" if stride == 1 else "strided winograd"
    if first and (of == "output" or (of == "input" and channels > 1)):
        return "first layer"
    product = geometry[7] and groups == 1 and of != "weight"
    if product and pointwise.suits(filters, channels, math.prod(out)):
        return "pointwise"
    return "im2col"


def geometry_of(size, out, kernel_size, stride, padding, dilation, groups):
    """Numbers for compiled kernels: stride, top and left padding, dilation, groups, and whether columns are x."""
    top, left = (side[0] for side in padding)
    plain = tuple(kernel_size) == (1, 1) and stride == (1, 1) and tuple(size) == tuple(out) and top == left == 0
    return np.array([*stride, top, left, *dilation, groups, plain], np.int64)


class ConvPlan(NamedTuple):
    """What the shapes of a convolution say: size of its output, padding, geometry, algorithm."""

    size: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    geometry: np.ndarray
    algorithm: str


def planned(*shapes, **more):
    """Return the ``ConvPlan`` of a convolution, worked out once for all maps of these shapes."""
    try:
        return _planned(*shapes, **more)
    except TypeError:  # a list among them, which can't be looked up
        return _planned.__wrapped__(*shapes, **more)


@functools.lru_cache(4096)
def _planned(size, weight_shape, stride, padding, dilation, groups, out=None, of="output"):
    stride, padding, dilation = pair(stride, "stride"), sides(padding), pair(dilation, "dilation")
    if out is None:
        out = output_size(size, weight_shape[2:], stride, padding, dilation)
    geometry = geometry_of(size, out, weight_shape[2:], stride, padding, dilation, groups)
    geometry.flags.writeable = False
    return ConvPlan(out, padding, geometry, algorithm(size, weight_shape, geometry, out, of))


@float32_or(reference.conv2d)
def conv2d(x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
    """2-D convolution, as ``reference.conv2d``, by ``algorithm``."""
    plan = planned(x.shape[2:], weight.shape, stride, padding, dilation, groups)
    shift = constant(0, len(weight)) if bias is None else dense(bias)
    return _forward(x, weight, Epilogue(constant(1, len(weight)), shift), plan)


@float32_or(reference.conv2d_relu)
def conv2d_relu(
    x, weight, scale, shift, *, clip_max=None, stride=1, padding=0, dilation=1, groups=1, keep_mask=True
):
    """Convolution, scale, shift and rectifier in one pass over the output, as ``reference.conv2d_relu``."""
    k = len(weight)
    plan = planned(x.shape[2:], weight.shape, stride, padding, dilation, groups)
    mask = empty((len(x), k, *plan.size), bool) if keep_mask else None
    scale = constant(1, k) if scale is None else dense(scale)
    shift = constant(0, k) if shift is None else dense(shift)
    epilogue = Epilogue(scale, shift, 0.0, np.inf if clip_max is None else float(clip_max), mask)
    return _forward(x, weight, epilogue, plan), mask


def _forward(x, weight, epilogue, plan):
    x, weight = dense(x), dense(weight)
    if plan.algorithm == "winograd":
        return convolve.forward(x, weight, epilogue, plan.padding)
    if plan.algorithm == "strided winograd":
        return space_to_depth.forward(x, weight, epilogue, int(plan.geometry[0]), plan.padding, plan.size)
    y = empty((len(x), len(weight), *plan.size))
    if plan.algorithm == "pointwise":
        pointwise.forward(x, weight, epilogue, y)
        return y
    DIRECT.get(plan.algorithm, im2col).forward(x, weight, epilogue, plan.geometry, y)
    return y


@float32_or(reference.conv2d_input_grad)
def conv2d_input_grad(dy, weight, input_size, *, stride=1, padding=0, dilation=1, groups=1):
    """Gradient with respect to the input, as ``reference.conv2d_input_grad``, by the adjoint algorithm."""
    prologue = Prologue(constant(1, len(weight)))
    return _input_grad(dy, weight, prologue, input_size, stride, padding, dilation, groups)


@float32_or(reference.conv2d_relu_input_grad)
def conv2d_relu_input_grad(
    dy, mask, rule, weight, scale, input_size, *, stride=1, padding=0, dilation=1, groups=1
):
    """Gradient with respect to the input through rectifier and scale, as ``reference.conv2d_relu_input_grad``."""
    scale = constant(1, len(weight)) if scale is None else dense(scale)
    mask = dense(mask) if rule.where_input_positive else None
    prologue = Prologue(scale, mask, rule.where_cotangent_positive)
    return _input_grad(dy, weight, prologue, input_size, stride, padding, dilation, groups)


def _input_grad(dy, weight, prologue, input_size, stride, padding, dilation, groups):
    dy, weight, input_size = dense(dy), dense(weight), tuple(map(int, input_size))
    plan = planned(input_size, weight.shape, stride, padding, dilation, groups, dy.shape[2:], of="input")
    if plan.algorithm == "winograd":
        return convolve.input_grad(dy, weight, prologue, input_size, plan.padding)
    if plan.algorithm == "strided winograd":
        return space_to_depth.input_grad(dy, weight, prologue, input_size, int(plan.geometry[0]), plan.padding)
    dx = empty((len(dy), weight.shape[1] * groups, *input_size))
    if plan.algorithm == "pointwise":
        pointwise.input_grad(dy, weight, prologue, dx)
        return dx
    DIRECT.get(plan.algorithm, im2col).input_grad(dy, weight, prologue, plan.geometry, dx)
    return dx


@float32_or(reference.conv2d_weight_grad)
def conv2d_weight_grad(x, dy, kernel_size, *, stride=1, padding=0, dilation=1, groups=1):
    """Gradient with respect to the weight, as ``reference.conv2d_weight_grad``."""
    x, dy, kernel_size = dense(x), dense(dy), pair(kernel_size, "kernel_size")
    dweight = np.empty((dy.shape[1], x.shape[1] // groups, *kernel_size), np.float32)
    size = x.shape[2:]
    plan = planned(size, dweight.shape, stride, padding, dilation, groups, dy.shape[2:], of="weight")
    if plan.algorithm == "winograd" and weight_grad.suits(*dweight.shape[:2], dy.shape):
        weight_grad.weight_grad(x, dy, plan.geometry[2:4], dweight)
        return dweight
    (depthwise if plan.algorithm == "depthwise" else im2col).weight_grad(x, dy, plan.geometry, dweight)
    return dweight


@float32_or(reference.conv_transpose2d)
def conv_transpose2d(x, weight, bias=None, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1):
    """Transposed 2-D convolution, as ``reference.conv_transpose2d``: a convolution's input gradient."""
    extra = pair(output_padding, "output_padding", least=0)
    size = transposed_size(
        x.shape[2:], weight.shape[2:], pair(stride, "stride"), sides(padding), extra, pair(dilation, "dilation")
    )
    y = conv2d_input_grad(x, weight, size, stride=stride, padding=padding, dilation=dilation, groups=groups)
    if bias is not None:
        y += bias[:, None, None]
    return y


def conv_transpose2d_input_grad(dy, weight, *, stride=1, padding=0, dilation=1, groups=1):
    """Gradient with respect to the input of a transposed convolution: the convolution that it transposes."""
    return conv2d(dy, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)


def conv_transpose2d_weight_grad(x, dy, kernel_size, *, stride=1, padding=0, dilation=1, groups=1):
    """Gradient with respect to the weight of a transposed convolution: ``conv2d``'s with x and dy exchanged."""
    return conv2d_weight_grad(dy, x, kernel_size, stride=stride, padding=padding, dilation=dilation, groups=groups)
