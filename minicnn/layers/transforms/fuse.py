"""Layers merged: a convolution, the batch normalisation and the rectifier behind it as one step.

A fast device then writes each map once, rectified, instead of three times.  The function and its gradient are the
same; what is lost are the outputs in between, and with a normalisation the gradients of the parameters, so that
training merges a convolution with a rectifier alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.layers.activation import ReLU, ReLU6
from minicnn.layers.base import Backward, Forward, Keep, Kernels, Kind, Layer, NamedLayers, Rng, Shape
from minicnn.layers.convolution import Conv2d
from minicnn.layers.graph import follows_alone, rename_inputs
from minicnn.layers.normalisation import BatchNorm2d
from minicnn.rules import GRADIENT, Rule

__all__ = ["ConvReLU2d", "fuse"]


@dataclass(frozen=True, eq=False, repr=False)
class ConvReLU2d(Layer, capturable=True):
    """Convolution, batch normalisation and rectifier as one step; without the second it has weight gradients.

    y = min(max(scale conv(x) + shift, 0), clip_max).

    Parameters
    ----------
    convolution : Conv2d
    norm : BatchNorm2d, optional
    clip_max : int, optional
        The rectifier's ceiling: 6 for ReLU6.

    """

    convolution: Conv2d
    norm: BatchNorm2d | None
    clip_max: int | None

    kind = Kind.PIECEWISE_LINEAR

    @property
    def capturable(self) -> bool:
        """Not with a normalisation, whose scale is computed here."""
        return super().capturable and self.norm is None

    def parameter_shapes(self) -> dict[str, Shape]:
        return {} if self.norm else self.convolution.parameter_shapes()

    def state(self) -> dict[str, np.ndarray]:
        return {} if self.norm else self.convolution.state()

    def output_shape(self, shape: Shape) -> Shape:
        return self.convolution.output_shape(shape)

    def multiply_adds(self, shape: Shape) -> int:
        return self.convolution.multiply_adds(shape)

    def scale_and_shift(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return (scale, shift), of shape (K,), that follow the convolution's sums; None for 1 and for 0."""
        bias = self.convolution.bias
        if self.norm is None:
            return None, bias
        scale, shift = self.norm.scale_and_shift()
        # scale (sums + bias) + shift, the bias of the convolution multiplied out
        return scale, shift if bias is None else shift + scale * bias

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        size, (scale, shift) = x.shape[2:], self.scale_and_shift()
        geometry = self.convolution.geometry(size)
        arguments = geometry | {"clip_max": self.clip_max, "keep_mask": keep != Keep.NOTHING}
        y, mask = kernels.conv2d_relu(x, self.convolution.weight, scale, shift, **arguments)
        return y, (size, mask, scale, x if keep == Keep.INPUTS else None) if keep else None

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        size, mask, scale, x = saved
        if weights:
            # training merges no normalisation: dy goes back through the rectifier, then the convolution
            dy = kernels.relu_input_grad(dy, mask, rule)
            return self.convolution.backward(dy, (size, x), kernels, weights=True)
        weight, geometry = self.convolution.weight, self.convolution.geometry(size)
        return kernels.conv2d_relu_input_grad(dy, mask, rule, weight, scale, size, **geometry), {}

    def parameter_gradients(self, dy: np.ndarray, saved: Any, kernels: Kernels) -> dict[str, np.ndarray]:
        size, mask, _, x = saved
        return self.convolution.parameter_gradients(
            kernels.relu_input_grad(dy, mask, GRADIENT), (size, x), kernels
        )


def fuse(layers: NamedLayers, training: bool = False) -> NamedLayers:
    """Return a list of fewer layers that computes the same, blocks included.

    A merged step has its last layer's name.  In ``training``, where it has no normalisation, it has its
    convolution's, by which parameters are called.

    Examples
    --------
    >>> [name for name, _ in fuse([("conv1", Conv2d(3, 8, 3)), ("relu1", ReLU())])]
    ['relu1']

    """
    merged: NamedLayers = []
    alone, renamed = follows_alone(layers), {}
    for i, (name, layer) in enumerate(layers):
        steps = _count_mergeable(merged) if type(layer) in (ReLU, ReLU6) else 0  # a subclass may do more
        # nothing else may read what a merged step no longer gives
        if all(alone[i - j] for j in range(steps)) and (steps == 1 or (steps == 2 and not training)):
            # the steps to merge are taken off the end, and the merged one stands in their place
            taken: list[tuple[str, Any]] = merged[-steps:]
            first, convolution = taken[0]
            norm, clip_max = taken[1][1] if steps == 2 else None, 6 if isinstance(layer, ReLU6) else None
            step = ConvReLU2d(convolution, norm, clip_max).reading(*convolution.inputs)
            merged[-steps:] = [(first if training else name, step)]
            renamed[name] = merged[-1][0]
        else:
            # a block is merged inside, any other layer stays a step by itself
            merged.append((name, layer.map_branches(lambda branch: fuse(branch, training))))
    return rename_inputs(merged, renamed)


def _count_mergeable(layers: NamedLayers) -> int:
    """Count the steps at the end that a rectifier merges with: a convolution, perhaps its normalisation."""
    types = [type(layer) for _, layer in layers[-2:]]
    if types == [Conv2d, BatchNorm2d]:
        return 2
    return int(types[-1:] == [Conv2d])
