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

from minicnn import formats
from minicnn._utils.types import PathLike
from minicnn.formats.containers import npz
from minicnn.formats.ends import ONLY
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
    takes_layers : bool
        Whether ``read(path, layers)`` takes classes of layers of one's own.
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
    takes_layers: bool = False
    chooses_ends: bool = False
    recognise: Callable[[Sample], bool] | None = None

    def holds_architecture(self, path: Path) -> bool:
        """Return whether a file says which layers its network has, rather than weights alone."""
        return self.read is not None and (self.sniff is None or self.sniff(path))


def _take_entry(path: Path, arrays: dict[str, np.ndarray], entry: str | None = None) -> dict[str, np.ndarray]:
    from minicnn.formats.checkpoint import strip_prefix, take_entry

    return take_entry(path, strip_prefix(arrays), entry)


# in the order in which a file's bytes are compared; readers are imported where they are called, by ``formats``
FORMATS: tuple[Format, ...] = (
    Format(
        "NumPy",
        (".npz",),
        lambda path, own=(): formats.native.read(path, own=own),
        lambda path, entry=None: _take_entry(path, npz.read(path)[0], entry),
        lambda path, net: formats.native.write(path, net),
        sniff=lambda path: formats.native.is_native(path),
        takes_layers=True,
        recognise=Sample.is_numpy_archive,
    ),
    Format(
        "ONNX",
        (".onnx",),
        lambda path, ends=ONLY: formats.onnx.read(path, ends),
        write=lambda path, net: formats.onnx.write(path, net),
        chooses_ends=True,
        recognise=Sample.is_onnx,
    ),
    Format(
        "safetensors",
        (".safetensors",),
        read_arrays=lambda path, entry=None: _take_entry(path, formats.safetensors.read(path), entry),
        write=lambda path, net: formats.safetensors.write(path, net.state_dict()),
        recognise=Sample.is_safetensors,
    ),
    Format(
        "PyTorch",
        (".pth", ".pt"),
        read_arrays=lambda path, entry=None: formats.pytorch.read(path, entry=entry),
        write=lambda path, net: formats.pytorch.write(path, net.state_dict()),
        recognise=Sample.is_pytorch,
    ),
    Format(
        "pickled NumPy",
        (".npy", ".pkl"),
        read_arrays=lambda path, entry=None: formats.numpy_pickle.read(path, entry),
        recognise=Sample.is_pickle,
    ),
    Format("MatConvNet", (".mat",), lambda path: formats.matconvnet.read(path), recognise=Sample.is_matlab),
    Format(
        "Keras",
        (".keras", ".h5", ".hdf5"),
        lambda path, ends=ONLY: formats.keras.read(path, ends=ends),
        lambda path, entry=None: formats.keras.read_state(path, entry),
        sniff=lambda path: formats.keras.holds_network(path),
        chooses_ends=True,
        recognise=Sample.is_keras,
    ),
    Format(
        "Caffe",
        (".prototxt",),
        lambda path, weights, ends=ONLY: formats.caffe.read(path, weights, ends=ends),
        second_file=".caffemodel",
        chooses_ends=True,
        recognise=Sample.is_prototxt,
    ),
    # these are known by what they hold alone, as other files are called .json too
    Format(
        "Keras, description",
        (),
        lambda path, weights, ends=ONLY: formats.keras.read(path, weights, ends),
        second_file=".weights.h5",
        chooses_ends=True,
        recognise=Sample.is_keras_description,
    ),
    Format(
        "index of several files",
        (),
        read_arrays=lambda path, entry=None: _take_entry(path, formats.shards.read(path), entry),
        recognise=Sample.is_index,
    ),
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
