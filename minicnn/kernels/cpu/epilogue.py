"""What a convolution does to its values while they are at hand: after the sums, and before those of its adjoint.

    forward    y = min(max(scale[k] v + shift[k], least), most),    mask = whether the clamp lets y move
    backward   v = scale[k] dy [mask] [dy > 0]

so that scale, bias and rectifier cost no pass over memory of their own.
"""

import functools
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from minicnn.kernels.cpu.simd import (
    FLOAT,
    LANES,
    VECTOR,
    address,
    fused,
    lanes,
    load,
    splat,
    splatted,
    vector_pointer,
)

__all__ = [
    "Epilogue",
    "Prologue",
    "finish",
    "finished",
    "moves",
    "no_mask",
    "prepare",
    "where_positive",
    "where_set",
]

BYTES = ir.VectorType(ir.IntType(8), LANES)


@functools.cache
def no_mask(ndim):
    """Return the array of ``ndim`` axes that stands for no mask."""
    return np.empty((0,) * ndim, bool)


class Epilogue(NamedTuple):
    """After a forward's sums: scale and shift of shape (K,), the ends of the clamp, a mask to fill or None."""

    scale: np.ndarray
    shift: np.ndarray
    least: float = -np.inf
    most: float = np.inf
    mask: np.ndarray | None = None


class Prologue(NamedTuple):
    """Before the sums of an adjoint: scale of shape (K,), the forward's mask or None, and the deconvnet's rule."""

    scale: np.ndarray
    mask: np.ndarray | None = None
    only_positive: bool = False


@njit
def finish(row, scale, shift, least, most, y, mask):
    """Finish one row of sums: y from ``row``, and its mask, where that is not empty."""
    least, most, count = np.float32(least), np.float32(most), len(y)
    if count < LANES:
        for i in range(count):
            v = row[i] * scale + shift
            y[i] = least if v <= least else most if v >= most else v  # NaN stays NaN
            if len(mask):
                mask[i] = (v > least) & ((v < most) | (most == np.inf))
    else:
        by, plus = splat(scale), splat(shift)
        source, to, flags = address(row), address(y), address(mask) if len(mask) else 0
        for start in range(0, count, LANES):
            i = min(start, count - LANES)  # the last vector begins earlier
            finish_vector(load(source, i), by, plus, least, most, to, flags, i)


@intrinsic
def finish_vector(typingctx, sums, scale, shift, least, most, y, mask, index):
    """Finish a vector of sums at ``y[index]``, with its mask, where that is not address 0."""

    def codegen(context, builder, sig, args):
        sums, scale, shift, least, most, y, mask, index = args
        ends = splatted(builder, least), splatted(builder, most)
        before, after = finished(builder, sums, scale, shift, *ends)
        builder.store(after, vector_pointer(builder, y, index), align=4)
        with builder.if_then(builder.icmp_signed("!=", mask, ir.Constant(mask.type, 0))):
            flags = moves(builder, before, *ends)
            builder.store(flags, vector_pointer(builder, mask, index, flags.type), align=1)
        return context.get_dummy_value()

    return types.void(lanes, lanes, lanes, types.float32, types.float32, *[types.int64] * 3), codegen


@njit
def prepare(dy, scale, mask, only_positive, row):
    """Prepare one row of cotangents: ``row`` from dy, through the mask, where that is not empty."""
    if len(mask):
        for i in range(len(dy)):
            passed = mask[i] & ((dy[i] > 0) | (not only_positive))
            row[i] = dy[i] * scale if passed else np.float32(0)
    elif only_positive:
        for i in range(len(dy)):
            row[i] = dy[i] * scale if dy[i] > 0 else np.float32(0)
    else:
        for i in range(len(dy)):
            row[i] = dy[i] * scale


def finished(builder, sums, scale, shift, least, most):
    """Emit ``finish`` for a vector of sums: the values before the clamp, and after it."""
    before = fused(builder, sums, scale, shift)
    below, above = builder.fcmp_ordered("<=", before, least), builder.fcmp_ordered(">=", before, most)
    return before, builder.select(below, least, builder.select(above, most, before))


def moves(builder, before, least, most):
    """Emit the mask of a vector of values before the clamp: LANES bytes of 0 or 1."""
    endless = builder.fcmp_ordered("==", most, ir.Constant(VECTOR, [float("inf")] * LANES))
    inside = builder.or_(builder.fcmp_ordered("<", before, most), endless)
    return builder.zext(builder.and_(builder.fcmp_ordered(">", before, least), inside), BYTES)


@intrinsic
def where_set(typingctx, mask, index, value):
    """Vector ``value`` where the LANES bytes from ``mask[index]`` on are not 0, and 0 elsewhere."""

    def codegen(context, builder, sig, args):
        mask, index, value = args
        flags = builder.load(vector_pointer(builder, mask, index, BYTES))
        flags.align = 1
        passed = builder.icmp_signed("!=", flags, ir.Constant(BYTES, [0] * LANES))
        return builder.select(passed, value, ir.Constant(VECTOR, [0.0] * LANES))

    return lanes(types.int64, types.int64, lanes), codegen


@intrinsic
def where_positive(typingctx, value):
    """Vector ``value`` where it is positive, and 0 elsewhere."""

    def codegen(context, builder, sig, args):
        zero = splatted(builder, ir.Constant(FLOAT, 0.0))
        return builder.select(builder.fcmp_ordered(">", args[0], zero), args[0], zero)

    return lanes(lanes), codegen
