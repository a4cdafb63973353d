"""Layers as training uses them: batch normalisation by the statistics of the batch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from minicnn.layers.base import Backward, Forward, Keep, Kernels, Kind, Layer, NamedLayers, Rng
from minicnn.layers.normalisation import BatchNorm2d
from minicnn.layers.sequence import map_layers
from minicnn.rules import GRADIENT, Rule

__all__ = ["BatchStatisticsNorm2d", "in_training"]


@dataclass(frozen=True, eq=False, repr=False)
class BatchStatisticsNorm2d(BatchNorm2d):
    """Batch normalisation by the batch's own mean and variance; maps (N, C, H, W) keep their shape.

    y = weight (x - mean) / sqrt(var + eps) + bias, mean and var over images and pixels, one of each a channel.

    Among the gradients of its parameters, ``running_mean`` and ``running_var``, which no gradient reaches, are
    what the batch moves the running statistics to: (1 - momentum) running + momentum batch, the variance of M
    values with M - 1 in its denominator, as torch keeps it.

    References
    ----------
    Ioffe, Szegedy 2015, algorithm 1; torch.nn.BatchNorm2d in ``train()`` mode.

    Examples
    --------
    >>> from minicnn.kernels import reference
    >>> norm = BatchStatisticsNorm2d(1, eps=0.0).initialise(np.random.default_rng(0))
    >>> y, saved = norm.forward(np.array([[[[1.0, 5.0]]]]), reference, Keep.INPUTS)
    >>> y.tolist()
    [[[[-1.0, 1.0]]]]
    >>> _, gradients = norm.backward(np.ones((1, 1, 1, 2)), saved, reference, weights=True)
    >>> [round(float(moved), 4) for moved in gradients["running_mean"]]
    [0.3]

    """

    kind = Kind.SMOOTH

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        y, mean, var = kernels.batch_norm2d_training(x, self.weight, self.bias, eps=self.eps)
        return y, (x, mean, var) if keep else None

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        x, mean, var = saved
        gradients = self.parameter_gradients(dy, saved, kernels)
        own = gradients["weight"], gradients["bias"]
        dx = kernels.batch_norm2d_training_input_grad(x, dy, mean, var, self.weight, *own, eps=self.eps)
        return dx, {name: gradients[name] for name in self.parameter_shapes()} if weights else {}

    def parameter_gradients(self, dy: np.ndarray, saved: Any, kernels: Kernels) -> dict[str, np.ndarray]:
        x, mean, var = saved
        values = x.size // x.shape[1]
        return {
            "weight": kernels.batch_norm2d_training_weight_grad(x, dy, mean, var, eps=self.eps),
            "bias": kernels.batch_norm2d_training_bias_grad(dy),
            "running_mean": self._moved(self.running_mean, mean),
            "running_var": self._moved(self.running_var, np.asarray(var) * (values / max(values - 1, 1))),
        }

    def _moved(self, running: np.ndarray, batch: np.ndarray) -> np.ndarray:
        momentum = running.dtype.type(self.momentum)
        return np.asarray((1 - momentum) * running + momentum * np.asarray(batch), running.dtype)


def in_training(layers: NamedLayers) -> NamedLayers:
    """Return the layers as training uses them: dropout waits for a generator, normalisations use the batch.

    Examples
    --------
    >>> [(name, type(layer).__name__) for name, layer in in_training([("norm", BatchNorm2d(3))])]
    [('norm', 'BatchStatisticsNorm2d')]

    """

    def by_batch(_: str, layer: Layer) -> Layer:
        if type(layer) is not BatchNorm2d:
            return layer
        return BatchStatisticsNorm2d(**{f.name: getattr(layer, f.name) for f in fields(layer) if f.init})

    return map_layers(layers, by_batch)
