"""Valid files in nested containers, for fuzz_formats.py: MATLAB files and Keras's HDF5 files and zip archives."""

import io
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import WeightsError
from minicnn.formats import keras, matconvnet

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.helpers import keras_files
from tests.helpers.keras_files import floats, functional, layer, nested, norm, sequential

__all__ = [
    "archived",
    "keras_files_of",
    "keras_parts",
    "mat_files",
    "mat_variables",
    "packed",
    "read_keras",
    "read_mat",
]


def read_mat(path: Path) -> dict[str, np.ndarray]:
    return matconvnet.read(path).state_dict()


def read_keras(path: Path) -> dict[str, np.ndarray]:
    try:
        return keras.read(path).state_dict()
    except WeightsError as error:
        if "holds weights and no architecture" in str(error):
            return keras.read_state(path)
        raise


# MATLAB


@cache
def mat_files() -> list[bytes]:
    """Return a SimpleNN as it is and packed, and a DagNN."""
    return [_saved(_simple(), False), _saved(_simple(), True), _saved(_dag(), False)]


def mat_variables() -> list[bytes]:
    """Return the files without their headers: for a variable that is changed and then packed."""
    return [mat_files()[0][128:], mat_files()[2][128:]]


def packed(variable: bytes) -> bytes:
    """Return a file of one packed variable."""
    data = zlib.compress(variable)
    return mat_files()[0][:128] + struct.pack("<II", 15, len(data)) + data


def _saved(net: dict[str, Any], compressed: bool) -> bytes:
    import scipy.io

    file = io.BytesIO()
    scipy.io.savemat(file, {"net": net}, do_compression=compressed)
    # the time of writing, which SciPy notes, would be another in each run
    return b"MATLAB 5.0 MAT-file".ljust(124) + file.getvalue()[124:]


def _cells(*items: Any) -> np.ndarray:
    row = np.empty((1, len(items)), object)
    row[0] = list(items)
    return row


def _meta() -> dict[str, Any]:
    normalisation = {"imageSize": np.array([[7.0, 7, 2]]), "averageImage": np.ones((7, 7, 2), np.float32)}
    return {"normalization": normalisation, "classes": {"description": _cells("cat", "dog")}}


def _simple() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    layers = _cells(
        {"type": "conv", "name": "c", "weights": _filters(rng, 3, 3, 2, 4), "pad": np.array([[0, 1, 0, 1.0]])},
        {"type": "lrn", "name": "n", "param": np.array([[5, 2, 1e-4, 0.75]])},
        {"type": "pool", "name": "p", "method": "max", "pool": np.array([[2.0, 2]]), "stride": 2.0},
        {"type": "relu", "name": "r", "leak": 0.1},
        {"type": "conv", "name": "f", "weights": _filters(rng, 3, 3, 4, 2)},
        {"type": "softmaxloss"},
    )
    return {"layers": layers, "meta": _meta()}


def _filters(rng: np.random.Generator, *shape: int) -> np.ndarray:
    weights = np.empty((1, 2), object)
    weights[0, 0], weights[0, 1] = floats(rng, *shape), floats(rng, 1, shape[3])
    return weights


def _dag() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    rows = [
        ("a", "dagnn.Conv", "x", "y1", ["f1"], {"pad": 1.0, "hasBias": False}),
        ("b", "dagnn.BatchNorm", "y1", "y2", ["g", "h", "m"], {"epsilon": 1e-4}),
        ("s", "dagnn.Sum", ("x", "y2"), "y3", [], {"numInputs": 2.0}),
        ("q", "dagnn.Concat", ("y3", "x"), "y4", [], {"dim": 3.0}),
        ("d", "dagnn.Conv", "y4", "y5", ["f2"], {"hasBias": False}),
    ]
    layers = [
        (name, kind, _cells(*(i if isinstance(i, tuple) else (i,))), _cells(o), _cells(*params), block)
        for name, kind, i, o, params, block in rows
    ]
    moments = np.ones((2, 2), np.float32)
    params = {"f1": floats(rng, 3, 3, 2, 2), "f2": floats(rng, 7, 7, 4, 2), "m": moments}
    params |= {"g": moments[:, :1], "h": moments[:, :1]}
    fields = [(key, object) for key in ("name", "type", "inputs", "outputs", "params", "block")]
    both = np.array(list(params.items()), dtype=object)
    named = np.array([tuple(row) for row in both], dtype=[("name", object), ("value", object)])
    return {"layers": np.array(layers, dtype=fields), "params": named, "meta": _meta()}


# Keras


@cache
def keras_files_of() -> list[bytes]:
    """Return an .h5 of Keras 2, weights alone of Keras 3, and .keras archives."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        writers = (keras_files.h5, keras_files.weights_h5, keras_files.keras)
        return [write(path, _model()).read_bytes() for write in writers]


def keras_parts(name: str) -> list[bytes]:
    """Return a member of the archive, to be changed and put back under a right checksum."""
    with zipfile.ZipFile(io.BytesIO(keras_files_of()[2])) as archive:
        return [archive.read(name)]


def archived(name: str) -> Callable[[bytes], bytes]:
    """Return what puts a member back into the archive."""

    def put(part: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(keras_files_of()[2])) as source, zipfile.ZipFile(file, "w") as archive:
            for member in source.namelist():
                archive.writestr(zipfile.ZipInfo(member), part if member == name else source.read(member))
        return file.getvalue()

    return put


def _model() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    inner = functional(
        layer("Conv2D", "c", floats(rng, 3, 3, 2, 2), reads=["input"], padding="same", use_bias=False),
        layer("BatchNormalization", "n", *norm(rng, 2), reads=["c"]),
        layer("Add", "a", reads=["input", "n"]),
        layer("Concatenate", "q", reads=["a", "input"]),
        shape=(5, 5, 2),
    )
    return sequential(
        layer("InputLayer", "i"),
        nested("inner", inner),
        layer("DepthwiseConv2D", "d", floats(rng, 2, 2, 4, 1), floats(rng, 4), activation="relu"),
        layer("AveragePooling2D", "p", pool_size=[2, 2], padding="same"),
        layer("Flatten", "f"),
        layer("Dense", "e", floats(rng, 16, 3), floats(rng, 3), activation="softmax"),
        shape=(5, 5, 2),
    )
