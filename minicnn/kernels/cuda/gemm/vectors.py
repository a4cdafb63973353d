"""Four values that lie side by side, read from or written to memory by one instruction each way.

Numba has no such load, so it is given as LLVM code; the simulator reads and writes them one by one.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import config

__all__ = ["load_vec4", "store_vec4"]

FOUR = 4


def _read_one_by_one(array, at):
    return array[at], array[at + 1], array[at + 2], array[at + 3]


def _write_one_by_one(array, at, values):
    for i in range(FOUR):
        array[at + i] = values[i]


def _vector(context, builder, array_type, array, at):
    """Pointer to four values of a flat array from its value number ``at`` on, and their bytes."""
    # address of value ``at``, seen as a pointer to <4 x value>
    value = context.get_value_type(array_type.dtype)
    data = context.make_array(array_type)(context, builder, array).data
    pointer = builder.bitcast(builder.gep(data, [at]), ir.VectorType(value, FOUR).as_pointer())
    return pointer, FOUR * array_type.dtype.bitwidth // 8


def _read(typing_context, array, at):
    def code(context, builder, signature, arguments):
        pointer, size = _vector(context, builder, signature.args[0], *arguments)
        # the address is a multiple of 16 bytes: a whole vector of float32, half of one of float64
        vector = builder.load(pointer, align=min(size, 16))
        lanes = [builder.extract_element(vector, ir.Constant(ir.IntType(32), i)) for i in range(FOUR)]
        return context.make_tuple(builder, signature.return_type, lanes)

    return types.UniTuple(array.dtype, FOUR)(array, types.int64), code


def _write(typing_context, array, at, values):
    def code(context, builder, signature, arguments):
        *place, lanes = arguments
        pointer, size = _vector(context, builder, signature.args[0], *place)
        # an undefined vector, its four lanes put in one by one
        vector = ir.Constant(pointer.type.pointee, ir.Undefined)
        for i in range(FOUR):
            lane = builder.extract_value(lanes, i)
            vector = builder.insert_element(vector, lane, ir.Constant(ir.IntType(32), i))
        builder.store(vector, pointer, align=min(size, 16))
        return context.get_dummy_value()

    return types.none(array, types.int64, types.UniTuple(array.dtype, FOUR)), code


if config.ENABLE_CUDASIM:
    # the simulator runs kernels as plain Python, which has no LLVM code
    load_vec4, store_vec4 = _read_one_by_one, _write_one_by_one
else:
    from numba.cuda.extending import intrinsic

    load_vec4, store_vec4 = intrinsic(_read), intrinsic(_write)
