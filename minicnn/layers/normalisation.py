"""Local response normalisation and batch normalisation."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import numpy as np

from minicnn.errors import ShapeError
from minicnn.layers.base import Keep, Kind, Layer, feature_maps
from minicnn.rules import GRADIENT

__all__ = ["BatchNorm2d", "LocalResponseNorm"]


@dataclass(frozen=True, eq=False, repr=False)
class LocalResponseNorm(Layer):
    """Local response normalisation across channels: x / (k + alpha / size sum x^2)^beta.

    Parameters
    ----------
    size : int, channels in a window
    alpha, beta, k : float; torch's convention, alpha is divided by ``size``

    Notes
    -----
    All three rules use its exact derivative.

    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    kind = Kind.SMOOTH

    def __post_init__(self):
        if not isinstance(self.size, int) or self.size < 1:
            raise ShapeError(f"LocalResponseNorm: size: expected a whole number >= 1, got {self.size!r}")

    def output_shape(self, shape):
        return feature_maps(shape, "LocalResponseNorm")

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        return kernels.local_response_norm(x, **self.config()), x if keep else None

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        return kernels.local_response_norm_input_grad(saved, dy, **self.config()), {}


@dataclass(frozen=True, eq=False, repr=False)
class BatchNorm2d(Layer):
    """Batch normalisation with its running statistics, as inference uses it.

    Parameters
    ----------
    num_features : int, channels
    eps : float added to the variance; 1e-5 in torch, 1e-3 in TensorFlow
    momentum : float; kept for whoever updates the statistics, no use in inference
    affine : bool, whether there are a weight and a bias
    weight, bias, running_mean, running_var : arrays of shape (num_features,), or None for 1, 0, 0, 1

    """

    num_features: int
    eps: float = 1e-5
    momentum: float = 0.1
    affine: bool = True
    _: KW_ONLY
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    running_mean: np.ndarray | None = None
    running_var: np.ndarray | None = None

    kind = Kind.AFFINE

    def parameter_shapes(self):
        names = ("weight", "bias") if self.affine else ()
        return dict.fromkeys((*names, "running_mean", "running_var"), (self.num_features,))

    def config(self):
        return {name: getattr(self, name) for name in ("num_features", "eps", "momentum", "affine")}

    def output_shape(self, shape):
        return feature_maps(shape, "BatchNorm2d", self.num_features)

    def _draw(self, name, shape, rng):
        return np.full(shape, 1.0 if name in ("weight", "running_var") else 0.0, np.float32)

    def scale_and_shift(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (scale, shift), of shape (C,), with y = scale x + shift; rounded once, from float64."""
        state = {name: a.astype(np.float64) for name, a in self.state().items()}
        scale = state.get("weight", 1.0) / np.sqrt(state["running_var"] + self.eps)
        shift = state.get("bias", 0.0) - scale * state["running_mean"]
        return scale.astype(self.running_var.dtype), shift.astype(self.running_var.dtype)

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        y = kernels.batch_norm2d(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return y, x if keep == Keep.INPUTS else None

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        gradients = {}
        if weights and self.affine:
            gradients["weight"] = kernels.batch_norm2d_weight_grad(
                saved, dy, self.running_mean, self.running_var, eps=self.eps
            )
            gradients["bias"] = kernels.batch_norm2d_bias_grad(dy)
        return kernels.batch_norm2d_input_grad(dy, self.running_var, self.weight, eps=self.eps), gradients
