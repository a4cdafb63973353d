"""What a convolution does to its values while they are at hand: after the sums, and before those of its adjoint.

    forward    y = min(max(scale[k] v + shift[k], least), most),    mask = whether the clamp lets y move
    backward   v = scale[k] dy [mask] [dy > 0]

so that scale, bias and rectifier cost no pass over memory of their own.
"""

import functools
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minicnn.kernels.cpu.runtime.jit import inner
from minicnn.kernels.cpu.simd.vector import (
    FLOAT,
    LANES,
    VECTOR,
    broadcast,
    emit_broadcast,
    emit_fma,
    lanes,
    load,
    load_byte,
    load_scalar,
    store,
    store_byte,
    store_scalar,
    vector_pointer,
)

__all__ = [
    "Epilogue",
    "Prologue",
    "clamp",
    "finish",
    "finished",
    "moves",
    "no_mask",
    "prepare",
    "prepared_vector",
    "settle",
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


@inner
def finish(sums, count, scale, shift, least, most, y, mask):
    """Finish ``count`` sums: y, and its mask; addresses, 0 for no mask.  y may be ``sums``."""
    if count < LANES:
        for i in range(count):
            v = load_scalar(sums, i) * scale + shift
            store_scalar(y, i, least if v < least else most if v > most else v)  # NaN stays NaN
        settle(y, count, least, most, y, mask)
    else:
        by, plus = broadcast(scale), broadcast(shift)
        whole = count // LANES * LANES
        tail = clamp(load(sums, count - LANES), by, plus, least, most)  # begins earlier, so it is read before
        for i in range(0, whole, LANES):
            settle_vector(clamp(load(sums, i), by, plus, least, most), least, most, y, mask, i)
        settle_vector(tail, least, most, y, mask, count - LANES)


@inner
def settle(row, count, least, most, y, mask):
    """Copy ``count`` finished values from ``row`` to y, and set their mask; addresses, 0 for no mask."""
    if count < LANES:
        for i in range(count):
            v = load_scalar(row, i)
            store_scalar(y, i, v)
            if mask:
                store_byte(mask, i, np.uint8((v > least) & ((v != most) | (most == np.inf))))
    else:
        for start in range(0, count, LANES):
            i = min(start, count - LANES)  # the last vector begins earlier
            settle_vector(load(row, i), least, most, y, mask, i)


@intrinsic
def clamp(typingctx, sums, scale, shift, least, most):
    """Vector of sums, scaled, shifted and clamped."""

    def codegen(context, builder, sig, args):
        sums, scale, shift, least, most = args
        return finished(builder, sums, scale, shift, emit_broadcast(builder, least), emit_broadcast(builder, most))

    return lanes(lanes, lanes, lanes, types.float32, types.float32), codegen


@intrinsic
def settle_vector(typingctx, value, least, most, y, mask, index):
    """Write a vector of finished values to ``y[index]``, and its mask, where that is not address 0."""

    def codegen(context, builder, sig, args):
        value, least, most, y, mask, index = args
        builder.store(value, vector_pointer(builder, y, index), align=4)
        with builder.if_then(builder.icmp_signed("!=", mask, ir.Constant(mask.type, 0))):
            flags = moves(builder, value, emit_broadcast(builder, least), emit_broadcast(builder, most))
            builder.store(flags, vector_pointer(builder, mask, index, flags.type), align=1)
        return context.get_dummy_value()

    return types.void(lanes, types.float32, types.float32, *[types.int64] * 3), codegen


@inner
def prepare(dy, count, scale, mask, only_positive, row):
    """Prepare ``count`` cotangents from dy to ``row``, through the mask; addresses, 0 for no mask."""
    if count < LANES:
        for i in range(count):
            v = load_scalar(dy, i)
            passed = ((not mask) or load_byte(mask, i) != 0) and (v > 0 or not only_positive)
            store_scalar(row, i, v * scale if passed else np.float32(0))
    elif mask or only_positive:
        by = broadcast(scale)
        for start in range(0, count, LANES):
            i = min(start, count - LANES)
            store(row, i, prepared_vector(load(dy, i), by, mask, only_positive, i))
    else:
        by = broadcast(scale)
        for start in range(0, count, LANES):
            i = min(start, count - LANES)
            store(row, i, by * load(dy, i))


@inner
def prepared_vector(v, scale, mask, only_positive, index):
    """Vector of cotangents through the rule and the mask from ``mask[index]`` on, where that is not address 0."""
    if only_positive:
        v = where_positive(v)
    if mask:
        v = where_set(mask, index, v)
    return scale * v


def finished(builder, sums, scale, shift, least, most):
    """Emit ``finish`` for a vector of sums: one multiplication with addition, one maximum, one minimum."""
    v = emit_fma(builder, sums, scale, shift)
    for end, order in ((least, "<"), (most, ">")):
        v = builder.select(builder.fcmp_ordered(order, v, end), end, v)  # NaN stays NaN
    return v


def moves(builder, after, least, most):
    """Emit the mask of a vector of clamped values: LANES bytes of 0 or 1."""
    infinite = builder.fcmp_ordered("==", most, ir.Constant(VECTOR, [float("inf")] * LANES))
    top = builder.select(infinite, ir.Constant(VECTOR, [float("nan")] * LANES), most)  # from which all differ
    inside = builder.and_(builder.fcmp_ordered(">", after, least), builder.fcmp_unordered("!=", after, top))
    return builder.zext(inside, BYTES)


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
        zero = emit_broadcast(builder, ir.Constant(FLOAT, 0.0))
        return builder.select(builder.fcmp_ordered(">", args[0], zero), args[0], zero)

    return lanes(lanes), codegen
