"""What the pickle program of a weight file may name: element types, storages, tensors and containers.

A program that names anything else is refused. The functions below are called with the program's arguments, so
they check them all; the first argument is the function that pays for work, one unit an element, since a program
can pass one long list many times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["KNOWN", "STORAGES", "Dtype", "Storage", "Tensor", "are_counts", "check_key", "make_set"]

_MAX_AXES = 32
_Spend = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Dtype:
    """An element type, by PyTorch's name: "float32"."""

    name: str


@dataclass(frozen=True, slots=True)
class Storage:
    """Elements ``first`` to ``first`` + ``count`` of the ``numel`` that the file keeps under ``key``."""

    dtype: str
    key: str
    numel: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """A view of a storage: element (i, j, ...) is at ``offset`` + i stride[0] + j stride[1] + ..."""

    storage: Storage
    dtype: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def check_key(value: Any) -> Any:
    """Return ``value`` if it may be a key: other kinds can be nested, or be many with one hash."""
    if type(value) in (str, bytes, float, bool, type(None)) or (type(value) is int and abs(value) < 1 << 63):
        return value
    raise TypeError(f"a {type(value).__name__} as a key")


def are_counts(values: Any) -> bool:
    """Return whether all ``values`` are integers that can count or index something."""
    return all(type(v) is int and 0 <= v < 1 << 63 for v in values)


def _ordered_dict(spend: _Spend, pairs: Sequence[Any] = ()) -> dict[Any, Any]:
    spend(len(pairs))
    return {check_key(k): v for k, v in pairs}


def _counter(spend: _Spend, tally: dict[Any, Any]) -> dict[Any, Any]:
    return tally


def make_set(spend: _Spend, items: Sequence[Any] = ()) -> set[Any]:
    """Return a set of ``items``; an empty one already takes as much memory as four lists."""
    # memory is charged like operations, so that few bytes can't ask for much of it
    spend(len(items) + 4)
    return set(map(check_key, items))


def _bytes(spend: _Spend) -> bytes:
    return b""


def _encode(spend: _Spend, text: str, encoding: str) -> bytes:
    if type(text) is not str or encoding != "latin1":
        raise TypeError("bytes that are not latin1")
    # long texts are not free: each call makes a copy
    spend(len(text) // 64)
    return text.encode("latin1")


def _size(spend: _Spend, sizes: Sequence[Any]) -> tuple[Any, ...]:
    spend(len(sizes))
    return tuple(sizes)


def _device(spend: _Spend, *arguments: Any) -> tuple[Any, ...]:
    return arguments


def _tensor_v3(
    spend: _Spend,
    storage: Storage,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    requires_grad: bool,
    hooks: Any,
    dtype: Dtype,
    metadata: Any = None,
) -> Tensor:
    if type(storage) is not Storage or type(dtype) is not Dtype:
        raise TypeError("a tensor without a storage or a type")
    if not isinstance(size, tuple | list) or not isinstance(stride, tuple | list):
        raise TypeError("a tensor without a size or strides")
    if not len(size) == len(stride) <= _MAX_AXES or not are_counts([offset, *size, *stride]):
        raise TypeError(
            f"a tensor with {len(size)} sizes and {len(stride)} strides, or with a negative or vast one"
        )
    # the values would not be those of the storage
    if metadata:
        raise TypeError("a tensor kept as the negative or conjugate of its storage")
    # the offset counts from the view, the array is made from the whole storage
    return Tensor(storage, dtype.name, storage.first + offset, tuple(size), tuple(stride))


def _tensor_v2(
    spend: _Spend,
    storage: Storage,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    requires_grad: bool = False,
    hooks: Any = None,
    metadata: Any = None,
) -> Tensor:
    dtype = Dtype(storage.dtype)
    return _tensor_v3(spend, storage, offset, size, stride, requires_grad, hooks, dtype, metadata)


def _parameter(spend: _Spend, tensor: Tensor, *_: Any) -> Tensor:
    if type(tensor) is not Tensor:
        raise TypeError("a parameter without a tensor")
    return tensor


STORAGES = {  # the types that name a storage, and their elements
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("collections", "Counter"): _counter,
    ("__builtin__", "set"): make_set,
    ("builtins", "set"): make_set,
    ("__builtin__", "bytes"): _bytes,
    ("_codecs", "encode"): _encode,
    ("torch", "Size"): _size,
    ("torch", "device"): _device,
    ("torch._utils", "_rebuild_tensor"): _tensor_v2,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor_v2,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor_v3,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch.storage", "UntypedStorage"): Dtype("uint8"),
    ("torch", "UntypedStorage"): Dtype("uint8"),
    **{("torch", name): Dtype(dtype) for name, dtype in STORAGES.items()},
    **{("torch", dtype): Dtype(dtype) for dtype in (*STORAGES.values(), "uint16", "uint32", "uint64")},
}
