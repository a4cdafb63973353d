"""Keras files, .h5 of Keras 1 to 3, .weights.h5 and .keras, read without Keras or h5py; no code in them is run.

A .keras file is a zip archive of ``config.json`` and ``model.weights.h5``; an .h5 file of a whole model keeps the
same description in the attribute ``model_config``; files of weights alone have none.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import MinicnnError, WeightsError
from minicnn.formats.checkpoint import take_entry
from minicnn.formats.containers import files, zip_archive
from minicnn.formats.containers.hdf5 import Group
from minicnn.formats.containers.hdf5 import read as read_hdf5
from minicnn.formats.ends import ONLY, Ends
from minicnn.formats.graph import end_in_posterior
from minicnn.formats.keras.builder import build_layers
from minicnn.formats.keras.model import MAX_CONFIG_BYTES, decode_model, parse_config
from minicnn.formats.keras.weights import open_weights, read_state_dict
from minicnn.network import Network

__all__ = ["holds_network", "read", "read_state"]


def holds_network(path: PathLike) -> bool:
    """Return whether the file describes a model, rather than weights alone; WeightsError if it can't be read."""
    return _open(path)[0] is not None


def read(path: PathLike, weights: PathLike | None = None, ends: Ends = ONLY) -> Network:
    """Read a model, its architecture and weights; a Keras file says nothing of preprocessing and class names.

    Parameters
    ----------
    path : str or Path
    weights : str or Path, optional
        The file of the weights where ``path`` is a description alone, as ``model.to_json()`` gives it.
    ends : Ends
        Which input and output are read, by the names of their layers.

    Returns
    -------
    net : Network
        Layer names are the file's; layers of a nested model are called ``model/layer``.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, holds weights alone, or its model has several inputs or outputs of which
        none is chosen, shared layers, code (``Lambda``), or a layer that minicnn does not have.

    """
    description, root, version = _open(path) if weights is None else (_read_text(path), *_open(weights)[1:])
    if description is None:
        raise WeightsError(f"{path}: holds weights and no architecture; name one with architecture=")
    try:
        return _build_network(description, root, version, Path(path).stem, ends)
    except (MinicnnError, OverflowError) as error:
        raise WeightsError(f"{path}: {error}") from None


def read_state(path: PathLike, entry: str | None = None) -> dict[str, np.ndarray]:
    """Read the arrays alone, as a state dictionary: kernels as (K, C, R, S), full layers as (out, in).

    Full layers stay as they are otherwise: on maps that Keras flattens as H, W, C.  ``entry`` chooses those whose
    names begin with it.
    """
    return take_entry(path, read_state_dict(_open(path)[1]), entry)


def _open(path: PathLike) -> tuple[str | None, Group, int | None]:
    """Return the description of the model, None where there is none, the weights, and Keras's main version."""
    data = files.map_file(path, "a Keras file")
    # a .keras file is a zip archive, all others are HDF5
    if data[:4] != b"PK\x03\x04":
        root = read_hdf5(memoryview(data), path)
        description = root.attributes.get("model_config")
        version = _main_version(root.attributes.get("keras_version"))
        return description if isinstance(description, str) else None, root, version
    members = zip_archive.list_members(data, path)
    for name in ("config.json", "model.weights.h5"):
        if name not in members:
            raise WeightsError(f"{path}: expected a Keras file, found a zip archive without {name}")
    config, weights = members["config.json"], members["model.weights.h5"]
    if config.size > MAX_CONFIG_BYTES:
        raise WeightsError(f"{path}: config.json is {config.size} bytes long; no network's is")
    text = bytes(zip_archive.read_member(data, path, config, check=True)).decode("utf-8", "replace")
    # as for arrays of other formats: to check a large file would read all of it
    check = weights.size <= files.CHECK_LIMIT
    root = read_hdf5(memoryview(zip_archive.read_member(data, path, weights, check)), path)
    metadata = members.get("metadata.json")
    if metadata is None or metadata.size > MAX_CONFIG_BYTES:
        return text, root, None
    written = bytes(zip_archive.read_member(data, path, metadata, check=True)).decode("utf-8", "replace")
    # the version alone is wanted: {"keras_version": "3.0.5", ...}
    return text, root, _main_version("".join(re.findall(r'"keras_version": *"([^"]*)"', written)[:1]))


def _read_text(path: PathLike) -> str:
    data = files.map_file(path, "a Keras model as JSON")
    if len(data) > MAX_CONFIG_BYTES:
        raise WeightsError(f"{path}: {len(data)} bytes long; no network's description is")
    return data[:].decode("utf-8", "replace")


def _main_version(version: object) -> int | None:
    """Return 3 of "3.0.5", None of what is no version."""
    main = str(version).partition(".")[0]
    return int(main) if main.isdecimal() and len(main) < 4 else None


def _build_network(description: str, root: Group, version: int | None, name: str, ends: Ends) -> Network:
    model = decode_model(parse_config(description), ends)
    weights = root.members.get("model_weights", root)
    # Theano turned kernels when it convolved, and its files say so
    backends = [group.attributes.get("backend") for group in (root, weights) if isinstance(group, Group)]
    # Keras by itself, before 2.4; later ones, and TensorFlow's own, are on TensorFlow 2
    written = str(root.attributes.get("keras_version"))
    old_backend = bool(re.match(r"(1|2\.[0-3])\b", written)) and not written.endswith("-tf")
    shape, layers = build_layers(model, open_weights(root), "theano" in backends, version, old_backend)
    # a network has an input shape only if no length of it is open
    sizes = tuple(n for n in shape if n is not None)
    layers = end_in_posterior(layers, shape)
    return Network(layers, sizes if len(sizes) == len(shape) else None, name=name)
