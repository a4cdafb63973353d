"""Vectors for compiled kernels: one machine register of float32 numbers, with arithmetic.

Numba's compiler vectorises simple loops; convolution needs more, namely sums that stay in registers.  Here is a
type ``lanes`` of ``LANES`` numbers side by side, written like a number: ``a + b``, ``a * b``, ``fma(a, b, c)``.
Memory is addressed as in assembly: ``address(array)``, and an index counted in elements.  An address keeps nothing
alive: see ``pointers.keep_alive``.

Functions of a ``typingctx`` are called in kernels; those of a ``builder`` emit LLVM instructions for other such
functions.

``LANES`` is what the processor has that Numba compiles for: 16 with AVX-512, 8 with AVX2, 4 elsewhere.
Multiplications and additions may be contracted to one rounding; nothing else is reordered, so that the same
machine gives the same bits.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils, codegen, config
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

__all__ = [
    "LANES",
    "address",
    "broadcast",
    "fma",
    "horizontal_sum",
    "keep_first",
    "lanes",
    "load",
    "load_byte",
    "load_deinterleave2",
    "load_deinterleave4",
    "load_index",
    "load_scalar",
    "prefetch",
    "shift_in",
    "store",
    "store_byte",
    "store_interleave2",
    "store_interleave4",
    "store_scalar",
    "transpose",
]

# of the processor that Numba compiles for: this one, or what NUMBA_CPU_FEATURES says
_features = (codegen.get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES).split(",")
LANES = 16 if "+avx512f" in _features else 8 if "+avx2" in _features else 4

FLOAT, BYTE, INT32, INT64 = ir.FloatType(), ir.IntType(8), ir.IntType(32), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, LANES)


class _Lanes(types.Type):
    def __init__(self):
        super().__init__(name=f"lanes{LANES}")


lanes = _Lanes()


# to LLVM a value of the type is one vector, as a float32 is one scalar
@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, VECTOR)


def _operator(function, emit):
    """Give the type one arithmetic operator."""
    # for Numba's type inference; below is what it emits
    infer_global(function)(type("Operator", (ConcreteTemplate,), {"cases": [signature(lanes, lanes, lanes)]}))

    @lower_builtin(function, lanes, lanes)
    def lower(context, builder, sig, args):
        # contract lets a product and the sum it goes to become one FMA; no reordering is allowed
        return getattr(builder, emit)(*args, flags=("contract",))


_operator(operator.add, "fadd")
_operator(operator.sub, "fsub")
_operator(operator.mul, "fmul")


def _indices(numbers):
    return ir.Constant(ir.VectorType(INT32, len(numbers)), list(numbers))


def vector_pointer(builder, start, index, kind=VECTOR):
    """Pointer to the vector that begins ``index`` elements after the address ``start``."""
    element = builder.inttoptr(start, kind.element.as_pointer())
    return builder.bitcast(builder.gep(element, [index]), kind.as_pointer())


def emit_load(builder, start, index, kind=VECTOR):
    value = builder.load(vector_pointer(builder, start, index, kind))
    # an array's element may be anywhere: aligned as a float, not as a vector
    value.align = 4
    return value


def emit_broadcast(builder, value):
    """Vector of one number, LANES times."""
    # LLVM's idiom for a broadcast: put it into lane 0, then take lane 0 for every lane
    undefined = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    first = builder.insert_element(undefined, value, INT32(0))
    return builder.shuffle_vector(first, undefined, _indices([0] * LANES))


def emit_fma(builder, a, b, c):
    """Emit a b + c, with one rounding where the processor can."""
    # fmuladd, not fma: a processor without FMA multiplies and adds, and calls no library
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), f"llvm.fmuladd.v{LANES}f32"
    )
    return builder.call(function, [a, b, c])


@intrinsic
def address(typingctx, array):
    """Address of an array's first element."""

    def codegen(context, builder, sig, args):
        array = context.make_array(sig.args[0])(context, builder, args[0])
        return builder.ptrtoint(array.data, INT64)

    return types.int64(array), codegen


@intrinsic
def load(typingctx, start, index):
    """LANES numbers from ``start[index]`` on."""

    def codegen(context, builder, sig, args):
        return emit_load(builder, *args)

    return lanes(types.int64, types.int64), codegen


@intrinsic
def store(typingctx, start, index, value):
    """Write LANES numbers from ``start[index]`` on."""

    def codegen(context, builder, sig, args):
        start, index, value = args
        builder.store(value, vector_pointer(builder, start, index), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, lanes), codegen


def _scalar_access(kind, element, text):
    """Make the functions that read and write one number at ``start[index]``."""

    def pointer(builder, start, index):
        return builder.gep(builder.inttoptr(start, element.as_pointer()), [index])

    def load_one(typingctx, start, index):
        def codegen(context, builder, sig, args):
            return builder.load(pointer(builder, *args))

        return kind(types.int64, types.int64), codegen

    def store_one(typingctx, start, index, value):
        def codegen(context, builder, sig, args):
            builder.store(args[2], pointer(builder, *args[:2]))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, kind), codegen

    load_one.__doc__, store_one.__doc__ = f"Return {text}.", f"Set {text}."
    return intrinsic(load_one), intrinsic(store_one)


load_scalar, store_scalar = _scalar_access(types.float32, FLOAT, "the number ``start[index]``")
load_index, _ = _scalar_access(types.int64, INT64, "the whole number ``start[index]``")
load_byte, store_byte = _scalar_access(types.uint8, BYTE, "the byte ``start[index]``")


def emit_prefetch(builder, start, index):
    """Emit the prefetch of the cache line of ``start[index]``."""
    # the place may lie beyond the array: a prefetch never faults
    place = builder.inttoptr(builder.add(start, builder.mul(index, INT64(4))), BYTE.as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [BYTE.as_pointer(), INT32, INT32, INT32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    builder.call(function, [place, INT32(0), INT32(3), INT32(1)])  # to read, to keep, data


@intrinsic
def prefetch(typingctx, start, index):
    """Load the cache line of ``start[index]``, which will be read soon, without waiting for it."""

    def codegen(context, builder, sig, args):
        emit_prefetch(builder, *args)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def broadcast(typingctx, value):
    """Vector of one float32 number, LANES times."""

    def codegen(context, builder, sig, args):
        return emit_broadcast(builder, args[0])

    return lanes(types.float32), codegen


@intrinsic
def fma(typingctx, a, b, c):
    """Vector a b + c, with one rounding where the processor can."""

    def codegen(context, builder, sig, args):
        return emit_fma(builder, *args)

    return lanes(lanes, lanes, lanes), codegen


def emit_horizontal_sum(builder, value):
    """Emit the sum of a vector's numbers: its upper half is added to its lower one, until one number is left."""
    # log2(LANES) additions, in an order that is fixed
    count = LANES
    while count > 1:
        count //= 2
        low, high = _indices(range(count)), _indices(range(count, 2 * count))
        value = builder.fadd(*(builder.shuffle_vector(value, value, half) for half in (low, high)))
    return builder.extract_element(value, INT32(0))


@intrinsic
def horizontal_sum(typingctx, value):
    """Sum of a vector's numbers."""

    def codegen(context, builder, sig, args):
        return emit_horizontal_sum(builder, *args)

    return types.float32(lanes), codegen


@intrinsic
def keep_first(typingctx, value, count):
    """Vector of the first ``count`` numbers of ``value``, and 0 behind them."""

    def codegen(context, builder, sig, args):
        value, count = args
        # lane j is kept where j < count; a count beyond LANES keeps all
        ends = emit_broadcast(builder, builder.trunc(count, INT32))
        inside = builder.icmp_signed("<", _indices(range(LANES)), ends)
        return builder.select(inside, value, ir.Constant(VECTOR, [0.0] * LANES))

    return lanes(lanes, types.int64), codegen


# How two vectors a and b are shuffled into two others, each by the positions in (a, b) that it takes:
# UNZIP: even and odd positions;  ZIP: its inverse, a[0] b[0] a[1] b[1] ...;  LOW_HIGH: lower halves of both, upper
# halves of both;  UNPACK: ZIP inside of each four numbers, one instruction in AVX2 and SSE where ZIP takes two.
UNZIP = range(0, 2 * LANES, 2), range(1, 2 * LANES, 2)
ZIP = [[i // 2 + i % 2 * LANES + half for i in range(LANES)] for half in (0, LANES // 2)]
LOW_HIGH = [[i + i // (LANES // 2) * LANES // 2 + half for i in range(LANES)] for half in (0, LANES // 2)]
UNPACK = [[i // 4 * 4 + i % 4 // 2 + i % 2 * LANES + half for i in range(LANES)] for half in (0, 2)]


def _shuffle(builder, a, b, orders):
    return [builder.shuffle_vector(a, b, _indices(order)) for order in orders]


def _transpose4x4(builder, a, b, c, d):
    """Emit the transpose of each block of 4 x 4 numbers of four vectors."""
    # a0 c0 a1 c1 ... and b0 d0 b1 d1 ... first, then a0 b0 c0 d0 ... and a1 b1 c1 d1 ...
    (a, b), (c, d) = _shuffle(builder, a, c, UNPACK), _shuffle(builder, b, d, UNPACK)
    return [*_shuffle(builder, a, c, UNPACK), *_shuffle(builder, b, d, UNPACK)]


def _deinterleave2(builder, a, b):
    return _shuffle(builder, a, b, UNZIP)


def _deinterleave4(builder, a, b, c, d):
    """Emit four vectors, the j-th of which has every fourth number of a, b, c, d from the j-th on."""
    if LANES == 16:
        # every second number of every second number is every fourth
        (a, b), (c, d) = _shuffle(builder, a, b, UNZIP), _shuffle(builder, c, d, UNZIP)
        (a, c), (b, d) = _shuffle(builder, a, c, UNZIP), _shuffle(builder, b, d, UNZIP)
        return [a, b, c, d]
    if LANES == 8:
        # UNPACK stays inside of each four numbers: first each four gets what its transpose needs
        (a, b), (c, d) = _shuffle(builder, a, c, LOW_HIGH), _shuffle(builder, b, d, LOW_HIGH)
    return _transpose4x4(builder, a, b, c, d)


def _interleave4(builder, a, b, c, d):
    """Emit the inverse of ``_deinterleave4``."""
    if LANES == 16:
        # the steps of ``_deinterleave4`` backwards
        (a, c), (b, d) = _shuffle(builder, a, c, ZIP), _shuffle(builder, b, d, ZIP)
        return [*_shuffle(builder, a, b, ZIP), *_shuffle(builder, c, d, ZIP)]
    a, b, c, d = _transpose4x4(builder, a, b, c, d)
    if LANES == 8:
        (a, c), (b, d) = _shuffle(builder, a, b, LOW_HIGH), _shuffle(builder, c, d, LOW_HIGH)
    return [a, b, c, d]


def _emit_transpose(builder, rows):
    """Emit the columns of LANES rows."""
    if LANES == 16:
        # a perfect shuffle rotates the bits of (row, column) by one: log2(16) = 4 of them exchange the two
        for _ in range(4):
            pairs = [(rows[i], rows[i + LANES // 2]) for i in range(LANES // 2)]
            rows = [vector for pair in pairs for vector in _shuffle(builder, *pair, ZIP)]
        return rows
    # 4 x 4 blocks are transposed, then, of 8 x 8, the off-diagonal blocks exchanged
    blocks = [_transpose4x4(builder, *rows[i : i + 4]) for i in range(0, LANES, 4)]
    if LANES == 4:
        return blocks[0]
    low, high = zip(*(_shuffle(builder, a, b, LOW_HIGH) for a, b in zip(*blocks, strict=True)), strict=True)
    return [*low, *high]


def _deinterleaving_load(step, deinterleave):
    """Make the load of ``step`` vectors, the j-th of which has every ``step``-th number from the j-th on."""

    def load_deinterleaved(typingctx, start, index):
        def codegen(context, builder, sig, args):
            start, index = args
            # consecutive loads and shuffles: a gather would take a step for each number
            vectors = [emit_load(builder, start, builder.add(index, INT64(LANES * j))) for j in range(step)]
            return context.make_tuple(builder, sig.return_type, deinterleave(builder, *vectors))

        return types.UniTuple(lanes, step)(types.int64, types.int64), codegen

    load_deinterleaved.__doc__ = (
        f"{step} vectors: the j-th has every {step}-th number from ``start[index + j]`` on."
    )
    return intrinsic(load_deinterleaved)


load_deinterleave2 = _deinterleaving_load(2, _deinterleave2)
load_deinterleave4 = _deinterleaving_load(4, _deinterleave4)


@intrinsic
def transpose(typingctx, start, index, leading_dim, target, target_index):
    """Write the transpose of a block of LANES rows by LANES columns to ``target[target_index]``.

    Its first row begins at ``start[index]``, the others ``leading_dim`` floats apart; the transpose has no gaps.
    """

    def codegen(context, builder, sig, args):
        start, index, leading_dim, target, target_index = args
        starts = [builder.add(index, builder.mul(leading_dim, INT64(r))) for r in range(LANES)]
        # all LANES rows are loaded before a column is stored
        columns = _emit_transpose(builder, [emit_load(builder, start, first) for first in starts])
        for i, column in enumerate(columns):
            place = vector_pointer(builder, target, builder.add(target_index, INT64(LANES * i)))
            builder.store(column, place, align=4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), codegen


@intrinsic
def store_interleave2(typingctx, start, index, a, b):
    """Write a[0], b[0], a[1], b[1], ... from ``start[index]`` on."""

    def codegen(context, builder, sig, args):
        start, index, a, b = args
        # one vector of twice the length, which LLVM splits into two stores
        order = [i % 2 * LANES + i // 2 for i in range(2 * LANES)]
        pair = builder.shuffle_vector(a, b, _indices(order))
        builder.store(pair, vector_pointer(builder, start, index, pair.type), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, lanes, lanes), codegen


@intrinsic
def store_interleave4(typingctx, start, index, a, b, c, d):
    """Write a[0], b[0], c[0], d[0], a[1], ... from ``start[index]`` on."""

    def codegen(context, builder, sig, args):
        start, index, *vectors = args
        for j, vector in enumerate(_interleave4(builder, *vectors)):
            place = vector_pointer(builder, start, builder.add(index, INT64(LANES * j)))
            builder.store(vector, place, align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, lanes, lanes, lanes, lanes), codegen


@intrinsic
def shift_in(typingctx, a, b):
    """Vector of a[1], a[2], ... and, last, b[0]."""

    def codegen(context, builder, sig, args):
        # positions 1 ... LANES of (a, b): a without its first number, then b's first
        return builder.shuffle_vector(*args, _indices(range(1, LANES + 1)))

    return lanes(lanes, lanes), codegen
