"""The input that both sides of a comparison get: of a shape and a dtype that both can take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicnn._utils.types import Shape
from minicnn.errors import MinicnnError, ShapeError
from minicnn.layers import sequence
from minicnn.network import Network
from minicnn.verify.comparison.peers.base import Peer
from minicnn.verify.rounding import UNITS, round_to

__all__ = ["choose_shape", "fix_shape", "input_for", "random_input"]

SIZES = (32, 64, 128, 224, 256, 299, 384, 512, 28, 16)  # tried where the height and the width are open
CHANNELS = (3, 1, 2, 4, 6, 12, 13)


def input_for(net: Network, peer: Peer, x: np.ndarray | None) -> np.ndarray:
    """Return x, or the input of the peer's dump, or random values, as the peer's dtype can hold them.

    Raises
    ------
    ShapeError
        If x has not the shape that the network takes, or what the peer takes is no image of that shape.
    MinicnnError
        If the peer takes whole numbers and x has others.

    """
    x = peer.x if x is None else x
    if x is None:
        x = random_input(net, peer.input_shape, peer.dtype)
    # a copy: what the caller does with x, or a peer, is not ours
    x = np.array(x, np.float32)
    for array in (x, x if peer.x is None else peer.x):
        if net.input_shape is not None and array.shape[1:] != net.input_shape:
            raise ShapeError(f"{net.name}: takes images of {net.input_shape}, and x has the shape {array.shape}")
    if peer.dtype in UNITS:
        return round_to(x, peer.dtype)
    if np.dtype(peer.dtype).kind in "iu" and not _holds(x, peer.dtype):
        raise MinicnnError(f"{peer.name}: takes whole numbers ({peer.dtype}), and x has others")
    return x


def fix_shape(net: Network, shape: Sequence[int | None] = ()) -> Network:
    """Return a network that takes any size as one of a certain shape, a usual one that fits; else itself."""
    if net.input_shape is not None:
        return net
    shape = choose_shape(net, shape)
    return Network(net.named_layers, shape, net.preprocess, net.labels, device=net.device, name=net.name)


def random_input(
    net: Network, shape: Sequence[int | None] = (), dtype: str = "float32", seed: int = 0
) -> np.ndarray:
    """Return one random image that every layer has some values of both signs of, of shape (1, C, H, W).

    Parameters
    ----------
    net : Network
    shape : (C, H, W)
        What a peer takes, None where that is open.
    dtype : what it takes
    seed : int

    """
    rng, shape = np.random.default_rng(seed), choose_shape(net, shape)
    if dtype not in UNITS and np.dtype(dtype).kind in "iu":
        return rng.integers(0, min(256, np.iinfo(dtype).max + 1), (1, *shape)).astype(np.float32)
    return rng.standard_normal((1, *shape)).astype(np.float32)


def choose_shape(net: Network, shape: Sequence[int | None] = ()) -> Shape:
    """Return the input shape of a network; where it is open, the first usual one that its layers accept.

    Raises
    ------
    ShapeError
        If none fits, or a ``shape`` without open sizes does not.

    Examples
    --------
    >>> from minicnn.layers import Conv2d, MaxPool2d
    >>> choose_shape(Network([Conv2d(4, 8, 3), MaxPool2d(2)]))
    (4, 32, 32)

    """
    if net.input_shape is not None:
        return net.input_shape
    wanted = tuple(shape) or (None, None, None)
    if whole := tuple(n for n in wanted if n is not None):
        if len(whole) == len(wanted):
            sequence.output_shape(net.named_layers, whole)
            return whole
    candidates = [(c, n, n) for n in SIZES for c in CHANNELS]
    for candidate in [*candidates, *((c,) for _, c, _ in candidates)] if len(wanted) == 3 else ():
        chosen = tuple(n if n is not None else m for n, m in zip(wanted, candidate, strict=False))
        try:
            sequence.output_shape(net.named_layers, chosen)
        except ShapeError:
            continue
        return chosen
    raise ShapeError(f"{net.name}: has no input_shape, and none of the usual ones fits; give an input x")


def _holds(x: np.ndarray, dtype: str) -> bool:
    limits = np.iinfo(dtype)
    return bool(
        np.isfinite(x).all() and (x == np.round(x)).all() and limits.min <= x.min() and x.max() <= limits.max
    )
