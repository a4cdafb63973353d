"""Vectors for compiled kernels: one machine register of float32 numbers, with arithmetic.

Numba's compiler vectorises simple loops; convolution needs more, namely sums that stay in registers.  Here is a
type ``lanes`` of ``LANES`` numbers side by side, written like a number: ``a + b``, ``a * b``, ``fma(a, b, c)``.
Memory is addressed as in assembly: ``address(array)``, and an index counted in elements.

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
    "first",
    "fma",
    "lanes",
    "load",
    "load_fours",
    "load_twos",
    "prefetch",
    "splat",
    "store",
    "store_fours",
    "store_twos",
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


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, VECTOR)


def _operator(function, emit):
    """Give the type one arithmetic operator."""
    infer_global(function)(type("Operator", (ConcreteTemplate,), {"cases": [signature(lanes, lanes, lanes)]}))

    @lower_builtin(function, lanes, lanes)
    def lower(context, builder, sig, args):
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


def loaded(builder, start, index, kind=VECTOR):
    value = builder.load(vector_pointer(builder, start, index, kind))
    value.align = 4
    return value


def splatted(builder, value):
    """Vector of one number, LANES times."""
    undefined = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    first = builder.insert_element(undefined, value, INT32(0))
    return builder.shuffle_vector(first, undefined, _indices([0] * LANES))


def fused(builder, a, b, c):
    """Emit a b + c, with one rounding where the processor can."""
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
        return loaded(builder, *args)

    return lanes(types.int64, types.int64), codegen


@intrinsic
def store(typingctx, start, index, value):
    """Write LANES numbers from ``start[index]`` on."""

    def codegen(context, builder, sig, args):
        start, index, value = args
        builder.store(value, vector_pointer(builder, start, index), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, lanes), codegen


@intrinsic
def prefetch(typingctx, start, index):
    """Ask the cache for the line of ``start[index]``, which will be read soon."""

    def codegen(context, builder, sig, args):
        place = builder.inttoptr(builder.add(args[0], builder.mul(args[1], INT64(4))), BYTE.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [BYTE.as_pointer(), INT32, INT32, INT32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(function, [place, INT32(0), INT32(3), INT32(1)])  # to read, to keep, data
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def splat(typingctx, value):
    """Vector of one float32 number, LANES times."""

    def codegen(context, builder, sig, args):
        return splatted(builder, args[0])

    return lanes(types.float32), codegen


@intrinsic
def fma(typingctx, a, b, c):
    """Vector a b + c, with one rounding where the processor can."""

    def codegen(context, builder, sig, args):
        return fused(builder, *args)

    return lanes(lanes, lanes, lanes), codegen


@intrinsic
def first(typingctx, value, count):
    """Vector of the first ``count`` numbers of ``value``, and 0 behind them."""

    def codegen(context, builder, sig, args):
        value, count = args
        ends = splatted(builder, builder.trunc(count, INT32))
        inside = builder.icmp_signed("<", _indices(range(LANES)), ends)
        return builder.select(inside, value, ir.Constant(VECTOR, [0.0] * LANES))

    return lanes(lanes, types.int64), codegen


def _apart(step, text):
    """Make the load of ``step`` vectors, the j-th of which has every ``step``-th number from the j-th on."""

    def load_apart(typingctx, start, index):
        def codegen(context, builder, sig, args):
            together = loaded(builder, *args, ir.VectorType(FLOAT, LANES * step))
            found = [
                builder.shuffle_vector(together, together, _indices(range(j, LANES * step, step)))
                for j in range(step)
            ]
            return context.make_tuple(builder, sig.return_type, found)

        return types.UniTuple(lanes, step)(types.int64, types.int64), codegen

    load_apart.__doc__ = text
    return intrinsic(load_apart)


load_twos = _apart(2, "Two vectors: the numbers 0, 2, 4, ... and 1, 3, 5, ... from ``start[index]`` on.")
load_fours = _apart(4, "Four vectors: the j-th has the numbers j, j + 4, j + 8, ... from ``start[index]`` on.")


@intrinsic
def transpose(typingctx, start, index, apart, to, at):
    """Write a block of LANES rows by LANES columns to ``to[at]``, column by column.

    Its first row begins at ``start[index]``, and the others ``apart`` floats apart.
    """

    def codegen(context, builder, sig, args):
        start, index, apart, to, at = args
        rows = [loaded(builder, start, builder.add(index, builder.mul(apart, INT64(r)))) for r in range(LANES)]
        low = _indices([i // 2 + i % 2 * LANES for i in range(LANES)])
        high = _indices([LANES // 2 + i // 2 + i % 2 * LANES for i in range(LANES)])
        for _ in range(LANES.bit_length() - 1):  # each round deals the rows like two halves of a pack of cards
            pairs = [(rows[i], rows[i + LANES // 2]) for i in range(LANES // 2)]
            rows = [builder.shuffle_vector(a, b, order) for a, b in pairs for order in (low, high)]
        for i, row in enumerate(rows):
            builder.store(row, vector_pointer(builder, to, builder.add(at, INT64(LANES * i))), align=4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), codegen


@intrinsic
def store_twos(typingctx, start, index, a, b):
    """Write a[0], b[0], a[1], b[1], ... from ``start[index]`` on."""

    def codegen(context, builder, sig, args):
        start, index, a, b = args
        order = [i % 2 * LANES + i // 2 for i in range(2 * LANES)]
        together = builder.shuffle_vector(a, b, _indices(order))
        builder.store(together, vector_pointer(builder, start, index, together.type), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, lanes, lanes), codegen


@intrinsic
def store_fours(typingctx, start, index, a, b, c, d):
    """Write a[0], b[0], c[0], d[0], a[1], ... from ``start[index]`` on."""

    def codegen(context, builder, sig, args):
        start, index, a, b, c, d = args
        both = _indices(range(2 * LANES))
        halves = builder.shuffle_vector(a, b, both), builder.shuffle_vector(c, d, both)
        order = [i % 4 * LANES + i // 4 for i in range(4 * LANES)]
        together = builder.shuffle_vector(*halves, _indices(order))
        builder.store(together, vector_pointer(builder, start, index, together.type), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, lanes, lanes, lanes, lanes), codegen
