"""Convolution and its gradients: the reference's functions, each by the algorithm that suits its shapes."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple, TypeAlias

import numpy as np

from minicnn._utils.types import Pair
from minicnn.kernels import reference
from minicnn.kernels.cpu.conv import (
    depthwise,
    few_channels,
    im2col,
    pointwise,
    small_maps,
    space_to_depth,
    whole_maps,
)
from minicnn.kernels.cpu.conv.geometry import Geometry
from minicnn.kernels.cpu.conv.winograd import convolve, weight_grad
from minicnn.kernels.cpu.dtype import constant, dense, float32_or
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.recorder import capturable
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

# a number, (vertical, horizontal), or ((top, bottom), (left, right))
Padding: TypeAlias = "Pair | tuple[tuple[int, int], tuple[int, int]]"

# algorithms whose forward and input gradient take a geometry and fill the array they are given
SHARED = {"small maps": small_maps, "whole maps": whole_maps}
DIRECT = {"depthwise": depthwise, "first layer": few_channels, **SHARED}
# of these the gradient with respect to the weight is another algorithm's
WEIGHT_GRADS = {"depthwise": depthwise, **SHARED}


def algorithm(
    size: tuple[int, int],
    weight_shape: tuple[int, ...],
    geometry: Geometry,
    out: tuple[int, int],
    of: str = "output",
    images: int = 1,
) -> str:
    """Name of the algorithm for a convolution of maps of ``size`` with outputs of size ``out``.

    ``of`` says what is wanted: the "output", or the gradient with respect to the "input" or to the "weight".

    - whole maps: kernels as large as the map are a full layer, whose weights several images share.
    - small maps: where many images would each have a product too small for BLAS, some of them share one.
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
    - pointwise: 1x1 with stride 1 is a product of weights and pixels as they lie, clipped in registers.
    - im2col: everything else, and 1x1 where matrices are small, without columns.
    """
    filters, channels, *kernel_size = weight_shape
    # weights have the channels of one group: here each filter has one channel of its own
    if channels == 1 and geometry.groups == filters and filters > 1:
        return "depthwise"
    if whole_maps.is_applicable(images, size, weight_shape, geometry, out):
        return "whole maps"
    if _is_small(images, weight_shape, geometry, out):
        return "small maps"
    stride, is_first = geometry.stride_h, few_channels.is_applicable(size, weight_shape, geometry, out)
    # asked before Winograd's, which can do many of these too
    if is_first and stride == 1 and of == "output":
        return "first layer"
    if _saves_multiplications(weight_shape, geometry, out) and (
        of != "weight" or (*kernel_size, stride) == (3, 3, 1)
    ):
        return "winograd" if stride == 1 else "strided winograd"
    # dx of one channel would be a product with a single row: left to im2col
    if is_first and (of == "output" or (of == "input" and channels > 1)):
        return "first layer"
    # the weight gradient of a 1x1 kernel sums over pixels: another product, which im2col has
    is_product = geometry.is_pointwise and geometry.groups == 1 and of != "weight"
    if is_product and pointwise.is_applicable(filters, channels, math.prod(out)):
        return "pointwise"
    return "im2col"


def _is_small(images, weight_shape, geometry, out):
    filters, channels, *_ = weight_shape
    # with more of both, Winograd's algorithm is as fast; and outputs are copied, which pays where columns are more
    is_narrow = min(filters, channels) < 16 and filters < math.prod(weight_shape[1:])
    return is_narrow and small_maps.is_applicable(images, weight_shape, geometry, out)


def _saves_multiplications(weight_shape, geometry, out):
    """Whether Winograd's algorithm can do it and saves a third of the multiplications at least."""
    filters, channels, *kernel_size = weight_shape
    stride = geometry.stride_h
    if not geometry.stride_w == stride or not geometry.dilation_h == geometry.dilation_w == geometry.groups == 1:
        return False
    # with few channels or filters the transforms of inputs and outputs cost more than the products save
    if min(kernel_size) < 3 or channels * stride**2 < 3 or filters < 16:
        return False
    # tiles that reach beyond the map cost as much as whole ones
    tiles = math.prod(-(-n // 4) for n in out)
    # blocks of 3x3 of the kernel that is left without the stride, ceil(R / stride) rows of taps
    blocks = math.prod(-(-n // (3 * stride)) for n in kernel_size)
    # an input channel takes 36 stride^2 products for each tile and block, or R S for each output; 54 is 36 x 3/2
    return 54 * stride**2 * blocks * tiles <= math.prod(kernel_size) * math.prod(out)


class ConvPlan(NamedTuple):
    """What the shapes of a convolution say.

    Attributes
    ----------
    size : (P, Q) of its output
    padding : ((top, bottom), (left, right))
    geometry : ``Geometry``
    algorithm : str
        See ``algorithm``.

    """

    size: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    geometry: Geometry
    algorithm: str


def plan_convolution(
    maps: tuple[int, int, int],
    weight_shape: tuple[int, ...],
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    out: tuple[int, int] | None = None,
    of: str = "output",
) -> ConvPlan:
    """Return the ``ConvPlan`` of a convolution, worked out once for all maps of these shapes.

    Parameters
    ----------
    maps : (N, H, W) of the input
    weight_shape : (K, C / groups, R, S)
    stride, padding, dilation, groups : as for ``conv2d``
    out : (P, Q), optional
        Where it is known, as for a gradient.
    of : {"output", "input", "weight"}
        What is wanted, see ``algorithm``.

    Examples
    --------
    >>> plan_convolution((1, 224, 224), (64, 64, 3, 3), padding=1).algorithm
    'winograd'
    >>> plan_convolution((1, 27, 27), (256, 48, 5, 5), padding=2, groups=2).algorithm
    'im2col'

    """
    # one form for every way to write them: a list can't be looked up
    windows = pair(stride, "stride"), sides(padding), pair(dilation, "dilation")
    # beyond PARTS of them the number changes nothing
    maps = min(maps[0], small_maps.PARTS), *maps[1:]
    return _plan(maps, tuple(weight_shape), *windows, groups, out, of)


@functools.lru_cache(4096)
def _plan(maps, weight_shape, stride, padding, dilation, groups, out, of):
    images, size = maps[0], maps[1:]
    if out is None:
        out = output_size(size, weight_shape[2:], stride, padding, dilation)
    (top, _), (left, _) = padding
    is_1x1 = weight_shape[2:] == (1, 1) and stride == (1, 1)
    # ``size == out`` excludes padding below and to the right
    is_pointwise = is_1x1 and size == out and top == left == 0
    geometry = Geometry(*stride, top, left, *dilation, int(groups), is_pointwise)
    return ConvPlan(out, padding, geometry, algorithm(size, weight_shape, geometry, out, of, images))


@capturable
@float32_or(reference.conv2d)
def conv2d(x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
    """2-D convolution, as ``reference.conv2d``, by ``algorithm``."""
    plan = plan_convolution((len(x), *x.shape[2:]), weight.shape, stride, padding, dilation, groups)
    # im2col skips an epilogue that is made of these constants
    shift = constant(0, len(weight)) if bias is None else dense(bias)
    return _forward(x, weight, Epilogue(constant(1, len(weight)), shift), plan)


@capturable
@float32_or(reference.conv2d_relu)
def conv2d_relu(
    x, weight, scale, shift, *, clip_max=None, stride=1, padding=0, dilation=1, groups=1, keep_mask=True
):
    """Convolution, scale, shift and rectifier in one pass over the output, as ``reference.conv2d_relu``."""
    k = len(weight)
    plan = plan_convolution((len(x), *x.shape[2:]), weight.shape, stride, padding, dilation, groups)
    mask = empty((len(x), k, *plan.size), bool) if keep_mask else None
    scale = constant(1, k) if scale is None else dense(scale)
    shift = constant(0, k) if shift is None else dense(shift)
    # a clip at 0 is the rectifier; an upper end makes it ReLU6 and the like
    epilogue = Epilogue(scale, shift, 0.0, np.inf if clip_max is None else float(clip_max), mask)
    return _forward(x, weight, epilogue, plan), mask


def _forward(x, weight, epilogue, plan):
    x, weight = dense(x), dense(weight)
    if plan.algorithm == "winograd":
        return convolve.forward(x, weight, epilogue, plan.padding)
    if plan.algorithm == "strided winograd":
        return space_to_depth.forward(x, weight, epilogue, plan.geometry.stride_h, plan.padding, plan.size)
    y = empty((len(x), len(weight), *plan.size))
    if plan.algorithm == "pointwise":
        pointwise.forward(x, weight, epilogue, y)
        return y
    DIRECT.get(plan.algorithm, im2col).forward(x, weight, epilogue, plan.geometry, y)
    return y


@capturable
@float32_or(reference.conv2d_input_grad)
def conv2d_input_grad(dy, weight, input_size, *, stride=1, padding=0, dilation=1, groups=1):
    """Gradient with respect to the input, as ``reference.conv2d_input_grad``, by the adjoint algorithm."""
    prologue = Prologue(constant(1, len(weight)))
    return _input_grad(dy, weight, prologue, input_size, stride, padding, dilation, groups)


@capturable
@float32_or(reference.conv2d_relu_input_grad)
def conv2d_relu_input_grad(
    dy, mask, rule, weight, scale, input_size, *, stride=1, padding=0, dilation=1, groups=1
):
    """Gradient with respect to the input through rectifier and scale, as ``reference.conv2d_relu_input_grad``."""
    scale = constant(1, len(weight)) if scale is None else dense(scale)
    # a rule's two conditions: x positive, which is the forward's mask, and dy positive, which the prologue tests
    mask = dense(mask) if rule.where_input_positive else None
    prologue = Prologue(scale, mask, rule.where_cotangent_positive)
    return _input_grad(dy, weight, prologue, input_size, stride, padding, dilation, groups)


def _input_grad(dy, weight, prologue, input_size, stride, padding, dilation, groups):
    dy, weight, input_size = dense(dy), dense(weight), tuple(map(int, input_size))
    windows = stride, padding, dilation, groups, dy.shape[2:]
    plan = plan_convolution((len(dy), *input_size), weight.shape, *windows, of="input")
    if plan.algorithm == "winograd":
        return convolve.input_grad(dy, weight, prologue, input_size, plan.padding)
    if plan.algorithm == "strided winograd":
        return space_to_depth.input_grad(dy, weight, prologue, input_size, plan.geometry.stride_h, plan.padding)
    # weights have the channels of one group, dx those of all
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
    windows = stride, padding, dilation, groups, dy.shape[2:]
    plan = plan_convolution((len(x), *x.shape[2:]), dweight.shape, *windows, of="weight")
    # a plan depends on few images or many, but not on the number of tiles: whether they suffice is asked here
    if plan.algorithm == "winograd" and weight_grad.is_applicable(*dweight.shape[:2], dy.shape):
        weight_grad.weight_grad(x, dy, (plan.geometry.padding_top, plan.geometry.padding_left), dweight)
        return dweight
    WEIGHT_GRADS.get(plan.algorithm, im2col).weight_grad(x, dy, plan.geometry, dweight)
    return dweight


@float32_or(reference.conv_transpose2d)
def conv_transpose2d(x, weight, bias=None, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1):
    """Transposed 2-D convolution, as ``reference.conv_transpose2d``: a convolution's input gradient."""
    extra = pair(output_padding, "output_padding", minimum=0)
    size = transposed_size(
        x.shape[2:], weight.shape[2:], pair(stride, "stride"), sides(padding), extra, pair(dilation, "dilation")
    )
    y = conv2d_input_grad(x, weight, size, stride=stride, padding=padding, dilation=dilation, groups=groups)
    if bias is not None:
        y += bias[:, None, None]
    return y


@capturable
def conv_transpose2d_input_grad(dy, weight, *, stride=1, padding=0, dilation=1, groups=1):
    """Gradient with respect to the input of a transposed convolution: the convolution that it transposes."""
    return conv2d(dy, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)


def conv_transpose2d_weight_grad(x, dy, kernel_size, *, stride=1, padding=0, dilation=1, groups=1):
    """Gradient with respect to the weight of a transposed convolution: ``conv2d``'s with x and dy exchanged."""
    return conv2d_weight_grad(dy, x, kernel_size, stride=stride, padding=padding, dilation=dilation, groups=groups)
