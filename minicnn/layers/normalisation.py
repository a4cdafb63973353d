"""Local response normalisation and batch normalisation."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from minicnn.errors import ShapeError
from minicnn.layers.base import Backward, Forward, Keep, Kernels, Kind, Layer, Parameter, Rng, Shape, check_maps
from minicnn.rules import GRADIENT, Rule

__all__ = ["BatchNorm2d", "LocalResponseNorm"]


@dataclass(frozen=True, eq=False, repr=False)
class LocalResponseNorm(Layer, capturable=True):
    """Local response normalisation across channels: y_c = x_c / (k + alpha / size sum_j x_j^2)^beta.

    The sum is over the ``size`` channels j around c that exist; maps of shape (N, C, H, W) keep their shape.

    Parameters
    ----------
    size : int
        Channels in a window.
    alpha, beta, k : float
        torch's convention: alpha is divided by ``size``.

    Raises
    ------
    ShapeError
        If ``size`` is no whole number >= 1.

    See Also
    --------
    torch.nn.LocalResponseNorm : the same layer

    Notes
    -----
    All three rules use its exact derivative.

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> net = Network([layers.LocalResponseNorm(1, alpha=1.0, beta=0.5, k=0.0)])
    >>> net(np.array([[[[2.0, -3.0]]]])).tolist()
    [[[[1.0, -1.0]]]]

    Source: Krizhevsky, Sutskever, Hinton 2012, section 3.3.

    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    kind = Kind.SMOOTH

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or self.size < 1:
            raise ShapeError(f"LocalResponseNorm: size: expected a whole number >= 1, got {self.size!r}")

    def output_shape(self, shape: Shape) -> Shape:
        return check_maps(shape, "LocalResponseNorm")

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        return kernels.local_response_norm(x, **self.config()), x if keep else None

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        return kernels.local_response_norm_input_grad(saved, dy, **self.config()), {}


@dataclass(frozen=True, eq=False, repr=False)
class BatchNorm2d(Layer, capturable=True):
    """Batch normalisation with its running statistics, as inference uses it; maps (N, C, H, W) keep their shape.

    y = weight (x - running_mean) / sqrt(running_var + eps) + bias, one of each a channel.

    Parameters
    ----------
    num_features : int
        Channels C.
    eps : float
        Added to the variance; 1e-5 in torch, 1e-3 in TensorFlow.
    momentum : float
        Kept for whoever updates the statistics, no use in inference.
    affine : bool
        Whether there are a weight and a bias.
    weight, bias, running_mean, running_var : arrays of shape (num_features,), optional
        1, 0, 0, 1 unless given.

    See Also
    --------
    torch.nn.BatchNorm2d : the same layer in ``eval()`` mode
    minicnn.Network.fold_batch_norm : merges it into the convolution before it

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> norm = layers.BatchNorm2d(1, eps=0.0, running_mean=np.array([3.0]), running_var=np.array([4.0]))
    >>> Network([norm])(np.array([[[[1.0, 3.0, 9.0]]]])).tolist()
    [[[[-1.0, 0.0, 3.0]]]]

    Source: Ioffe, Szegedy 2015, algorithm 2.

    """

    num_features: int
    eps: float = 1e-5
    momentum: float = 0.1
    affine: bool = True
    _: KW_ONLY
    weight: Parameter = None
    bias: Parameter = None
    running_mean: Parameter = None
    running_var: Parameter = None

    kind = Kind.AFFINE

    def parameter_shapes(self) -> dict[str, Shape]:
        names = ("weight", "bias") if self.affine else ()
        return dict.fromkeys((*names, "running_mean", "running_var"), (self.num_features,))

    def output_shape(self, shape: Shape) -> Shape:
        return check_maps(shape, "BatchNorm2d", self.num_features)

    def _draw(self, name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        return np.full(shape, 1.0 if name in ("weight", "running_var") else 0.0, np.float32)

    def scale_and_shift(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (scale, shift), of shape (C,), with y = scale x + shift; rounded once, from float64."""
        # y = weight (x - mean) / sqrt(var + eps) + bias, multiplied out
        weight, bias = (self.weight, self.bias) if self.affine else (1.0, 0.0)
        scale = weight / np.sqrt(self.running_var.astype(np.float64) + self.eps)
        shift = bias - scale * self.running_mean
        return scale.astype(self.running_var.dtype), shift.astype(self.running_var.dtype)

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        # dx is dy times the scale, for which no input is needed; the weight's gradient needs x
        y = kernels.batch_norm2d(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return y, x if keep == Keep.INPUTS else None

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        gradients = {}
        if weights and self.affine:
            gradients["weight"] = kernels.batch_norm2d_weight_grad(
                saved, dy, self.running_mean, self.running_var, eps=self.eps
            )
            gradients["bias"] = kernels.batch_norm2d_bias_grad(dy)
        return kernels.batch_norm2d_input_grad(dy, self.running_var, self.weight, eps=self.eps), gradients
