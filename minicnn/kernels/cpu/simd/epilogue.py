"""What a convolution does to its values while they are at hand: after the sums, and before those of its adjoint.

    forward    y = min(max(scale[k] v + shift[k], clip_min), clip_max),    mask = where the clip lets y move
    backward   v = scale[k] dy [mask] [dy > 0]

so that scale, bias and rectifier cost no pass over memory of their own.

Gain: a rectifier in a pass of its own would read and write 13 MB after each of VGG-16's first convolutions.
Reference: ``reference.conv2d_relu`` and ``reference.conv2d_relu_input_grad``.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import boolean, float32, types
from numba.extending import intrinsic

from minicnn.kernels.cpu.runtime.jit import inner, reads, writes
from minicnn.kernels.cpu.simd.pointers import mask_pointer
from minicnn.kernels.cpu.simd.vector import (
    FLOAT,
    LANES,
    VECTOR,
    address,
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
    "EPILOGUE",
    "PROLOGUE",
    "ChannelEpilogue",
    "Epilogue",
    "EpilogueView",
    "Prologue",
    "PrologueView",
    "channel_epilogue",
    "emit_clip_mask",
    "emit_scale_shift_clip",
    "no_mask",
    "scale_and_mask",
    "scale_and_mask_vector",
    "scale_shift_clip",
    "scale_shift_clip_vector",
    "store_with_mask",
    "view_epilogue",
    "view_prologue",
]

BYTES = ir.VectorType(ir.IntType(8), LANES)


@functools.cache
def no_mask() -> np.ndarray:
    """Return the empty array that stands for no mask where a kernel wants an array."""
    return np.empty((0, 0, 0, 0), bool)


class Epilogue(NamedTuple):
    """What a forward does to its sums.

    Attributes
    ----------
    scale, shift : float32 arrays of shape (K,)
    clip_min, clip_max : float
        Ends of the clip; infinite for none.
    mask : bool array of shape (N, K, P, Q), optional
        Filled with where y lies strictly between the ends, and so moves with its sum.  In kernels an empty array
        stands for None.

    """

    scale: np.ndarray
    shift: np.ndarray
    clip_min: float = -np.inf
    clip_max: float = np.inf
    mask: np.ndarray | None = None

    def as_arguments(self) -> tuple:
        """Return what a kernel takes as an ``EPILOGUE``, see ``view_epilogue``."""
        mask = no_mask() if self.mask is None else self.mask
        return self.scale, self.shift, np.float32(self.clip_min), np.float32(self.clip_max), mask


class Prologue(NamedTuple):
    """What an adjoint does to dy before it sums.

    Attributes
    ----------
    scale : float32 array of shape (K,)
    mask : bool array of shape (N, K, P, Q), optional
        The forward's; where it is False dy counts as 0.  In kernels an empty array stands for None.
    only_positive : bool
        Whether negative dy counts as 0: the deconvnet's rule.

    """

    scale: np.ndarray
    mask: np.ndarray | None = None
    only_positive: bool = False

    def as_arguments(self) -> tuple:
        """Return what a kernel takes as a ``PROLOGUE``, see ``view_prologue``."""
        return self.scale, no_mask() if self.mask is None else self.mask, self.only_positive


class EpilogueView(NamedTuple):
    """An ``Epilogue`` within a kernel: addresses of scale, shift and mask, 0 for no mask, and the clip's ends."""

    scale: int
    shift: int
    clip_min: float
    clip_max: float
    mask: int


class PrologueView(NamedTuple):
    """A ``Prologue`` within a kernel: addresses of scale and mask, 0 for no mask, and the rule."""

    scale: int
    mask: int
    only_positive: bool


class ChannelEpilogue(NamedTuple):
    """An epilogue's numbers for one channel: scale, shift and the ends of the clip."""

    scale: float
    shift: float
    clip_min: float
    clip_max: float


# Kernels take plain tuples: Numba looks a named one up by a slower path (half a microsecond), and won't convert
# its arrays to read-only ones.
EPILOGUE = types.Tuple([reads(1), reads(1), float32, float32, writes(4, boolean)])
PROLOGUE = types.Tuple([reads(1), reads(4, boolean), boolean])


@inner
def view_epilogue(epilogue):
    """Return the ``EpilogueView`` of what a kernel was given as an ``EPILOGUE``."""
    scale, shift, clip_min, clip_max, mask = epilogue
    return EpilogueView(address(scale), address(shift), clip_min, clip_max, mask_pointer(mask))


@inner
def view_prologue(prologue):
    """Return the ``PrologueView`` of what a kernel was given as a ``PROLOGUE``."""
    scale, mask, only_positive = prologue
    return PrologueView(address(scale), mask_pointer(mask), only_positive)


@inner
def channel_epilogue(epilogue, k):
    """Return the ``ChannelEpilogue`` of channel k."""
    scale, shift = load_scalar(epilogue.scale, k), load_scalar(epilogue.shift, k)
    return ChannelEpilogue(scale, shift, epilogue.clip_min, epilogue.clip_max)


@inner
def scale_shift_clip(sums, count, epilogue, y, mask):
    """Put ``count`` sums through a ``ChannelEpilogue`` to y and its mask; y may be ``sums``.

    sums, y, mask : addresses, 0 for no mask
    """
    scale, shift, clip_min, clip_max = epilogue
    # too short for a vector: number by number
    if count < LANES:
        for i in range(count):
            v = load_scalar(sums, i) * scale + shift
            store_scalar(y, i, clip_min if v < clip_min else clip_max if v > clip_max else v)  # NaN stays NaN
        # y goes to itself, clipped as it is: only its mask is new
        store_with_mask(y, count, clip_min, clip_max, y, mask)
    else:
        factor, summand = broadcast(scale), broadcast(shift)
        # whole vectors in place, and the rest by one that ends at the last value
        whole = count // LANES * LANES
        # the last vector begins earlier; where y is ``sums`` it must be read before the others are written
        tail = scale_shift_clip_vector(load(sums, count - LANES), factor, summand, clip_min, clip_max)
        for i in range(0, whole, LANES):
            v = scale_shift_clip_vector(load(sums, i), factor, summand, clip_min, clip_max)
            _store_vector_with_mask(v, clip_min, clip_max, y, mask, i)
        _store_vector_with_mask(tail, clip_min, clip_max, y, mask, count - LANES)


@inner
def store_with_mask(row, count, clip_min, clip_max, y, mask):
    """Copy ``count`` clipped values from ``row`` to y, and set their mask; addresses, 0 for no mask."""
    if count < LANES:
        for i in range(count):
            v = load_scalar(row, i)
            store_scalar(y, i, v)
            # y moves with its sum strictly between the ends; an infinite upper end is none
            if mask:
                store_byte(mask, i, np.uint8((v > clip_min) & ((v != clip_max) | (clip_max == np.inf))))
    else:
        for start in range(0, count, LANES):
            i = min(start, count - LANES)  # the last vector begins earlier
            _store_vector_with_mask(load(row, i), clip_min, clip_max, y, mask, i)


@intrinsic
def scale_shift_clip_vector(typingctx, sums, scale, shift, clip_min, clip_max):
    """Vector of sums, scaled, shifted and clipped."""

    def codegen(context, builder, sig, args):
        sums, scale, shift, clip_min, clip_max = args
        ends = emit_broadcast(builder, clip_min), emit_broadcast(builder, clip_max)
        return emit_scale_shift_clip(builder, sums, scale, shift, *ends)

    return lanes(lanes, lanes, lanes, types.float32, types.float32), codegen


@intrinsic
def _store_vector_with_mask(typingctx, value, clip_min, clip_max, y, mask, index):
    """Write a vector of clipped values to ``y[index]``, and its mask, where that is not address 0."""

    def codegen(context, builder, sig, args):
        value, clip_min, clip_max, y, mask, index = args
        builder.store(value, vector_pointer(builder, y, index), align=4)
        with builder.if_then(builder.icmp_signed("!=", mask, ir.Constant(mask.type, 0))):
            ends = emit_broadcast(builder, clip_min), emit_broadcast(builder, clip_max)
            flags = emit_clip_mask(builder, value, *ends)
            # a mask may begin at any byte, so that its vectors are not aligned
            builder.store(flags, vector_pointer(builder, mask, index, flags.type), align=1)
        return context.get_dummy_value()

    return types.void(lanes, types.float32, types.float32, *[types.int64] * 3), codegen


@inner
def scale_and_mask(dy, count, scale, mask, only_positive, row):
    """Put ``count`` values of dy through the prologue into ``row``; addresses, 0 for no mask."""
    if count < LANES:
        for i in range(count):
            v = load_scalar(dy, i)
            # a choice, not a multiplication by the mask: infinity times 0 is NaN
            passed = ((not mask) or load_byte(mask, i) != 0) and (v > 0 or not only_positive)
            store_scalar(row, i, v * scale if passed else np.float32(0))
    # with neither mask nor rule a loop of its own, which tests nothing in each vector
    elif mask or only_positive:
        factor = broadcast(scale)
        for start in range(0, count, LANES):
            i = min(start, count - LANES)  # the last vector begins earlier
            store(row, i, scale_and_mask_vector(load(dy, i), factor, mask, only_positive, i))
    else:
        factor = broadcast(scale)
        for start in range(0, count, LANES):
            i = min(start, count - LANES)
            store(row, i, factor * load(dy, i))


@inner
def scale_and_mask_vector(v, scale, mask, only_positive, index):
    """Vector of dy through the rule and the mask from ``mask[index]`` on, where that is not address 0."""
    # both are the same for all of a kernel's values, so that the branches are always predicted
    if only_positive:
        v = where_positive(v)
    if mask:
        v = where_mask(mask, index, v)
    return scale * v


def emit_scale_shift_clip(builder, sums, scale, shift, clip_min, clip_max):
    """Emit ``scale_shift_clip_vector``: one multiplication with addition, one maximum, one minimum."""
    # scale v + shift: a bias is a shift, and batch normalisation a scale and a shift
    v = emit_fma(builder, sums, scale, shift)
    for end, order in ((clip_min, "<"), (clip_max, ">")):
        # a comparison and a choice, not the processor's maximum: NaN stays NaN
        v = builder.select(builder.fcmp_ordered(order, v, end), end, v)
    return v


def emit_clip_mask(builder, clipped, clip_min, clip_max):
    """Emit the mask of a vector of clipped values: LANES bytes of 0 or 1."""
    unbounded = builder.fcmp_ordered("==", clip_max, ir.Constant(VECTOR, [float("inf")] * LANES))
    # every value differs from NaN, infinity too: without an upper end it moves
    top = builder.select(unbounded, ir.Constant(VECTOR, [float("nan")] * LANES), clip_max)
    above, below = builder.fcmp_ordered(">", clipped, clip_min), builder.fcmp_unordered("!=", clipped, top)
    return builder.zext(builder.and_(above, below), BYTES)


@intrinsic
def where_mask(typingctx, mask, index, value):
    """Vector ``value`` where the LANES bytes from ``mask[index]`` on are not 0, and 0 elsewhere."""

    def codegen(context, builder, sig, args):
        mask, index, value = args
        flags = builder.load(vector_pointer(builder, mask, index, BYTES))
        flags.align = 1
        passed = builder.icmp_signed("!=", flags, ir.Constant(BYTES, [0] * LANES))
        # a choice, not a product: an infinite value behind a mask becomes 0, not NaN
        return builder.select(passed, value, ir.Constant(VECTOR, [0.0] * LANES))

    return lanes(types.int64, types.int64, lanes), codegen


@intrinsic
def where_positive(typingctx, value):
    """Vector ``value`` where it is positive, and 0 elsewhere."""

    def codegen(context, builder, sig, args):
        zero = emit_broadcast(builder, ir.Constant(FLOAT, 0.0))
        return builder.select(builder.fcmp_ordered(">", args[0], zero), args[0], zero)

    return lanes(lanes), codegen
