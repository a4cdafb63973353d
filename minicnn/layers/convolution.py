"""Convolution and transposed convolution."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from minicnn.errors import ShapeError
from minicnn.layers.base import Keep, Kind, Layer, feature_maps
from minicnn.rules import GRADIENT
from minicnn.shapes import output_size, pair, same_padding, sides, transposed_size

__all__ = ["Conv2d", "ConvTranspose2d"]


def _set(layer: Layer, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(layer, name, value)


def _check_groups(kind: str, groups: int, *channels: int) -> None:
    if groups < 1 or any(c < 1 or c % groups for c in channels):
        raise ShapeError(f"{kind}: channels {channels} must be positive multiples of groups={groups}")


@dataclass(frozen=True, eq=False, repr=False)
class Conv2d(Layer):
    """2-D convolution: (N, in_channels, H, W) to (N, out_channels, P, Q).

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : int or pair
    padding : int, pair, ((top, bottom), (left, right)), "valid" (none), or "same": output ceil(H / stride), the
        smaller half first, which is torch's rule for stride 1 and TensorFlow's for every stride
    groups : int
    bias : bool, or the array of shape (out_channels,)
    weight : array of shape (out_channels, in_channels / groups, R, S), or None to have it drawn

    Raises
    ------
    ShapeError
        For arguments that fit no convolution.

    """

    in_channels: int
    out_channels: int
    kernel_size: int | tuple
    stride: int | tuple = 1
    padding: int | tuple | str = 0
    dilation: int | tuple = 1
    groups: int = 1
    bias: bool | np.ndarray | None = True
    _: KW_ONLY
    weight: np.ndarray | None = None

    @property
    def kind(self):
        return Kind.LINEAR if self.bias is None else Kind.AFFINE

    def __post_init__(self):
        _check_groups("Conv2d", self.groups, self.in_channels, self.out_channels)
        _set(
            self,
            kernel_size=pair(self.kernel_size, "Conv2d: kernel_size"),
            stride=pair(self.stride, "Conv2d: stride"),
            dilation=pair(self.dilation, "Conv2d: dilation"),
            padding=_padding(self.padding),
            bias=None if self.bias is False else self.bias,
        )

    def parameter_shapes(self):
        shapes = {"weight": (self.out_channels, self.in_channels // self.groups, *self.kernel_size)}
        return shapes if self.bias is None else shapes | {"bias": (self.out_channels,)}

    def geometry(self, size) -> dict[str, Any]:
        """Arguments of the kernels for maps of ``size`` (H, W)."""
        padding = self.padding
        if padding == "same":
            padding = same_padding(size, self.kernel_size, self.stride, self.dilation)
        return {"stride": self.stride, "padding": padding, "dilation": self.dilation, "groups": self.groups}

    def output_shape(self, shape):
        _, *size = feature_maps(shape, "Conv2d", self.in_channels)
        padding = self.geometry(tuple(size))["padding"]
        return self.out_channels, *output_size(tuple(size), self.kernel_size, self.stride, padding, self.dilation)

    def multiply_adds(self, shape):
        _, p, q = self.output_shape(shape)
        return p * q * int(np.prod(self.parameter_shapes()["weight"]))

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        size = x.shape[2:]
        y = kernels.conv2d(x, self.weight, self.bias, **self.geometry(size))
        return y, (size, x if keep == Keep.INPUTS else None)

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        size, _ = saved
        gradients = self.parameter_gradients(dy, saved, kernels) if weights else {}
        return kernels.conv2d_input_grad(dy, self.weight, size, **self.geometry(size)), gradients

    def parameter_gradients(self, dy, saved, kernels):
        size, x = saved
        gradients = {"weight": kernels.conv2d_weight_grad(x, dy, self.kernel_size, **self.geometry(size))}
        return gradients if self.bias is None else gradients | {"bias": kernels.conv2d_bias_grad(dy)}


@dataclass(frozen=True, eq=False, repr=False)
class ConvTranspose2d(Layer):
    """Transposed 2-D convolution: (N, in_channels, H, W) to (N, out_channels, P, Q).

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : int or pair
    padding : int, pair or four sides; taken away from the output
    output_padding : int or pair, less than the stride
    groups : int
    bias : bool, or the array of shape (out_channels,)
    weight : array of shape (in_channels, out_channels / groups, R, S), or None to have it drawn

    """

    in_channels: int
    out_channels: int
    kernel_size: int | tuple
    stride: int | tuple = 1
    padding: int | tuple = 0
    output_padding: int | tuple = 0
    groups: int = 1
    bias: bool | np.ndarray | None = True
    dilation: int | tuple = 1
    _: KW_ONLY
    weight: np.ndarray | None = None

    @property
    def kind(self):
        return Kind.LINEAR if self.bias is None else Kind.AFFINE

    def __post_init__(self):
        _check_groups("ConvTranspose2d", self.groups, self.in_channels, self.out_channels)
        _set(
            self,
            kernel_size=pair(self.kernel_size, "ConvTranspose2d: kernel_size"),
            stride=pair(self.stride, "ConvTranspose2d: stride"),
            dilation=pair(self.dilation, "ConvTranspose2d: dilation"),
            padding=sides(self.padding),
            output_padding=pair(self.output_padding, "ConvTranspose2d: output_padding", least=0),
            bias=None if self.bias is False else self.bias,
        )
        if any(extra >= step for extra, step in zip(self.output_padding, self.stride, strict=True)):
            raise ShapeError(
                f"ConvTranspose2d: output_padding {self.output_padding} must be less than the stride {self.stride}"
            )

    def parameter_shapes(self):
        shapes = {"weight": (self.in_channels, self.out_channels // self.groups, *self.kernel_size)}
        return shapes if self.bias is None else shapes | {"bias": (self.out_channels,)}

    def _geometry(self) -> dict[str, Any]:
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }

    def output_shape(self, shape):
        _, *size = feature_maps(shape, "ConvTranspose2d", self.in_channels)
        return self.out_channels, *transposed_size(
            tuple(size), self.kernel_size, self.stride, self.padding, self.output_padding, self.dilation
        )

    def multiply_adds(self, shape):
        _, h, w = shape
        return h * w * int(np.prod(self.parameter_shapes()["weight"]))

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        y = kernels.conv_transpose2d(
            x, self.weight, self.bias, output_padding=self.output_padding, **self._geometry()
        )
        return y, x if keep == Keep.INPUTS else None

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        gradients = {}
        if weights:
            gradients["weight"] = kernels.conv_transpose2d_weight_grad(
                saved, dy, self.kernel_size, **self._geometry()
            )
            if self.bias is not None:
                gradients["bias"] = kernels.conv2d_bias_grad(dy)
        return kernels.conv_transpose2d_input_grad(dy, self.weight, **self._geometry()), gradients


def _padding(padding):
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ShapeError(f"Conv2d: padding: expected numbers, 'same' or 'valid', got {padding!r}")
        return "same" if padding == "same" else sides(0)
    return sides(padding)
