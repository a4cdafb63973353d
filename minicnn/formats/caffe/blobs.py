"""The numbers of a .caffemodel, by layer and of whatever age, and mean images."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import WeightsError
from minicnn.formats.containers import protobuf
from minicnn.formats.containers.files import escape

__all__ = ["Blob", "read", "read_mean"]

# fields of NetParameter, LayerParameter, V1LayerParameter, V0LayerParameter, BlobProto
LAYERS, LAYERS_V1 = 100, 2
NAME, BLOBS = 1, 7
NAME_V1, BLOBS_V1, LAYER_V0 = 4, 6, 1
NAME_V0, BLOBS_V0 = 1, 50
SIZES, DATA, SHAPE, DOUBLES = (1, 2, 3, 4), 5, 7, 8
BLOB_FIELDS = frozenset(range(1, 10))  # gradients, 6 and 9, among them
MAX_AXES = 16


class Blob(NamedTuple):
    """One array of a layer: its shape in the file, old ones with four sizes, and its values in a row."""

    shape: tuple[int, ...]
    values: np.ndarray


def read(path: PathLike) -> dict[str, list[Blob]]:
    """Read the blobs of each layer of a .caffemodel, mapped where they lie at an even address.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, or holds no layers.

    """
    net = protobuf.open_message(path, "a .caffemodel")
    arrays: dict[str, list[Blob]] = {}
    for layer in net.messages(LAYERS):
        arrays.setdefault(layer.text(NAME), []).extend(_decode_blob(b) for b in layer.messages(BLOBS))
    for layer in net.messages(LAYERS_V1):
        inner = layer.message(LAYER_V0)
        name = layer.text(NAME_V1) if inner is None else inner.text(NAME_V0)
        blobs = layer.messages(BLOBS_V1) if inner is None else inner.messages(BLOBS_V0)
        arrays.setdefault(name, []).extend(_decode_blob(b) for b in blobs)
    if not any(arrays.values()):
        raise WeightsError(f"{path}: no layers with weights; expected a .caffemodel")
    return arrays


def read_mean(path: PathLike) -> np.ndarray:
    """Read a mean image (.binaryproto).

    Returns
    -------
    mean : array of shape (C, H, W), float32; BGR where the net is

    Raises
    ------
    WeightsError
        If the file is missing, damaged, or holds anything but one image.

    """
    proto = protobuf.open_message(path, "a mean image (.binaryproto)")
    shape, values = _decode_blob(proto)
    shape = shape[1:] if len(shape) == 4 and shape[0] == 1 else shape
    if len(shape) != 3 or not prod(shape):
        raise WeightsError(f"{path}: a blob of shape {escape(shape)}; expected one mean image (1, C, H, W)")
    return values.astype(np.float32, copy=False).reshape(shape)


def _decode_blob(proto: protobuf.Message) -> Blob:
    proto.check_fields(BLOB_FIELDS)
    inner = proto.message(SHAPE)
    if inner is None:
        # old files have num, channels, height and width instead of a shape
        shape = tuple(proto.integer(n) for n in SIZES)
    else:
        shape = tuple(int(n) for n in inner.integers(1))
    if DOUBLES in proto and DATA in proto:
        raise proto.error(0, "a blob with its values twice")
    values = proto.reals(DOUBLES, "f8") if DOUBLES in proto else proto.reals(DATA)
    if len(shape) > MAX_AXES or any(n < 0 for n in shape) or prod(shape) != values.size:
        raise proto.error(0, f"a blob of shape {escape(shape)} with {values.size} values")
    return Blob(shape, values)
