"""What the pickle program of a weight file may name: element types, storages, tensors and containers.

Whatever else a program names, and all that it makes with it, becomes an ``Opaque``: nothing is imported, called or
built. The functions below are called with the program's arguments, so they check them all; the first argument is
the function that pays for work, one unit an element, since a program can pass one long list many times.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from minicnn.formats.containers.files import escape

__all__ = [
    "KNOWN",
    "STORAGES",
    "Dtype",
    "Opaque",
    "Storage",
    "Tensor",
    "are_counts",
    "check_key",
    "make_default_dict",
    "make_set",
    "to_key",
]

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


@dataclass(eq=False, slots=True)
class Opaque:
    """What a program made with a name that is not listed: it was never built, and only its name is known.

    ``place`` says where it was named, ``built`` whether as the class of an object rather than a function.
    """

    name: str
    place: str = ""
    built: bool = False

    def __str__(self) -> str:
        """Return what it is and what to do, as a sentence that goes on behind a file's name."""
        for pattern, sentence in _REMEDIES:
            if re.search(pattern, self.name):
                return f"{sentence} ({escape(self.name)}, {self.place})"
        if self.built:
            return (
                f"refused to build an object of class {escape(self.name)}, {self.place}; a whole pickled model "
                "needs its program to run: where it was made, save model.state_dict() instead"
            )
        return (
            f"refused to run {escape(self.name)}, {self.place}; a weight file needs nothing but tensors and plain "
            "containers: if you trust its source, load it there and save model.state_dict()"
        )


_REMEDIES = (  # names that say what a tensor is, and what to do about it
    (
        r"^torch\.(_utils\._rebuild_qtensor|per_\w+|q\w*int\d+\w*|Q\w*Int\d+\w*Storage)$|quantized",
        "holds quantised tensors; save the weights as they were before quantisation, in float32",
    ),
    (r"_rebuild_(sparse|nested)", "holds a sparse or nested tensor; save it with .to_dense()"),
    (
        r"_rebuild_meta_tensor",
        "holds a tensor of the meta device, which has no values; save a model whose weights are loaded",
    ),
    (r"^torch\.float(8|4)_", "holds float8 or float4 tensors; save model.float().state_dict()"),
    (r"^torch\.Complex\w*Storage$|^torch\.complex", "holds complex tensors; save real ones"),
    (
        r"^numpy\.(_?core\.)?multiarray\.\w*(scalar|reconstruct)$",
        "holds NumPy arrays among its tensors; save tensors alone, or arrays alone with numpy.savez",
    ),
    (
        r"^torch\.(storage\._load_from_bytes|_utils\._rebuild_(tensor|tensor_v2|parameter))$",
        "holds tensors written by pickle.dump; where it was made, write them by torch.save",
    ),
)


def check_key(value: Any) -> Any:
    """Return ``value`` if it may be a key: other kinds can be nested, or be many with one hash."""
    if type(value) in (str, bytes, float, bool, type(None)) or (type(value) is int and abs(value) < 1 << 63):
        return value
    raise TypeError(f"a {type(value).__name__} as a key")


def to_key(value: Any) -> Any:
    """Return ``value`` as a key; of other kinds than ``check_key`` takes something that equals itself alone."""
    try:
        return value if type(value) is Opaque else check_key(value)
    except TypeError as error:
        return Opaque(str(error))


def are_counts(values: Any) -> bool:
    """Return whether all ``values`` are integers that can count or index something."""
    return all(type(v) is int and 0 <= v < 1 << 63 for v in values)


def _ordered_dict(spend: _Spend, pairs: Sequence[Any] = ()) -> dict[Any, Any]:
    spend(len(pairs))
    return {to_key(k): v for k, v in pairs}


def make_default_dict(spend: _Spend, *_: Any) -> dict[Any, Any]:
    """Return an empty dictionary; what makes its missing values is not asked."""
    return {}


def _counter(spend: _Spend, tally: dict[Any, Any]) -> dict[Any, Any]:
    return tally


def make_set(spend: _Spend, items: Sequence[Any] = ()) -> set[Any]:
    """Return a set of ``items``; an empty one already takes as much memory as four lists."""
    # memory is charged like operations, so that few bytes can't ask for much of it
    spend(len(items) + 4)
    return set(map(to_key, items))


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


def _from_type(spend: _Spend, make: Any, kind: Any, arguments: tuple[Any, ...], state: Any) -> Tensor:
    # a tensor that somebody hung attributes on; they are dropped
    if kind is not _TENSOR_CLASS or make not in (_tensor_v2, _tensor_v3, _parameter):
        raise TypeError("a tensor of an unknown class")
    tensor: Tensor = make(spend, *arguments)
    return tensor


def _parameter(spend: _Spend, tensor: Tensor, *_: Any) -> Tensor:
    if type(tensor) is not Tensor:
        raise TypeError("a parameter without a tensor")
    return tensor


_TENSOR_CLASS = Dtype("tensor")  # stands for torch.Tensor and torch.nn.Parameter
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
    ("collections", "defaultdict"): make_default_dict,
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
    ("torch._tensor", "_rebuild_from_type_v2"): _from_type,
    ("torch", "Tensor"): _TENSOR_CLASS,
    ("torch.nn.parameter", "Parameter"): _TENSOR_CLASS,
    ("torch.storage", "UntypedStorage"): Dtype("uint8"),
    ("torch", "UntypedStorage"): Dtype("uint8"),
    **{("torch", name): Dtype(dtype) for name, dtype in STORAGES.items()},
    **{("torch", dtype): Dtype(dtype) for dtype in (*STORAGES.values(), "uint16", "uint32", "uint64")},
}
