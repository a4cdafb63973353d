"""Convolution and transposed convolution."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from minicnn.errors import ShapeError
from minicnn.layers.base import (
    Backward,
    Forward,
    IntOrPair,
    Keep,
    Kernels,
    Kind,
    Layer,
    Parameter,
    Rng,
    Shape,
    check_maps,
)
from minicnn.rules import GRADIENT, Rule
from minicnn.shapes import IntPair, Sides, output_size, pair, same_padding, sides, transposed_size

__all__ = ["Conv2d", "ConvTranspose2d"]


def _set(layer: Layer, **values: Any) -> None:
    """Set fields of a frozen dataclass, while it is made."""
    for name, value in values.items():
        object.__setattr__(layer, name, value)


def _check_groups(layer: str, groups: int, *channels: int) -> None:
    if groups < 1 or any(c < 1 or c % groups for c in channels):
        raise ShapeError(f"{layer}: channels {channels} must be positive multiples of groups={groups}")


@dataclass(frozen=True, eq=False, repr=False)
class Conv2d(Layer, capturable=True):
    """2-D convolution: (N, in_channels, H, W) to (N, out_channels, P, Q).

    y[n, k, p, q] = bias[k] + sum_crs x[n, c, p stride - top + r dilation, q stride - left + s dilation]
    weight[k, c, r, s], a cross-correlation as in every framework;
    P = floor((H + top + bottom - dilation (R - 1) - 1) / stride) + 1, the same for Q.

    Parameters
    ----------
    in_channels, out_channels : int
        Multiples of ``groups``.
    kernel_size, stride, dilation : int or pair
    padding : int, pair, ((top, bottom), (left, right)), "valid" or "same"
        "valid" is none.  "same" makes the output ceil(H / stride), the smaller half first, which is torch's rule
        for stride 1 and TensorFlow's for every stride.
    groups : int
        Filters of a group see the channels of that group alone.
    bias : bool, or the array of shape (out_channels,)
    weight : array of shape (out_channels, in_channels / groups, R, S), or None to have it drawn

    Raises
    ------
    ShapeError
        For arguments that fit no convolution.

    See Also
    --------
    torch.nn.Conv2d : the same layer; there padding has no four sides, and "same" no stride
    ConvTranspose2d : its gradient with respect to the input, as a layer

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> edges = np.array([[[[-1.0, 1.0]]]])
    >>> net = Network([layers.Conv2d(1, 1, (1, 2), bias=False, weight=edges)])
    >>> net(np.array([[[[0.0, 0.0, 5.0, 5.0]]]])).tolist()
    [[[[0.0, 5.0, 0.0]]]]
    >>> layers.Conv2d(3, 64, 11, stride=4, padding=2).output_shape((3, 224, 224))
    (64, 55, 55)

    """

    in_channels: int
    out_channels: int
    kernel_size: IntOrPair
    stride: IntOrPair = 1
    padding: IntOrPair = 0
    dilation: IntOrPair = 1
    groups: int = 1
    bias: Parameter = True
    _: KW_ONLY
    weight: Parameter = None

    @property
    def kind(self) -> Kind:
        return Kind.LINEAR if self.bias is None else Kind.AFFINE

    def __post_init__(self) -> None:
        _check_groups("Conv2d", self.groups, self.in_channels, self.out_channels)
        _set(
            self,
            kernel_size=pair(self.kernel_size, "Conv2d: kernel_size"),
            stride=pair(self.stride, "Conv2d: stride"),
            dilation=pair(self.dilation, "Conv2d: dilation"),
            padding=_padding(self.padding),
            bias=None if self.bias is False else self.bias,
        )

    def parameter_shapes(self) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {
            "weight": (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        }
        return shapes if self.bias is None else shapes | {"bias": (self.out_channels,)}

    def geometry(self, size: IntPair) -> dict[str, Any]:
        """Arguments of the kernels for maps of ``size`` (H, W)."""
        padding = self.padding
        # the padding that keeps ceil(H / stride) rows depends on the size of the maps
        if padding == "same":
            padding = same_padding(size, self.kernel_size, self.stride, self.dilation)
        return {"stride": self.stride, "padding": padding, "dilation": self.dilation, "groups": self.groups}

    def output_shape(self, shape: Shape) -> Shape:
        _, h, w = check_maps(shape, "Conv2d", self.in_channels)
        padding = self.geometry((h, w))["padding"]
        return self.out_channels, *output_size((h, w), self.kernel_size, self.stride, padding, self.dilation)

    def multiply_adds(self, shape: Shape) -> int:
        # each of the P Q places takes one product for each entry of the weight (K, C / G, R, S)
        _, p, q = self.output_shape(shape)
        return p * q * int(np.prod(self.parameter_shapes()["weight"]))

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        size = x.shape[2:]
        y = kernels.conv2d(x, self.weight, self.bias, **self.geometry(size))
        # with a stride inputs of several sizes give outputs of one: dx could not tell its own size from dy
        return y, (size, x if keep == Keep.INPUTS else None)

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        size, _ = saved
        gradients = self.parameter_gradients(dy, saved, kernels) if weights else {}
        return kernels.conv2d_input_grad(dy, self.weight, size, **self.geometry(size)), gradients

    def parameter_gradients(self, dy: np.ndarray, saved: Any, kernels: Kernels) -> dict[str, np.ndarray]:
        size, x = saved
        gradients = {"weight": kernels.conv2d_weight_grad(x, dy, self.kernel_size, **self.geometry(size))}
        return gradients if self.bias is None else gradients | {"bias": kernels.conv2d_bias_grad(dy)}


@dataclass(frozen=True, eq=False, repr=False)
class ConvTranspose2d(Layer, capturable=True):
    """Transposed 2-D convolution: (N, in_channels, H, W) to (N, out_channels, P, Q).

    Each value of x adds a multiple of the kernel to the output;
    P = (H - 1) stride - top - bottom + dilation (R - 1) + output_padding + 1, the same for Q.

    Parameters
    ----------
    in_channels, out_channels : int
        Multiples of ``groups``.
    kernel_size, stride, dilation : int or pair
    padding : int, pair or four sides ((top, bottom), (left, right))
        Taken away from the output.
    output_padding : int or pair
        Rows and columns more at the bottom and on the right; less than the stride, or at most what the
        padding takes away there.
    groups : int
    bias : bool, or the array of shape (out_channels,)
    weight : array of shape (in_channels, out_channels / groups, R, S), or None to have it drawn

    Raises
    ------
    ShapeError
        For arguments that fit no convolution.

    See Also
    --------
    torch.nn.ConvTranspose2d : the same layer; there padding has no four sides
    Conv2d : the convolution that it transposes

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> up = layers.ConvTranspose2d(1, 1, 2, stride=2, bias=False, weight=np.ones((1, 1, 2, 2)))
    >>> Network([up])(np.array([[[[1.0, 2.0]]]])).tolist()
    [[[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]]

    Source: Zeiler, Krishnan, Taylor, Fergus 2010, "Deconvolutional networks".

    """

    in_channels: int
    out_channels: int
    kernel_size: IntOrPair
    stride: IntOrPair = 1
    padding: IntOrPair = 0
    output_padding: IntOrPair = 0
    groups: int = 1
    bias: Parameter = True
    dilation: IntOrPair = 1
    _: KW_ONLY
    weight: Parameter = None

    @property
    def kind(self) -> Kind:
        return Kind.LINEAR if self.bias is None else Kind.AFFINE

    def __post_init__(self) -> None:
        _check_groups("ConvTranspose2d", self.groups, self.in_channels, self.out_channels)
        _set(
            self,
            kernel_size=pair(self.kernel_size, "ConvTranspose2d: kernel_size"),
            stride=pair(self.stride, "ConvTranspose2d: stride"),
            dilation=pair(self.dilation, "ConvTranspose2d: dilation"),
            padding=sides(self.padding),
            output_padding=pair(self.output_padding, "ConvTranspose2d: output_padding", minimum=0),
            bias=None if self.bias is False else self.bias,
        )
        if any(extra >= step for extra, step in zip(self._cropping()[1], self.stride, strict=True)):
            raise ShapeError(
                f"ConvTranspose2d: output_padding {self.output_padding} must be less than the stride "
                f"{self.stride}, or at most what the padding takes away at the end"
            )

    def parameter_shapes(self) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {
            # input channels first, as in torch: it is the weight of the convolution whose adjoint this layer is
            "weight": (self.in_channels, self.out_channels // self.groups, *self.kernel_size)
        }
        return shapes if self.bias is None else shapes | {"bias": (self.out_channels,)}

    def _cropping(self) -> tuple[Sides, IntPair]:
        """Return padding and output_padding for the kernels, which take less than a stride of the latter."""
        padding, extras = [], []
        for (before, after), extra, step in zip(self.padding, self.output_padding, self.stride, strict=True):
            # rows that one adds and the other takes away cancel
            both = min(extra, after) if extra >= step else 0
            padding.append((before, after - both))
            extras.append(extra - both)
        return (padding[0], padding[1]), (extras[0], extras[1])

    def _geometry(self) -> dict[str, Any]:
        return {
            "stride": self.stride,
            "padding": self._cropping()[0],
            "dilation": self.dilation,
            "groups": self.groups,
        }

    def output_shape(self, shape: Shape) -> Shape:
        _, h, w = check_maps(shape, "ConvTranspose2d", self.in_channels)
        return self.out_channels, *transposed_size(
            (h, w), self.kernel_size, self.stride, self.padding, self.output_padding, self.dilation
        )

    def multiply_adds(self, shape: Shape) -> int:
        _, h, w = shape
        # each of the H W places of the input is multiplied with every entry of the weight
        return h * w * int(np.prod(self.parameter_shapes()["weight"]))

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        y = kernels.conv_transpose2d(
            x, self.weight, self.bias, output_padding=self._cropping()[1], **self._geometry()
        )
        return y, x if keep == Keep.INPUTS else None

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        gradients = {}
        if weights:
            gradients["weight"] = kernels.conv_transpose2d_weight_grad(
                saved, dy, self.kernel_size, **self._geometry()
            )
            if self.bias is not None:
                # the sum of dy over images and places, as of an ordinary convolution
                gradients["bias"] = kernels.conv2d_bias_grad(dy)
        return kernels.conv_transpose2d_input_grad(dy, self.weight, **self._geometry()), gradients


def _padding(padding: Any) -> Sides | str:
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ShapeError(f"Conv2d: padding: expected numbers, 'same' or 'valid', got {padding!r}")
        return "same" if padding == "same" else sides(0)
    return sides(padding)
