"""The loop of a kernel over its parts, on the threads of Numba's pool.

    parallel_for(function, count, (x, y))    calls function(part, x, y) for part = 0 ... count - 1

Numba's ``prange`` does the same, but compiles its body three times (measured: 30 s for VGG-16's kernels instead of
17 s).  Here the pool is handed a small function that takes the arguments out of memory and calls ``function``.
Where there is one thread, as in a forked child, the pool is not used.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["parallel_for"]

INT64, BYTES = ir.IntType(64), ir.IntType(8).as_pointer()
# what the pool calls: first parts of arrays, how many parts, bytes from a part of an array to the next, our data
_TASK = ir.FunctionType(ir.VoidType(), [BYTES.as_pointer(), INT64.as_pointer(), INT64.as_pointer(), BYTES])
_POOL = ir.FunctionType(ir.VoidType(), [BYTES] * 5 + [INT64] * 3)


@intrinsic
def parallel_for(typingctx, function, count, arguments):
    """Call ``function(part, *arguments)`` for every part below ``count``; MemoryError where one raised it."""
    # a literal argument has a type of its own; without this each value would compile its own function
    kinds = [types.unliteral(kind) for kind in arguments]
    # compiles the function for these types, so that the overload below exists
    function.get_call_type(typingctx, (types.int64, *kinds), {})
    compiled = function.dispatcher.overloads[(types.int64, *kinds)]

    def codegen(context, builder, sig, args):
        values = cgutils.unpack_tuple(builder, args[2])
        # the tuple's members in the types that the function was compiled for
        values = [context.cast(builder, *each) for each in zip(values, sig.args[2], kinds, strict=True)]
        failed = ir.Constant(ir.IntType(1), 0)
        # on the stack of the caller, who stays in here until all parts are done
        data = cgutils.alloca_once_value(builder, cgutils.pack_struct(builder, [*values, failed]))
        context.active_code_library.add_linking_library(compiled.library)
        task = _task(context, builder.module, compiled.fndesc, data.type, kinds)
        _run(builder, task, args[1], data)
        # an exception can't cross the pool's threads: they leave a flag, and the caller raises
        with builder.if_then(_failed(builder, data)):
            context.call_conv.return_user_exc(builder, MemoryError, ("a kernel ran out of memory",))
        return context.get_dummy_value()

    return types.void(function, types.int64, arguments), codegen


def _failed(builder, data):
    return builder.load(cgutils.gep_inbounds(builder, data, 0, len(data.type.pointee.elements) - 1))


def _task(context, module, fndesc, pointer, kinds):
    """Emit what the pool calls: the function, for some parts, with the arguments that lie at its data."""
    task = ir.Function(module, _TASK, module.get_unique_name("task"))
    # nobody calls it by name: the pool is given its address
    task.linkage = "internal"
    builder = ir.IRBuilder(task.append_basic_block())
    # the pool's form is that of a ufunc loop: addresses of array parts, counts, steps, the caller's data
    firsts, counts, _, data = task.args
    first, count = builder.ptrtoint(builder.load(firsts), INT64), builder.load(counts)
    data = builder.bitcast(data, pointer)
    values = [builder.load(cgutils.gep_inbounds(builder, data, 0, i)) for i in range(len(kinds))]
    callee = context.declare_function(module, fndesc)
    with cgutils.for_range(builder, count) as loop:
        part = builder.add(first, loop.index)
        status, _ = context.call_conv.call_function(
            builder, callee, types.none, (types.int64, *kinds), [part, *values]
        )
        # threads may set it at once: all write the same 1, and none ever clears it
        with builder.if_then(status.is_error, likely=False):
            failed = cgutils.gep_inbounds(builder, data, 0, len(kinds))
            builder.store(ir.Constant(ir.IntType(1), 1), failed)
    builder.ret_void()
    return task


def _run(builder, task, count, data):
    """Emit the call of ``task`` for all parts: by the pool, or here where it has one thread."""
    module = builder.module
    threads = cgutils.get_or_insert_function(module, ir.FunctionType(INT64, []), "get_num_threads")
    pool = cgutils.get_or_insert_function(module, _POOL, "numba_parallel_for")
    # the parts themselves are the one array: its first is at address 0, and the next one byte further
    firsts = cgutils.alloca_once_value(builder, ir.Constant(BYTES, None))
    counts, steps = (cgutils.alloca_once_value(builder, n) for n in (count, INT64(1)))
    data = builder.bitcast(data, BYTES)
    num_threads = builder.call(threads, [])
    with builder.if_else(builder.icmp_signed("==", num_threads, INT64(1))) as (serial, parallel):
        with serial:
            builder.call(task, [firsts, counts, steps, data])
        with parallel:
            arrays = [builder.bitcast(value, BYTES) for value in (task, firsts, counts, steps)]
            builder.call(pool, [*arrays, data, INT64(0), INT64(1), num_threads])
