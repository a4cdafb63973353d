"""Where a figure comes from: net, image, class and every setting, as one JSON text in the PNG file itself."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import minicnn
from minicnn.errors import ImageError
from minicnn.formats import native
from minicnn.network import Network

__all__ = ["KEY", "metadata", "of_array", "of_image", "of_network", "pixel_digest", "read", "record"]

KEY = "minicnn"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Longest record, in bytes, that is read, and the most chunks that are looked through for it.
LONGEST, MOST_CHUNKS = 1 << 20, 100_000


def of_network(net: Network, source: str | None = None, **more: str | None) -> dict[str, Any]:
    """Which network: its name, where it was loaded from, and what it is made of.

    Parameters
    ----------
    net : Network
    source : str, optional
        What was given to ``minicnn.load``.
    **more : the other arguments of ``minicnn.load``, where there are any

    Returns
    -------
    origin : dict
        name, sha256, device, preprocess, source and the rest of what was given.  The digest is of the layers,
        the input's shape and every parameter (name, type, shape, bytes): 11 ms for 18 MB, so that a command
        computes it once and not once a figure.

    """
    description = native.describe(net)
    digest = hashlib.sha256(_canonical([description["layers"], description["input_shape"]]))
    for name, array in net.state_dict().items():
        digest.update(_canonical([name, array.dtype.str, array.shape]))
        digest.update(np.ascontiguousarray(array))
    preprocess = description["preprocess"]
    if preprocess is not None and preprocess["mean"] == native.MEAN_IMAGE:
        preprocess["mean"] = of_array(net.preprocess.mean)["sha256"]
    given = {key: str(value) for key, value in {"source": source, **more}.items() if value is not None}
    found = {"name": net.name, "sha256": digest.hexdigest(), "device": net.device}
    return {**found, "preprocess": preprocess, **given}


def of_image(image: Any) -> dict[str, Any]:
    """Which image: its file's name and digest; of an image in memory, the digest of its pixels."""
    if isinstance(image, str | Path):
        try:
            return {"name": str(image), "sha256": hashlib.sha256(Path(image).read_bytes()).hexdigest()}
        except OSError as error:
            raise ImageError(f"{image}: can't be read ({error.strerror or error})") from error
    return {"name": None, "sha256": pixel_digest(image)}


def pixel_digest(picture: Any) -> str:
    """Return sha256 of a picture's height, width and RGB bytes."""
    pixels = np.ascontiguousarray(picture, np.uint8)
    return hashlib.sha256(_canonical(pixels.shape) + pixels.tobytes()).hexdigest()


def of_array(array: np.ndarray) -> dict[str, Any]:
    """Digest of a map, and enough of it to say by how much another differs.

    Parameters
    ----------
    array : of shape (H, W) or (C, H, W)

    Returns
    -------
    summary : dict
        sha256 of type, shape and bytes; shape; scale = max |a|; coarse: the means over a grid of at most
        16 x 16 blocks (8 x 8 where there are channels), in ten-thousandths of the scale.

    """
    array = np.ascontiguousarray(array)
    values = np.asarray(array, np.float64)
    scale = float(np.abs(values).max(initial=0))
    means = _block_means(values, 16 if array.ndim == 2 else 8)
    return {
        "shape": list(array.shape),
        "sha256": hashlib.sha256(_canonical([array.dtype.str, array.shape]) + array.tobytes()).hexdigest(),
        "scale": scale,
        "coarse": np.rint(means * (1e4 / scale) if scale else means).astype(int).ravel().tolist(),
    }


def _block_means(values: np.ndarray, side: int) -> np.ndarray:
    for axis in (values.ndim - 2, values.ndim - 1):
        n = values.shape[axis]
        edges = np.linspace(0, n, min(side, n) + 1).astype(int)
        sums = np.add.reduceat(values, edges[:-1], axis=axis)
        values = sums / np.expand_dims(np.diff(edges), tuple(range(1, values.ndim - axis)))
    return values


def record(
    kind: str,
    origin: Mapping[str, Any],
    images: Iterable[Any],
    found: Any,
    settings: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    **result: Any,
) -> dict[str, Any]:
    """Everything that makes a figure, as plain values.

    Parameters
    ----------
    kind : str, such as "saliency"; ``minicnn.recompute`` has a function for each that can be computed again
    origin : as ``of_network`` gives it
    images : what was looked at
    found : object whose ``target`` and ``label`` say which class; without them, None
    settings : every parameter, the seed among them
    arrays : the maps that the figure shows, by name
    **result : what the figure says in words, such as the score

    """
    import PIL

    target = getattr(found, "target", None)
    return {
        "kind": kind,
        "minicnn": minicnn.__version__,
        "versions": {"numpy": np.__version__, "pillow": PIL.__version__},
        "net": dict(origin),
        "images": [of_image(image) for image in images],
        "class": None if target is None else {"target": target, "label": getattr(found, "label", None)},
        "settings": dict(settings),
        "result": result,
        "arrays": {name: of_array(array) for name, array in arrays.items()},
    }


def metadata(record: Mapping[str, Any], figure: Any) -> dict[str, str]:
    """Text chunk to write with a figure: the record, and the digest of the figure's own pixels."""
    return {KEY: json.dumps({**record, "pixels": pixel_digest(figure)}, allow_nan=False)}


def read(path: str | Path) -> dict[str, Any]:
    """Record of a figure; the picture itself is not decoded, nor is anything decompressed.

    Raises
    ------
    ImageError
        If the file can't be read, is no PNG file, holds no record, or one that is damaged or too long.

    """
    try:
        with open(path, "rb") as file:
            text = _text(file, path)
    except OSError as error:
        raise ImageError(f"{path}: can't be read ({error.strerror or error})") from error
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ImageError(f"{path}: its record is damaged; expected JSON in the text chunk {KEY!r}") from None
    if not _whole(found):
        raise ImageError(f"{path}: its record is not one of minicnn's; expected kind, net, images and settings")
    return found


def _text(file: Any, path: str | Path) -> bytes:
    """Text of the chunk ``KEY`` of a PNG file, all others skipped."""
    if file.read(8) != SIGNATURE:
        raise ImageError(f"{path}: is not a PNG file; figures of minicnn are")
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            break
        (length,) = struct.unpack(">I", head[:4])
        start = file.read(len(KEY) + 1) if head[4:] == b"tEXt" and length > len(KEY) else b""
        if start == KEY.encode() + b"\0":
            if length > LONGEST:
                raise ImageError(f"{path}: its record has {length:,} bytes; minicnn writes at most {LONGEST:,}")
            return file.read(length - len(start))
        file.seek(length - len(start) + 4, 1)
    raise ImageError(f"{path}: holds no record of where it comes from; was it written by minicnn, and not edited?")


def _whole(found: Any) -> bool:
    kinds = {"kind": str, "minicnn": str, "net": dict, "images": list, "settings": dict, "arrays": dict}
    return (
        isinstance(found, dict)
        and all(isinstance(found.get(key), kind) for key, kind in kinds.items())
        and all(isinstance(image, dict) for image in found["images"])
        and all(isinstance(array, dict) for array in found["arrays"].values())
    )


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
