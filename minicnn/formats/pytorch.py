"""PyTorch's state dictionaries (.pth, .pt), zip and legacy files, without PyTorch and without running code."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import Any

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import WeightsError
from minicnn.formats.checkpoint import select
from minicnn.formats.containers import files, unpickler, zip_archive
from minicnn.formats.containers.files import escape
from minicnn.formats.containers.pickle_types import STORAGES, Storage, Tensor

__all__ = ["read", "write"]

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_KINDS = {
    **{f"float{8 * n}": f"f{n}" for n in (2, 4, 8)},
    **{f"int{8 * n}": f"i{n}" for n in (1, 2, 4, 8)},
    **{f"uint{8 * n}": f"u{n}" for n in (1, 2, 4, 8)},
    "bool": "b1",
    "bfloat16": "bf16",
}
_STORAGE_TYPES = {_KINDS[dtype]: name for name, dtype in STORAGES.items()}
_EXPANDED_LIMIT = 1 << 24  # elements of a tensor that repeats its storage's
_Fetch = Callable[[Storage], "memoryview | bytes"]


def read(path: PathLike, check: bool | None = None, entry: str | None = None) -> dict[str, np.ndarray]:
    """Read the tensors of a file that ``torch.save`` wrote.

    A checkpoint's model lies under ``state_dict``, ``model``, ``net`` and the like; what else it holds, such as
    the optimiser and the settings, is dropped without being built. Nested dictionaries are flattened with dots;
    entries that are no tensors are dropped; a ``module.`` that begins every name is removed. Storages that tensors
    share are shared by the arrays.

    Parameters
    ----------
    path : str or Path
    check : bool, optional
        Whether to compare the storages of a zip file with their checksums, which reads all of them; by default
        files of up to 64 MiB are checked. ``data.pkl`` is always checked. Legacy files, and zip files written
        with checksums turned off, have none.
    entry : str, optional
        Which of several state dictionaries, see ``checkpoint.select``.

    Returns
    -------
    arrays : dict of str to array
        Arrays that can't be written to, in the file's order and shapes; those of a zip file are mapped from it.
        float16/32/64, int8 to int64, uint8 to uint64 and bool keep their type, bfloat16 becomes float32.

    Raises
    ------
    WeightsError
        If the file is missing, damaged, no PyTorch file or a TorchScript one, if a tensor does not lie inside
        its storage, or if its weights have anything among them that ``containers.pickle_types`` does not list.

    """
    data = files.map_file(path, "a PyTorch file")
    if data[:4] == b"PK\x03\x04":
        value, fetch, order = _open_zip(data, path, check)
    elif data[:1] == b"\x80" or data[:4] == f"L{_MAGIC}".encode()[:4]:  # the latter in pickle protocols 0 and 1
        value, fetch, order = _open_legacy(data, path)
    else:
        raise WeightsError(
            f"{path}: expected a PyTorch file (zip, or legacy pickle), found {files.guess_file_type(data)}; "
            "save model.state_dict() with torch.save"
        )
    tensors = select(path, value, Tensor, entry)
    return dict(_build_arrays(path, tensors, fetch, order))


# the two containers: each gives the object, a function from a storage to its bytes, and the byte order


def _open_zip(data: mmap.mmap, path: PathLike, check: bool | None) -> tuple[Any, _Fetch, str]:
    members = zip_archive.list_members(data, path)
    programs = [name for name in members if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(programs) != 1:
        raise WeightsError(
            f"{path}: a zip archive with {len(programs)} members data.pkl; expected one, as torch.save writes it"
        )
    folder = programs[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in members:
        raise WeightsError(f"{path}: a TorchScript program; where it was made, save model.state_dict() instead")
    # a file that was saved without checksums has 0 in place of all of them
    summed = any(member.crc for member in members.values())
    check = summed and (len(data) <= files.CHECK_LIMIT if check is None else check)

    def read_member(name: str, check: bool) -> memoryview:
        if name not in members:
            raise WeightsError(f"{path}: has no member {escape(name)!r}; the file is cut short or damaged")
        return zip_archive.read_member(data, path, members[name], check)

    program = read_member(programs[0], summed)
    if len(program) > unpickler.MAX_BYTES:
        raise WeightsError(
            f"{path}: data.pkl has {len(program)} bytes; expected at most {unpickler.MAX_BYTES}, as tensors lie "
            "outside of it: save tensors alone, without NumPy arrays"
        )
    order = bytes(read_member(f"{folder}byteorder", summed)) if f"{folder}byteorder" in members else b"little"
    if order not in (b"little", b"big"):
        raise WeightsError(f"{path}: member 'byteorder': expected little or big, found {escape(order)}")
    value, _, _ = unpickler.run(bytes(program), path, "data.pkl")
    return value, lambda s: read_member(f"{folder}data/{s.key}", check), "<" if order == b"little" else ">"


def _open_legacy(data: mmap.mmap, path: PathLike) -> tuple[Any, _Fetch, str]:
    # five pickles in a row (magic number, protocol, machine, object, keys), then the storages' bytes
    magic, at, _ = unpickler.run(data, path, "the file")
    if magic != _MAGIC:
        raise WeightsError(f"{path}: a pickle, but not one of torch.save; save model.state_dict() with torch.save")
    protocol, at, _ = unpickler.run(data, path, "the file", at)
    if protocol != _PROTOCOL:
        raise WeightsError(f"{path}: legacy PyTorch file of an unknown protocol; expected {_PROTOCOL}")
    _info, at, _ = unpickler.run(data, path, "the file", at)
    value, at, storages = unpickler.run(data, path, "the file", at)
    keys, at, _ = unpickler.run(data, path, "the file", at)
    spans = _locate_storages(data, path, at, keys, storages)

    def read_storage(storage: Storage) -> memoryview:
        if storage.key not in spans:
            raise WeightsError(f"{path}: storage {escape(storage.key)!r} is named and not in the file")
        return memoryview(data)[slice(*spans[storage.key])]

    return value, read_storage, "<"


def _locate_storages(
    data: mmap.mmap, path: PathLike, at: int, keys: Any, storages: dict[str, Storage]
) -> dict[str, tuple[int, int]]:
    """Return the first and last byte of each storage; before its bytes stands its number of elements."""
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in storages for key in keys):
        raise WeightsError(f"{path}: the list of storages before byte {at} does not agree with the tensors")
    spans = {}
    for key in keys:
        numel, stop = storages[key].numel, at + 8 + _count_bytes(storages[key])
        if stop > len(data) or int.from_bytes(data[at : at + 8], "little", signed=True) != numel:
            raise WeightsError(
                f"{path}: storage {escape(key)!r} at byte {at}: expected {numel} elements up to byte {stop} of "
                f"{len(data)}; the file is cut short or damaged"
            )
        spans[key] = at + 8, stop
        at = stop
    return spans


def _count_bytes(storage: Storage) -> int:
    return storage.numel * files.itemsize(_KINDS[storage.dtype])


# from tensors to arrays


def _build_arrays(
    path: PathLike, tensors: dict[str, Tensor], fetch: _Fetch, order: str
) -> Iterator[tuple[str, np.ndarray]]:
    flat: dict[str, tuple[str, np.ndarray]] = {}
    for name, tensor in tensors.items():
        where = f"{path}: tensor {escape(name)!r}"
        storage, kind = tensor.storage, _KINDS[tensor.dtype]
        # one array for each storage, so that tensors which share it are views of the same array
        if storage.key not in flat:
            flat[storage.key] = kind, _read_storage(where, storage, fetch(storage), kind, order)
        if flat[storage.key][0] != kind:
            raise WeightsError(f"{where}: shares its storage with another type; expected one type a storage")
        # where the storage's view ends, counted in elements of the tensor's type
        end = (storage.first + storage.count) * files.itemsize(_KINDS[storage.dtype]) // files.itemsize(kind)
        yield name, _view_storage(where, tensor, flat[storage.key][1], end)


def _read_storage(where: str, storage: Storage, buffer: Any, kind: str, order: str) -> np.ndarray:
    if len(buffer) != _count_bytes(storage) or len(buffer) % files.itemsize(kind):
        raise WeightsError(
            f"{where}: storage {escape(storage.key)!r} has {len(buffer)} bytes; expected {_count_bytes(storage)}"
        )
    return files.from_buffer(buffer, kind, order)


def _view_storage(where: str, tensor: Tensor, flat: np.ndarray, end: int) -> np.ndarray:
    """Return the array whose element (i, j, ...) is flat[offset + i stride[0] + j stride[1] + ...]."""
    size, step, count = tensor.size, flat.itemsize, prod(tensor.size)
    # along an axis of length 1 no step is taken, and files may have any number there
    stride = [n if length > 1 else 1 for n, length in zip(tensor.stride, size, strict=True)]
    last = tensor.offset + sum((length - 1) * n for length, n in zip(size, stride, strict=True))
    if count and last >= end:
        raise WeightsError(
            f"{where}: element {last} is wanted of a storage that ends at {end}; the file is damaged"
        )
    # a stride of 0 repeats elements, so that a small file could claim any number of them
    if count > max(end, _EXPANDED_LIMIT) or prod(max(length, 1) for length in size) * step >= 1 << 62:
        raise WeightsError(f"{where}: claims {count} elements and {end} are stored; expected no vast repetition")
    if not count:
        return np.broadcast_to(np.empty((), flat.dtype), size)
    return np.ndarray(size, flat.dtype, flat, tensor.offset * step, [n * step for n in stride])


# writing


def write(path: PathLike, state_dict: Mapping[str, np.ndarray]) -> None:
    """Write arrays as a state dictionary that ``torch.load(path, weights_only=True)`` reads.

    The same arrays give the same bytes. The file appears whole or not at all.

    Parameters
    ----------
    path : str or Path
    state_dict : mapping of str to array
        float16/32/64, int8 to int64, uint8 or bool.

    Raises
    ------
    WeightsError
        If an array is of another type, or the file can't be written; nothing is left behind.

    """
    arrays = {name: np.asarray(array) for name, array in state_dict.items()}
    for name, array in arrays.items():
        files.check_name(path, name)
        if array.dtype.str[1:] not in _STORAGE_TYPES:
            raise WeightsError(
                f"{path}: array {escape(name)!r} is of type {array.dtype}; expected a float, a signed integer, "
                "uint8 or bool"
            )
    zip_archive.write(path, _list_members(arrays))


def _list_members(arrays: dict[str, np.ndarray]) -> Iterator[tuple[str, list[bytes | memoryview]]]:
    yield "archive/data.pkl", [_encode_program(arrays)]
    yield "archive/byteorder", [b"little"]
    for index, array in enumerate(arrays.values()):
        yield f"archive/data/{index}", [files.flat_bytes(array)]
    yield "archive/version", [b"3\n"]


def _encode_program(arrays: dict[str, np.ndarray]) -> bytes:
    """Return the pickle of the dictionary, protocol 2, in words of one operation each."""
    # PROTO 2, EMPTY_DICT, MARK
    code = [b"\x80\x02", b"}", b"("]
    for index, (name, array) in enumerate(arrays.items()):
        # of row order, in elements
        strides = [prod(array.shape[axis + 1 :]) for axis in range(array.ndim)]
        storage_type = _STORAGE_TYPES[array.dtype.str[1:]].encode()
        # the name, then GLOBAL _rebuild_tensor_v2 and the MARK of its arguments
        code += [_encode_text(name), b"ctorch._utils\n_rebuild_tensor_v2\n", b"("]
        # the persistent id ("storage", type, key, "cpu", numel)
        code += [
            b"(",
            _encode_text("storage"),
            b"ctorch\n",
            storage_type,
            b"\n",
            _encode_text(str(index)),
            _encode_text("cpu"),
        ]
        # end of the id: TUPLE, BINPERSID puts the storage in its place; then offset, size and stride
        code += [
            _encode_integer(array.size),
            b"t",
            b"Q",
            _encode_integer(0),
            *_encode_tuple(array.shape),
            *_encode_tuple(strides),
        ]
        # requires_grad False, an empty OrderedDict of hooks; TUPLE and REDUCE make the tensor
        code += [b"\x89", b"ccollections\nOrderedDict\n", b")", b"R", b"t", b"R"]
    # SETITEMS, STOP
    return b"".join([*code, b"u", b"."])


def _encode_text(text: str) -> bytes:
    raw = text.encode()
    return b"X" + len(raw).to_bytes(4, "little") + raw


def _encode_integer(value: int) -> bytes:
    return b"\x8a\x08" + value.to_bytes(8, "little", signed=True)


def _encode_tuple(values: Any) -> list[bytes]:
    return [b"(", *map(_encode_integer, values), b"t"]
