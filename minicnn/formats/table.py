"""The file formats, one row each: what a file is called, how it is read and how it is written.

``load``, ``save``, ``read_state_dict``, ``inspect`` and ``convert`` go by this table, and so do the suffixes in
their messages: a new format is its reader and its row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.formats.ends import ONLY, Ends
from minicnn.formats.sample import Sample, take_sample

if TYPE_CHECKING:
    from minicnn.network import Network

__all__ = [
    "FORMATS",
    "Format",
    "find_format",
    "find_main_format",
    "identify",
    "readable_suffixes",
    "writable_suffixes",
]


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes
    ----------
    name : str
        What people call it.
    suffixes : tuple of str
        How names of such files end, each with its dot.
    read : callable, optional
        ``read(path)``, or ``read(path, weights)`` where there is a second file, returns the network of a file that
        holds its architecture.
    read_arrays : callable, optional
        ``read_arrays(path)`` returns a state dictionary: {name: array}; ``read_arrays(path, entry)`` one of those
        that a checkpoint holds.
    write : callable, optional
        ``write(path, net)``.
    sniff : callable, optional
        For a format that has both readers: ``sniff(path)`` tells whether a file holds its architecture.
    second_file : str, optional
        For a format in two files: the suffix of the one that holds the weights.
    chooses_ends : bool
        Whether ``read(path, ends)``, or ``read(path, weights, ends)``, reads what lies between one of several
        inputs and one of several outputs.
    recognise : callable, optional
        ``recognise(sample)`` tells whether a file's bytes are of this format; without it names alone say so.

    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[..., Network] | None = None
    read_arrays: Callable[..., dict[str, np.ndarray]] | None = None
    write: Callable[[PathLike, Network], None] | None = None
    sniff: Callable[[Path], bool] | None = None
    second_file: str | None = None
    chooses_ends: bool = False
    recognise: Callable[[Sample], bool] | None = None

    def holds_architecture(self, path: Path) -> bool:
        """Return whether a file says which layers its network has, rather than weights alone."""
        return self.read is not None and (self.sniff is None or self.sniff(path))


# readers are imported by the functions that call them: to import this table loads NumPy alone
def _read_native(path: Path) -> Network:
    from minicnn.formats import native

    return native.read(path)


def _read_npz(path: Path, entry: str | None = None) -> dict[str, np.ndarray]:
    from minicnn.formats.checkpoint import strip_prefix, take_entry
    from minicnn.formats.containers import npz

    return take_entry(path, strip_prefix(npz.read(path)[0]), entry)


def _write_native(path: PathLike, net: Network) -> None:
    from minicnn.formats import native

    native.write(path, net)


def _sniff_native(path: Path) -> bool:
    from minicnn.formats import native

    return native.is_native(path)


def _read_onnx(path: Path, ends: Ends = ONLY) -> Network:
    from minicnn.formats import onnx

    return onnx.read(path, ends)


def _write_onnx(path: PathLike, net: Network) -> None:
    from minicnn.formats import onnx

    onnx.write(path, net)


def _read_safetensors(path: Path, entry: str | None = None) -> dict[str, np.ndarray]:
    from minicnn.formats import safetensors
    from minicnn.formats.checkpoint import strip_prefix, take_entry

    return take_entry(path, strip_prefix(safetensors.read(path)), entry)


def _write_safetensors(path: PathLike, net: Network) -> None:
    from minicnn.formats import safetensors

    safetensors.write(path, net.state_dict())


def _read_pytorch(path: Path, entry: str | None = None) -> dict[str, np.ndarray]:
    from minicnn.formats import pytorch

    return pytorch.read(path, entry=entry)


def _write_pytorch(path: PathLike, net: Network) -> None:
    from minicnn.formats import pytorch

    pytorch.write(path, net.state_dict())


def _read_numpy_pickle(path: Path, entry: str | None = None) -> dict[str, np.ndarray]:
    from minicnn.formats import numpy_pickle

    return numpy_pickle.read(path, entry)


def _read_matconvnet(path: Path) -> Network:
    from minicnn.formats import matconvnet

    return matconvnet.read(path)


def _read_keras(path: Path, ends: Ends = ONLY) -> Network:
    from minicnn.formats import keras

    return keras.read(path, ends=ends)


def _read_keras_arrays(path: Path, entry: str | None = None) -> dict[str, np.ndarray]:
    from minicnn.formats import keras
    from minicnn.formats.checkpoint import take_entry

    return take_entry(path, keras.read_state(path), entry)


def _sniff_keras(path: Path) -> bool:
    from minicnn.formats import keras

    return keras.holds_network(path)


def _read_caffe(path: Path, weights: PathLike, ends: Ends = ONLY) -> Network:
    from minicnn.formats import caffe

    return caffe.read(path, weights, ends=ends)


def _read_keras_description(path: Path, weights: PathLike, ends: Ends = ONLY) -> Network:
    from minicnn.formats import keras

    return keras.read(path, weights, ends)


def _read_shards(path: Path, entry: str | None = None) -> dict[str, np.ndarray]:
    from minicnn.formats import shards
    from minicnn.formats.checkpoint import strip_prefix, take_entry

    return take_entry(path, strip_prefix(shards.read(path)), entry)


# in the order in which a file's bytes are compared
FORMATS: tuple[Format, ...] = (
    Format(
        "NumPy",
        (".npz",),
        _read_native,
        _read_npz,
        _write_native,
        sniff=_sniff_native,
        recognise=Sample.is_numpy_archive,
    ),
    Format("ONNX", (".onnx",), _read_onnx, write=_write_onnx, chooses_ends=True, recognise=Sample.is_onnx),
    Format(
        "safetensors",
        (".safetensors",),
        read_arrays=_read_safetensors,
        write=_write_safetensors,
        recognise=Sample.is_safetensors,
    ),
    Format(
        "PyTorch",
        (".pth", ".pt"),
        read_arrays=_read_pytorch,
        write=_write_pytorch,
        recognise=Sample.is_pytorch,
    ),
    Format("pickled NumPy", (".npy", ".pkl"), read_arrays=_read_numpy_pickle, recognise=Sample.is_pickle),
    Format("MatConvNet", (".mat",), _read_matconvnet, recognise=Sample.is_matlab),
    Format(
        "Keras",
        (".keras", ".h5", ".hdf5"),
        _read_keras,
        _read_keras_arrays,
        sniff=_sniff_keras,
        chooses_ends=True,
        recognise=Sample.is_keras,
    ),
    Format(
        "Caffe",
        (".prototxt",),
        _read_caffe,
        second_file=".caffemodel",
        chooses_ends=True,
        recognise=Sample.is_prototxt,
    ),
    # these are known by what they hold alone, as other files are called .json too
    Format(
        "Keras, description",
        (),
        _read_keras_description,
        second_file=".weights.h5",
        chooses_ends=True,
        recognise=Sample.is_keras_description,
    ),
    Format("index of several files", (), read_arrays=_read_shards, recognise=Sample.is_index),
)


def identify(path: PathLike, sample: Sample | None = None) -> Format | None:
    """Return the format of a file by its bytes, by its name where they say nothing; None if it is none of these.

    Examples
    --------
    >>> identify("not_there.onnx").name
    'ONNX'

    """
    sample = sample or take_sample(Path(path))
    rows = [row for row in FORMATS if sample is not None and row.recognise is not None and row.recognise(sample)]
    return rows[0] if rows else find_format(path)


def find_format(path: PathLike) -> Format | None:
    """Return the format that a file's name belongs to, None for a name that ends in no known suffix.

    Examples
    --------
    >>> find_format("net.onnx").name
    'ONNX'
    >>> find_format("net.jpg") is None
    True

    """
    suffix = Path(path).suffix.lower()
    return next((row for row in FORMATS if suffix in row.suffixes), None)


def find_main_format(path: PathLike) -> Format | None:
    """Return the format whose second file this is: Caffe's for a .caffemodel, None for most."""
    suffix = Path(path).suffix.lower()
    return next((row for row in FORMATS if suffix and suffix == row.second_file), None)


def readable_suffixes() -> list[str]:
    """Return the suffixes of files that can be read.

    Examples
    --------
    >>> ".onnx" in readable_suffixes()
    True

    """
    return [suffix for row in FORMATS for suffix in row.suffixes if row.read or row.read_arrays]


def writable_suffixes() -> list[str]:
    """Return the suffixes of files that can be written.

    Examples
    --------
    >>> writable_suffixes()
    ['.npz', '.onnx', '.safetensors', '.pth', '.pt']

    """
    return [suffix for row in FORMATS for suffix in row.suffixes if row.write]
