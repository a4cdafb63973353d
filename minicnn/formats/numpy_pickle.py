"""State dictionaries of NumPy arrays that ``pickle.dump`` or ``numpy.save`` pickled, without running code.

A .pkl file is the pickle of a dictionary; in a .npy file it is the one element of an array of objects. The program
names three things, all listed here: how an array is made, an element type, and text turned into bytes.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import WeightsError
from minicnn.formats.checkpoint import select
from minicnn.formats.containers import files, npz, unpickler
from minicnn.formats.containers.files import escape
from minicnn.formats.containers.pickle_types import KNOWN, are_counts

__all__ = ["read"]

_NPY = b"\x93NUMPY"
_MAX_AXES = 32
_NUMBERS = (*(f"f{n}" for n in (2, 4, 8)), *(f"{kind}{n}" for kind in "iu" for n in (1, 2, 4, 8)), "b1")


def read(path: PathLike, entry: str | None = None) -> dict[str, np.ndarray]:
    """Read the dictionary of arrays in a .pkl or .npy file.

    Nested names are joined by dots, the arrays of a list are numbered, a ``module.`` is removed: of
    {"conv1": [weight, bias]} the names are conv1.0 and conv1.1.  ``entry`` names one of several, see
    ``checkpoint.select``.

    Returns
    -------
    arrays : dict of str to array
        Arrays that can't be written to, mapped from the file; float16/32/64, int8 to int64, uint8 to uint64, bool.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, holds no dictionary of arrays, or anything but arrays and containers
        among them.

    """
    data = files.map_file(path, "a pickle or a .npy file")
    root = _read_npy(data, path) if data[: len(_NPY)] == _NPY else _run(data, path, 0)
    arrays = select(path, root, _Array, entry)
    # one array under several names counts once
    claimed = sum(array.nbytes for array in {id(array): array for array in arrays.values()}.values())
    if claimed > len(data):
        raise WeightsError(f"{path}: its arrays claim {claimed} bytes and the file has {len(data)}")
    return {name: array.numbers(f"{path}: {escape(name)}") for name, array in arrays.items()}


def _run(data: mmap.mmap | bytes, path: PathLike, at: int) -> Any:
    return unpickler.run(data, path, "the file", at, _KNOWN, len(data))[0]


def _read_npy(data: mmap.mmap | bytes, path: PathLike) -> Any:
    """Return the one object in a .npy file."""
    descr, _, shape, at = npz.read_header(memoryview(data), str(path))
    if descr != "|O" or shape != ():
        raise WeightsError(
            f"{path}: holds one array, {escape(descr)} of shape {escape(shape)}; expected a dictionary of arrays, "
            "as numpy.savez or numpy.save({name: array, ...}) writes it"
        )
    value = _run(data, path, at)
    if not isinstance(value, _Array) or not isinstance(value.data, list) or len(value.data) != 1:
        raise WeightsError(
            f"{path}: an array of objects; expected a dictionary of arrays, as numpy.save writes it"
        )
    return value.data[0]


@dataclass(eq=False, slots=True)
class _Type:
    """An element type: NumPy's code without its byte order, "f4"; "O8" for objects."""

    code: str
    order: str = "<"

    def build(self, spend: Callable[[int], None], state: Any) -> None:
        """Take the byte order, the second part of a type's state."""
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise TypeError("a type without a byte order")
        self.order = ">" if state[1] == ">" else "<"


@dataclass(eq=False, slots=True)
class _Array:
    """An array as the program describes it: its numbers are bytes of the file, or objects in a list."""

    shape: tuple[int, ...] = (0,)
    type: _Type | None = None
    fortran: bool = False
    data: Any = b""

    def build(self, spend: Callable[[int], None], state: Any) -> None:
        """Take version, shape, type, whether axes are in Fortran's order, and the numbers."""
        if type(state) is not tuple or len(state) != 5:
            raise TypeError("an array without its five parts")
        _, self.shape, self.type, self.fortran, self.data = state
        if type(self.type) is not _Type or type(self.shape) is not tuple or len(self.shape) > _MAX_AXES:
            raise TypeError("an array without a type or a shape")
        if not are_counts(self.shape):
            raise TypeError("an array with a negative or vast length")

    @property
    def nbytes(self) -> int:
        """Bytes that its numbers take."""
        return len(self.data) if isinstance(self.data, bytes | memoryview | str) else 0

    def numbers(self, where: str) -> np.ndarray:
        """Return it as an array of numbers, mapped from the file unless the bytes are of the other order."""
        if self.type is None or self.type.code not in _NUMBERS:
            raise WeightsError(
                f"{where}: an array of {escape(getattr(self.type, 'code', None))}; expected numbers"
            )
        # Python 2 pickles bytes as text, in which latin-1 has a letter for each byte
        raw = self.data.encode("latin1") if isinstance(self.data, str) else self.data
        wanted = prod(self.shape) * files.itemsize(self.type.code)
        if not isinstance(raw, bytes | memoryview) or len(raw) != wanted:
            raise WeightsError(
                f"{where}: {escape(self.shape)} of {self.type.code} takes {wanted} bytes, not these"
            )
        flat = files.from_buffer(raw, self.type.code, self.type.order)
        # row order in the reversed shape, transposed, which is a view
        if self.fortran:
            return files.reshape(flat, self.shape[::-1], where).T
        return files.reshape(flat, self.shape, where)


def _reconstruct(spend: Callable[[int], None], kind: Any, shape: Any, code: Any) -> _Array:
    if kind is not _ARRAY:
        raise TypeError("an array of another class")
    return _Array()


def _from_buffer(spend: Callable[[int], None], data: Any, kind: Any, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.build(spend, (1, shape, kind, order == "F", data))
    return array


def _type(spend: Callable[[int], None], code: Any, *_: Any) -> _Type:
    if type(code) is not str or len(code) > 8:
        raise TypeError("an element type that is no code")
    return _Type(code)


_ARRAY = object()  # stands for the class numpy.ndarray
_CORES = ("numpy.core", "numpy._core")
_CONTAINERS = ("_codecs", "encode"), ("__builtin__", "bytes"), ("collections", "OrderedDict")
_KNOWN: dict[tuple[str, str], Any] = {
    **{(f"{core}.multiarray", "_reconstruct"): _reconstruct for core in _CORES},
    **{(f"{core}.numeric", "_frombuffer"): _from_buffer for core in _CORES},
    ("numpy", "ndarray"): _ARRAY,
    ("numpy", "dtype"): _type,
    **{name: KNOWN[name] for name in _CONTAINERS},
}
