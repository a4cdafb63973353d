"""Digests of networks, images and arrays: what a result was computed from, in a few bytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import ImageError
from minicnn.formats import native
from minicnn.network import Network

__all__ = ["canonical_json", "digest_array", "digest_image", "digest_network", "digest_pixels"]


def digest_network(net: Network, source: str | None = None, **more: Any) -> dict[str, Any]:
    """Return which network this is: its name, where it was loaded from, and what it is made of.

    Parameters
    ----------
    net : Network
    source : str, optional
        What was given to ``minicnn.load``.
    **more : optional
        The other arguments of ``minicnn.load``.

    Returns
    -------
    origin : dict
        name, sha256, device, preprocess, source and the rest of what was given.  The digest is of the layers,
        the input's shape and every parameter (name, type, shape, bytes): 11 ms for 18 MB, so that a command
        computes it once and not once a figure.

    """
    description = native.describe(net)
    digest = hashlib.sha256(canonical_json([description["layers"], description["input_shape"]]))
    for name, array in net.state_dict().items():
        # name, type and shape too: the same bytes in another shape are another network
        digest.update(canonical_json([name, array.dtype.str, array.shape]))
        digest.update(np.ascontiguousarray(array).data)
    preprocess = description["preprocess"]
    # of a mean image the description says only that there is one
    if net.preprocess is not None and preprocess["mean"] == native.MEAN_IMAGE:
        preprocess["mean"] = digest_array(np.asarray(net.preprocess.mean))["sha256"]
    origin = {"name": net.name, "sha256": digest.hexdigest(), "device": net.device, "preprocess": preprocess}
    given = {key: value for key, value in {"source": source, **more}.items() if value is not None}
    # sizes and inputs as JSON has them, paths as text
    return origin | {key: v if isinstance(v, tuple | dict) else str(v) for key, v in given.items()}


def digest_image(image: Any) -> dict[str, Any]:
    """Return which image this is: its file's name and digest; of an image in memory, the digest of its pixels."""
    if isinstance(image, str | Path):
        try:
            return {"name": str(image), "sha256": _digest_file(image)}
        except OSError as error:
            raise ImageError(f"{image}: can't be read ({error.strerror or error})") from error
    return {"name": None, "sha256": digest_pixels(image)}


def _digest_file(path: str | Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        # in parts, since a photograph of a hundred megabytes is not needed whole
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def digest_pixels(image: Any) -> str:
    """Return sha256 of an image's height, width and RGB bytes."""
    pixels = np.ascontiguousarray(image, np.uint8)
    return hashlib.sha256(canonical_json(pixels.shape) + pixels.tobytes()).hexdigest()


def digest_array(array: np.ndarray) -> dict[str, Any]:
    """Return the digest of a map, and enough of it to say by how much another differs.

    Parameters
    ----------
    array : array of shape (H, W) or (C, H, W)

    Returns
    -------
    summary : dict
        sha256 of type, shape and bytes; shape; scale = max |a|; coarse: the means over a grid of at most
        16 x 16 blocks (8 x 8 where there are channels), in ten-thousandths of the scale.

    Examples
    --------
    >>> summary = digest_array(np.array([[0.0, 0.5], [1.0, -2.0]]))
    >>> summary["shape"], summary["scale"], summary["coarse"]
    ([2, 2], 2.0, [0, 2500, 5000, -10000])

    """
    array = np.ascontiguousarray(array)
    values = np.asarray(array, np.float64)
    scale = float(np.abs(values).max(initial=0))
    means = _block_means(values, 16 if array.ndim == 2 else 8)
    return {
        "shape": list(array.shape),
        "sha256": hashlib.sha256(canonical_json([array.dtype.str, array.shape]) + array.tobytes()).hexdigest(),
        "scale": scale,
        "coarse": np.rint(means * (1e4 / scale) if scale else means).astype(int).ravel().tolist(),
    }


def _block_means(values: np.ndarray, side: int) -> np.ndarray:
    for axis in (values.ndim - 2, values.ndim - 1):
        n = values.shape[axis]
        # blocks whose lengths differ by one at most
        edges = np.linspace(0, n, min(side, n) + 1).astype(int)
        sums = np.add.reduceat(values, edges[:-1], axis=axis)
        # reduceat sums from each edge to the next; the divisor is broadcast over the axes behind
        values = sums / np.expand_dims(np.diff(edges), tuple(range(1, values.ndim - axis)))
    return values


def canonical_json(value: Any) -> bytes:
    """Return a value as JSON that equal values share: keys sorted, no spaces.

    Examples
    --------
    >>> canonical_json({"b": 1, "a": [2, 3]})
    b'{"a":[2,3],"b":1}'

    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=repr).encode()
