"""Where the image enters a Caffe net, how large it is, and what it means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from minicnn.errors import WeightsError
from minicnn.formats.caffe.blobs import Blob
from minicnn.formats.caffe.describe import LayerParameter, read_input_dims
from minicnn.formats.caffe.text import Fields
from minicnn.formats.containers.files import escape
from minicnn.formats.ends import ONLY, Ends
from minicnn.images import Preprocess
from minicnn.layers.base import Shape

__all__ = ["SOURCES", "Entry", "build_preprocess", "find_entry"]

SOURCES = ("Input", "Data", "ImageData", "MemoryData", "HDF5Data", "WindowData", "DummyData", "AnnotatedData")
MAX_SIDE = 1 << 16


class Entry(NamedTuple):
    """The blob that holds the images, its shape for one image, its transformation, and the layer that gives it."""

    name: str
    shape: Shape
    transform: Fields
    source: LayerParameter | None = None


def find_entry(
    net: Fields, layers: list[LayerParameter], weights: dict[str, list[Blob]], read: set[str], ends: Ends = ONLY
) -> Entry:
    """Return the one input among the blobs that are ``read``."""
    no_transform = Fields(net.where)
    candidates: dict[str, tuple[list[int], Fields, LayerParameter | None]]
    candidates = {name: (dims, no_transform, None) for name, dims in read_input_dims(net).items()}
    for source in (layer for layer in layers if layer.kind in SOURCES):
        for name, dims in _source_dims(source, layers, weights, read).items():
            candidates[name] = dims, source.param("transform_param"), source
    # a net may declare blobs that nothing reads once the losses are gone, such as labels
    names = [name for name in candidates if name in read]
    if ends.constants:
        raise net.error("input: a value is given to another input, which is not read of a Caffe net")
    if len(names) != 1:
        raise net.error(f"{len(names)} inputs ({', '.join(map(escape, names))}); expected one image")
    dims, transform, layer = candidates[ends.find_input(names, net.where)]
    if not 2 <= len(dims) <= 4 or any(not 1 <= n <= MAX_SIDE for n in dims):
        raise net.error(f"input {escape(names[0])!r} has dimensions {escape(dims)}; expected N, C, H, W")
    return Entry(names[0], tuple(dims[1:]), transform, layer)


def _source_dims(
    source: LayerParameter, layers: list[LayerParameter], weights: dict[str, list[Blob]], read: set[str]
) -> dict[str, list[int]]:
    """Return the dimensions of what a source gives: all of it where it says them, the first where it has data."""
    shapes = [shape.integers("dim") for shape in source.param("input_param").messages("shape")]
    if shapes and len(shapes) in (1, len(source.tops)):
        # one shape is that of all outputs
        return dict(zip(source.tops, shapes * len(source.tops), strict=False))
    images = [name for name in source.tops[:1] if name in read]
    return {name: _find_data_dims(source, layers, weights) for name in images}


def _find_data_dims(
    source: LayerParameter, layers: list[LayerParameter], weights: dict[str, list[Blob]]
) -> list[int]:
    """Return the dimensions of data: the crop's, with the channels that the first convolution wants."""
    memory, crop = source.param("memory_data_param"), source.param("transform_param").integer("crop_size", 0)
    if "channels" in memory:
        return [1, *(memory.integer(name) for name in ("channels", "height", "width"))]
    for layer in layers:
        kernels = weights.get(layer.name)
        if layer.kind == "Convolution" and kernels and source.tops[0] in layer.bottoms and crop:
            if len(kernels[0].shape) == 4:
                # a kernel of a grouped convolution is channels / group deep
                return [1, kernels[0].shape[1] * layer.param("convolution_param").integer("group", 1), crop, crop]
    raise source.error("the size of its data is not in the description; use the net's deploy.prototxt")


def build_preprocess(entry: Entry, mean: np.ndarray | Iterable[float] | None) -> Preprocess | None:
    """Return how an image becomes the input, None where nobody knows the mean.

    Caffe takes BGR values of 0..255, subtracts the mean, and multiplies by ``scale``.
    """
    numbers, scale = entry.transform.reals("mean_value"), entry.transform.real("scale", 1.0)
    if entry.source is not None:
        entry.source.check_read()
    if len(entry.shape) != 3 or entry.shape[0] not in (1, 3):
        return None
    if mean is None and not numbers:
        if "scale" not in entry.transform or "mean_file" in entry.transform:
            return None
        numbers = [0.0]  # who says how values are scaled, and names no mean, takes none away
    channels, height, width = entry.shape
    # one number is that of all channels
    given = (numbers * channels if len(numbers) == 1 else numbers) if mean is None else mean
    image_mean = np.asarray(given)
    if image_mean.ndim == 3:
        image_mean = _crop_center(image_mean, entry.shape)
    elif image_mean.shape != (channels,):
        raise WeightsError(
            f"mean: expected {channels} numbers or an image {entry.shape}, got shape {image_mean.shape}"
        )
    # (v - mean) scale there, v scale - mean here: the mean must be scaled too
    scaled = np.asarray(image_mean, np.float64) * scale
    return Preprocess(
        size=(height, width),
        channels="BGR" if channels == 3 else "L",
        scale=scale,
        mean=scaled.astype(np.float32) if image_mean.ndim == 3 else tuple(float(v) for v in scaled),
        std=(1.0,) * channels,
    )


def _crop_center(mean: np.ndarray, shape: Shape) -> np.ndarray:
    """Return the middle of a mean image, as Caffe cuts it for a net's crop."""
    rows, columns = ((n - m) // 2 for n, m in zip(mean.shape[1:], shape[1:], strict=True))
    if mean.shape[0] != shape[0] or rows < 0 or columns < 0:
        raise WeightsError(f"mean: an image of shape {mean.shape} for an input of {shape}")
    return mean[:, rows : rows + shape[1], columns : columns + shape[2]]
