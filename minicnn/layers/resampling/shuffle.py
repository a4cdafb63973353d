"""Values moved between channels and pixels, or from channel to channel, in a fixed order."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import ShapeError
from minicnn.layers.base import Backward, Forward, Keep, Kernels, Kind, Layer, Rng, Shape, check_maps
from minicnn.rules import GRADIENT, Rule

__all__ = ["ChannelShuffle", "PixelShuffle", "PixelUnshuffle"]


class _Move(NamedTuple):
    """A reshape of each image to ``split``, a permutation, a reshape to ``output``."""

    split: Shape
    axes: tuple[int, ...]
    output: Shape


@dataclass(frozen=True, eq=False, repr=False)
class _Shuffle(Layer):
    """A permutation of an image's values; by every rule backward is the inverse one."""

    kind = Kind.LINEAR

    def move(self, shape: Shape) -> _Move:
        """Return what is done with images of ``shape``; ShapeError if it can't be."""
        raise NotImplementedError

    def output_shape(self, shape: Shape) -> Shape:
        return self.move(shape).output

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        split, axes, output = self.move(x.shape[1:])
        return kernels.reshape(kernels.permute(kernels.reshape(x, split), axes), output), x.shape[1:]

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        split, axes, _ = self.move(saved)
        dy = kernels.reshape(dy, tuple(split[axis] for axis in axes))
        return kernels.reshape(kernels.permute_input_grad(dy, axes), saved), {}


def _check_factor(layer: Any, name: str) -> None:
    value = getattr(layer, name)
    if not isinstance(value, int) or value < 1:
        raise ShapeError(f"{type(layer).__name__}: {name}: expected a whole number >= 1, got {value!r}")


@dataclass(frozen=True, eq=False, repr=False)
class PixelShuffle(_Shuffle, capturable=True):
    """Pixels out of channels: (N, C r^2, H, W) to (N, C, H r, W r).

    Parameters
    ----------
    upscale_factor : int
        r.
    depth_first : bool
        Whether channel (i r + j) C + c is pixel (i, j) of channel c, as in TensorFlow's ``depth_to_space`` (DCR in
        ONNX); else it is channel c r^2 + i r + j, as in torch (CRD).

    Raises
    ------
    ShapeError
        If the channels are no multiple of r^2.

    See Also
    --------
    torch.nn.PixelShuffle : the same layer; there is no ``depth_first``
    PixelUnshuffle : its inverse

    References
    ----------
    Shi et al. 2016, "Real-time single image and video super-resolution using an efficient sub-pixel convolutional
    neural network", equation 4.

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.PixelShuffle(2)])(np.arange(4.0).reshape(1, 4, 1, 1)).tolist()
    [[[[0.0, 1.0], [2.0, 3.0]]]]

    """

    upscale_factor: int
    _: KW_ONLY
    depth_first: bool = False

    def __post_init__(self) -> None:
        _check_factor(self, "upscale_factor")

    def move(self, shape: Shape) -> _Move:
        c, h, w = check_maps(shape, "PixelShuffle")
        r = self.upscale_factor
        if c % (r * r):
            raise ShapeError(f"PixelShuffle: expected a multiple of {r * r} channels, got {c}")
        c //= r * r
        if self.depth_first:
            return _Move((r, r, c, h, w), (2, 3, 0, 4, 1), (c, h * r, w * r))
        return _Move((c, r, r, h, w), (0, 3, 1, 4, 2), (c, h * r, w * r))


@dataclass(frozen=True, eq=False, repr=False)
class PixelUnshuffle(_Shuffle, capturable=True):
    """Channels out of pixels: (N, C, H r, W r) to (N, C r^2, H, W).

    Parameters
    ----------
    downscale_factor : int
        r.
    depth_first : bool
        Whether pixel (i, j) of channel c is channel (i r + j) C + c, as in TensorFlow's and ONNX's
        ``space_to_depth``; else it is channel c r^2 + i r + j, as in torch.

    Raises
    ------
    ShapeError
        If height and width are no multiples of r.

    See Also
    --------
    torch.nn.PixelUnshuffle : the same layer; there is no ``depth_first``
    PixelShuffle : its inverse

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.PixelUnshuffle(2)])(np.arange(4.0).reshape(1, 1, 2, 2)).tolist()
    [[[[0.0]], [[1.0]], [[2.0]], [[3.0]]]]

    """

    downscale_factor: int
    _: KW_ONLY
    depth_first: bool = False

    def __post_init__(self) -> None:
        _check_factor(self, "downscale_factor")

    def move(self, shape: Shape) -> _Move:
        c, h, w = check_maps(shape, "PixelUnshuffle")
        r = self.downscale_factor
        if h % r or w % r:
            raise ShapeError(f"PixelUnshuffle: expected maps whose sizes are multiples of {r}, got {h} x {w}")
        split, output = (c, h // r, r, w // r, r), (c * r * r, h // r, w // r)
        return _Move(split, (2, 4, 0, 1, 3) if self.depth_first else (0, 2, 4, 1, 3), output)


@dataclass(frozen=True, eq=False, repr=False)
class ChannelShuffle(_Shuffle, capturable=True):
    """Channels of several groups by turns: channel j of group i, of C / groups, becomes channel j groups + i.

    Parameters
    ----------
    groups : int

    Raises
    ------
    ShapeError
        If the channels are no multiple of ``groups``.

    See Also
    --------
    torch.nn.ChannelShuffle : the same layer

    References
    ----------
    Zhang et al. 2018, "ShuffleNet: an extremely efficient convolutional neural network for mobile devices".

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.ChannelShuffle(2)])(np.arange(4.0).reshape(1, 4, 1, 1)).ravel().tolist()
    [0.0, 2.0, 1.0, 3.0]

    """

    groups: int

    def __post_init__(self) -> None:
        _check_factor(self, "groups")

    def move(self, shape: Shape) -> _Move:
        c, h, w = check_maps(shape, "ChannelShuffle")
        if c % self.groups:
            raise ShapeError(f"ChannelShuffle: expected a multiple of {self.groups} channels, got {c}")
        return _Move((self.groups, c // self.groups, h, w), (1, 0, 2, 3), (c, h, w))
