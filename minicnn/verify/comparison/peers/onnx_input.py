"""What an ONNX file asks of its inputs: a dtype, a place for the channels, so many images at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.formats.onnx.reader import FRONT
from minicnn.network import Network

__all__ = ["Feed", "describe_feed"]

_DTYPES = {"float": "float32", "double": "float64"}  # ONNX Runtime's words, where they are not NumPy's
# what may come between the input and its transposition


@dataclass(frozen=True)
class Feed:
    """How an image becomes the inputs of a file.

    Attributes
    ----------
    name, dtype : of the input that takes the image
    shape : (C, H, W) that it takes, None where it is open
    channels_last : whether it takes N x H x W x C
    batch : how many images it takes at once; None for any number
    others : what the other inputs get
    remarks : in words, what was not simply handed on

    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    channels_last: bool
    batch: int | None
    others: dict[str, np.ndarray]
    remarks: tuple[str, ...]

    def batches(self, x: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """Yield the inputs for x, of shape (N, C, H, W), one batch after another, the last filled up."""
        x = np.moveaxis(x, 1, -1) if self.channels_last else x
        x, size = x.astype(self.dtype), self.batch or max(len(x), 1)
        for start in range(0, max(len(x), 1), size):
            part = x[start : start + size]
            part = np.concatenate([part, *[part[-1:]] * (size - len(part))]) if len(part) < size else part
            yield {self.name: np.ascontiguousarray(part), **self.others}


def describe_feed(session: Any, model: Any, net: Network, path: Path, given: Mapping[str, float | None]) -> Feed:
    """Return how a file is fed with the images that a network takes.

    ``given`` are constants for inputs by their names, and None for the one that is the image.

    Raises
    ------
    MinicnnError
        If it has several inputs that matter, or takes images of another shape.

    """
    read = {name for node in model.graph.node for name in node.input}
    others, images, remarks = {}, [], []
    for port in session.get_inputs():
        value = given.get(port.name, 0 if port.type == "tensor(bool)" else None)
        chosen = None in given.values() and port.name not in given
        if port.name not in read or chosen or value is not None:
            size = [n if isinstance(n, int) else 1 for n in port.shape]
            others[port.name] = np.full(size, value or 0, _dtype(port, path))
            remarks += [f"its input {port.name} is {value or 0}"] if port.name in read else []
        else:
            images.append(port)
    if len(images) != 1:
        names = ", ".join(port.name for port in images)
        raise MinicnnError(
            f"{path}: {len(images)} inputs that the outputs depend on ({names}); expected one, the image; "
            "set the others with --input NAME=VALUE, or compare with a dump"
        )
    (port,) = images
    batch, *dims = [n if isinstance(n, int) and n > 0 else None for n in port.shape]
    channels_last = _has_channels_last(model, port.name, dims, net, path)
    shape = (dims[-1], *dims[:-1]) if channels_last else tuple(dims)
    return Feed(port.name, _dtype(port, path), shape, channels_last, batch, others, tuple(remarks))


def _dtype(port: Any, path: Path) -> str:
    word = port.type.removeprefix("tensor(").removesuffix(")")
    try:
        return np.dtype(_DTYPES.get(word, word)).name
    except TypeError:
        raise MinicnnError(f"{path}: its input {port.name} takes {port.type}, which NumPy has not") from None


def _has_channels_last(model: Any, name: str, dims: list[int | None], net: Network, path: Path) -> bool:
    """Return whether the input takes N x H x W x C; MinicnnError where it takes no image of the network's."""
    if net.input_shape is None or len(dims) != 3:
        first, last = True, len(dims) == 3
    else:
        channels, *size = net.input_shape
        first, last = _fits(dims, (channels, *size)), _fits(dims, (*size, channels))
    if len(dims) != len(net.input_shape or dims) or not (first or last):
        raise MinicnnError(f"{path}: takes images of {tuple(dims)}, and {net.name} of {net.input_shape}")
    return last and (not first or _transposes(model, name))


def _fits(dims: list[int | None], shape: tuple[int, ...]) -> bool:
    return all(n is None or n == m for n, m in zip(dims, shape, strict=True))


def _transposes(model: Any, name: str) -> bool:
    """Return whether what is done with the input first, but for arithmetic, is to put the channels first."""
    readers = [node for node in model.graph.node if name in node.input]
    if len(readers) == 1 and readers[0].op_type in FRONT:
        return _transposes(model, readers[0].output[0])
    axes = [list(a.ints) for node in readers for a in node.attribute if node.op_type == "Transpose"]
    return len(readers) == 1 and axes == [[0, 3, 1, 2]]
