"""Normalisation by the statistics of the input itself: layer, group, instance and root mean square."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from math import prod
from typing import Any

import numpy as np

from minicnn.errors import ShapeError
from minicnn.layers.base import Backward, Forward, Keep, Kernels, Kind, Layer, Parameter, Rng, Shape, check_maps
from minicnn.rules import GRADIENT, Rule

__all__ = ["GroupNorm", "InstanceNorm2d", "LayerNorm", "LayerNorm2d", "RMSNorm", "Standardisation"]

View = tuple[int, int, int]


@dataclass(frozen=True, eq=False, repr=False)
class Standardisation(Layer):
    """y = weight (x - mean) / sqrt(var + eps) + bias over some axes of each image; the base class of those below.

    All three backward rules use its exact derivative, in which mean and variance move with the input.
    """

    kind = Kind.SMOOTH
    centred = True

    def statistics_view(self, shape: Shape) -> View:
        """Return (A, D, B), as which one image is seen: statistics are those of D values."""
        raise NotImplementedError

    def affine_view(self, shape: Shape) -> View:
        """Return (A, D, B), as which one image is seen: it has D weights, unless otherwise said one a channel."""
        return 1, shape[0], prod(shape[1:])

    def added(self, dtype: np.dtype) -> float:
        """Return what is added to the variance."""
        eps: float = getattr(self, "eps")  # noqa: B009  # a field of the classes below
        return eps

    def _draw(self, name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        return np.full(shape, 1.0 if name == "weight" else 0.0, np.float32)

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        statistics, affine = self.views(x.shape)
        y, inverse = kernels.standardise(x, statistics, eps=self.added(x.dtype), centred=self.centred)
        # dx needs the standardised values, as the gradient of the weight does
        saved = (y, inverse) if keep else None
        state = self.state()
        return kernels.scale_and_shift(y, affine, state.get("weight"), state.get("bias")) if state else y, saved

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        (y, inverse), gradients, state = saved, {}, self.state()
        statistics, affine = self.views(dy.shape)
        for name in state if weights else ():
            gradient = (
                kernels.scale_and_shift_weight_grad(y, dy, affine)
                if name == "weight"
                else kernels.scale_and_shift_bias_grad(dy, affine)
            )
            gradients[name] = gradient.reshape(self.parameter_shapes()[name])
        if "weight" in state:
            dy = kernels.scale_and_shift_input_grad(dy, affine, state["weight"])
        return kernels.standardise_input_grad(dy, y, inverse, statistics, centred=self.centred), gradients

    def views(self, shape: Shape) -> tuple[View, View]:
        """Return both views of a batch, whose images lie one after the other."""
        images, image = shape[0], tuple(shape[1:])
        (a, *rest), (b, *others) = self.statistics_view(image), self.affine_view(image)
        return (images * a, rest[0], rest[1]), (images * b, others[0], others[1])


@dataclass(frozen=True, eq=False, repr=False)
class _OfLastAxes(Standardisation):
    """One whose statistics, and weights, are those of the last axes."""

    normalized_shape: Any

    def __post_init__(self) -> None:
        given = self.normalized_shape
        sizes = (given,) if isinstance(given, int) else tuple(given)
        if not sizes or not all(isinstance(n, int) and n >= 1 for n in sizes):
            raise ShapeError(
                f"{type(self).__name__}: normalized_shape: expected whole numbers >= 1, got {given!r}"
            )
        object.__setattr__(self, "normalized_shape", sizes)

    def output_shape(self, shape: Shape) -> Shape:
        sizes = self.normalized_shape
        if tuple(shape[len(shape) - len(sizes) :]) != sizes:
            raise ShapeError(
                f"{type(self).__name__}: expected an input that ends in {sizes}, got {tuple(shape)} for each image"
            )
        return shape

    def statistics_view(self, shape: Shape) -> View:
        depth = prod(self.normalized_shape)
        return prod(shape) // depth, depth, 1

    affine_view = statistics_view


@dataclass(frozen=True, eq=False, repr=False)
class LayerNorm(_OfLastAxes, capturable=True):
    """Layer normalisation over the last axes: y = weight (x - mean) / sqrt(var + eps) + bias.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Lengths of the last axes, over which mean and variance are taken.
    eps : float
    elementwise_affine : bool
        Whether there is a weight.
    bias : bool, or array of ``normalized_shape``
    weight : array of ``normalized_shape``, optional

    Raises
    ------
    ShapeError
        If ``normalized_shape`` is no shape.

    See Also
    --------
    torch.nn.LayerNorm : the same layer
    LayerNorm2d : over the channels of maps

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.LayerNorm(2, eps=0.0)])(np.array([[1.0, 5.0]])).tolist()
    [[-1.0, 1.0]]

    Source: Ba, Kiros, Hinton 2016, equations 3 and 4.

    """

    eps: float = 1e-5
    elementwise_affine: bool = True
    bias: Parameter = True
    _: KW_ONLY
    weight: Parameter = None

    def parameter_shapes(self) -> dict[str, Shape]:
        names = ("weight", "bias") if self.bias is not False and self.bias is not None else ("weight",)
        return dict.fromkeys(names, self.normalized_shape) if self.elementwise_affine else {}


@dataclass(frozen=True, eq=False, repr=False)
class LayerNorm2d(Standardisation, capturable=True):
    """Layer normalisation over the channels of each pixel of maps (N, C, H, W).

    Parameters
    ----------
    num_channels : int
    eps : float
    affine : bool
        Whether there are a weight and a bias.
    weight, bias : arrays of shape (num_channels,), optional

    See Also
    --------
    torchvision.models.convnext.LayerNorm2d : the same layer

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.LayerNorm2d(2, eps=0.0)])(np.array([1.0, 5.0]).reshape(1, 2, 1, 1)).ravel().tolist()
    [-1.0, 1.0]

    Source: Liu et al. 2022, "A ConvNet for the 2020s".

    """

    num_channels: int
    eps: float = 1e-6
    affine: bool = True
    _: KW_ONLY
    weight: Parameter = None
    bias: Parameter = None

    def parameter_shapes(self) -> dict[str, Shape]:
        return dict.fromkeys(("weight", "bias"), (self.num_channels,)) if self.affine else {}

    def output_shape(self, shape: Shape) -> Shape:
        return check_maps(shape, "LayerNorm2d", self.num_channels)

    def statistics_view(self, shape: Shape) -> View:
        return self.affine_view(shape)


@dataclass(frozen=True, eq=False, repr=False)
class GroupNorm(Standardisation, capturable=True):
    """Normalisation of each group of channels over its channels and pixels.

    Parameters
    ----------
    num_groups, num_channels : int
        One group is layer normalisation of a whole image, as many as channels instance normalisation.
    eps : float
    affine : bool
        Whether there are a weight and a bias, one of each for a channel.
    weight, bias : arrays of shape (num_channels,), optional

    Raises
    ------
    ShapeError
        If the channels do not divide into the groups.

    See Also
    --------
    torch.nn.GroupNorm : the same layer

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.GroupNorm(1, 2, eps=0.0)])(np.array([[1.0, 5.0]])).tolist()
    [[-1.0, 1.0]]

    Source: Wu, He 2018, equation 7.

    """

    num_groups: int
    num_channels: int
    eps: float = 1e-5
    affine: bool = True
    _: KW_ONLY
    weight: Parameter = None
    bias: Parameter = None

    def __post_init__(self) -> None:
        if self.num_groups < 1 or self.num_channels % self.num_groups:
            raise ShapeError(f"GroupNorm: {self.num_channels} channels are not {self.num_groups} equal groups")

    def parameter_shapes(self) -> dict[str, Shape]:
        return dict.fromkeys(("weight", "bias"), (self.num_channels,)) if self.affine else {}

    def output_shape(self, shape: Shape) -> Shape:
        if not shape or shape[0] != self.num_channels:
            raise ShapeError(f"GroupNorm: expected {self.num_channels} channels, got an input {tuple(shape)}")
        return shape

    def statistics_view(self, shape: Shape) -> View:
        return self.num_groups, prod(shape) // self.num_groups, 1


@dataclass(frozen=True, eq=False, repr=False)
class InstanceNorm2d(Standardisation, capturable=True):
    """Normalisation of each map (N, C, H, W) over its own pixels.

    Parameters
    ----------
    num_features : int
    eps : float
    momentum : float
        Of running statistics, which this layer does not have; with them it is a BatchNorm2d.
    affine : bool
        Whether there are a weight and a bias, one of each for a channel.
    weight, bias : arrays of shape (num_features,), optional

    See Also
    --------
    torch.nn.InstanceNorm2d : the same layer

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.InstanceNorm2d(1, eps=0.0)])(np.array([[[[1.0, 5.0]]]])).tolist()
    [[[[-1.0, 1.0]]]]

    Source: Ulyanov, Vedaldi, Lempitsky 2016.

    """

    num_features: int
    eps: float = 1e-5
    momentum: float = 0.1
    affine: bool = False
    _: KW_ONLY
    weight: Parameter = None
    bias: Parameter = None

    def parameter_shapes(self) -> dict[str, Shape]:
        return dict.fromkeys(("weight", "bias"), (self.num_features,)) if self.affine else {}

    def output_shape(self, shape: Shape) -> Shape:
        return check_maps(shape, "InstanceNorm2d", self.num_features)

    def statistics_view(self, shape: Shape) -> View:
        return shape[0], prod(shape[1:]), 1


@dataclass(frozen=True, eq=False, repr=False)
class RMSNorm(_OfLastAxes, capturable=True):
    """Root mean square normalisation over the last axes: y = weight x / sqrt(mean(x^2) + eps).

    Parameters
    ----------
    normalized_shape : int or tuple of int
    eps : float, optional
        The distance from 1 to the next number of the input's dtype, unless given.
    elementwise_affine : bool
        Whether there is a weight.
    weight : array of ``normalized_shape``, optional

    See Also
    --------
    torch.nn.RMSNorm : the same layer

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.RMSNorm(2)])(np.array([[3.0, 3.0]])).round(4).tolist()
    [[1.0, 1.0]]

    Source: Zhang, Sennrich 2019, equation 4.

    """

    eps: float | None = None
    elementwise_affine: bool = True
    _: KW_ONLY
    weight: Parameter = None

    centred = False

    def parameter_shapes(self) -> dict[str, Shape]:
        return {"weight": self.normalized_shape} if self.elementwise_affine else {}

    def added(self, dtype: np.dtype) -> float:
        return float(np.finfo(dtype).eps) if self.eps is None else self.eps
