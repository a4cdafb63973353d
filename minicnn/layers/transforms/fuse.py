"""Layers merged: a convolution, the batch normalisation and the rectifier behind it as one step.

A fast device then writes each map once, rectified, instead of three times.  The function and its gradient are the
same; what is lost are the outputs in between, and with a normalisation the gradients of the parameters, so that
training merges a convolution with a rectifier alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from minicnn.layers.activation import ReLU, ReLU6
from minicnn.layers.base import Keep, Kind, Layer
from minicnn.layers.convolution import Conv2d
from minicnn.layers.normalisation import BatchNorm2d
from minicnn.layers.sequence import NamedLayers
from minicnn.rules import GRADIENT

__all__ = ["ConvReLU2d", "fuse", "is_capturable"]


@dataclass(frozen=True, eq=False, repr=False)
class ConvReLU2d(Layer):
    """Convolution, batch normalisation and rectifier as one step; without the second it has weight gradients."""

    convolution: Conv2d
    norm: BatchNorm2d | None
    clip_max: int | None  # the rectifier's ceiling: 6, or None

    kind = Kind.PIECEWISE_LINEAR

    def parameter_shapes(self):
        return {} if self.norm else self.convolution.parameter_shapes()

    def state(self):
        return {} if self.norm else self.convolution.state()

    def output_shape(self, shape):
        return self.convolution.output_shape(shape)

    def multiply_adds(self, shape):
        return self.convolution.multiply_adds(shape)

    def scale_and_shift(self):
        bias = self.convolution.bias
        if self.norm is None:
            return None, bias
        scale, shift = self.norm.scale_and_shift()
        return scale, shift if bias is None else shift + scale * bias

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        size, (scale, shift) = x.shape[2:], self.scale_and_shift()
        geometry = self.convolution.geometry(size)
        arguments = geometry | {"clip_max": self.clip_max, "keep_mask": keep != Keep.NOTHING}
        y, mask = kernels.conv2d_relu(x, self.convolution.weight, scale, shift, **arguments)
        return y, (size, mask, scale, x if keep == Keep.INPUTS else None) if keep else None

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        size, mask, scale, x = saved
        if weights:
            dy = kernels.relu_input_grad(dy, mask, rule)
            return self.convolution.backward(dy, (size, x), kernels, weights=True)
        weight, geometry = self.convolution.weight, self.convolution.geometry(size)
        return kernels.conv2d_relu_input_grad(dy, mask, rule, weight, scale, size, **geometry), {}

    def parameter_gradients(self, dy, saved, kernels):
        size, mask, _, x = saved
        return self.convolution.parameter_gradients(
            kernels.relu_input_grad(dy, mask, GRADIENT), (size, x), kernels
        )


def fuse(chain: NamedLayers, training: bool = False) -> NamedLayers:
    """Return a chain of fewer steps that computes the same, blocks included.

    A merged step has its last layer's name.  In ``training``, where it has no normalisation, it has its
    convolution's, by which parameters are called.
    """
    merged: NamedLayers = []
    for name, layer in chain:
        steps = _before_rectifier(merged) if type(layer) in (ReLU, ReLU6) else 0  # a subclass may do more
        if steps == 1 or (steps == 2 and not training):
            first, convolution = merged[-steps]
            norm, clip_max = merged[-1][1] if steps == 2 else None, 6 if isinstance(layer, ReLU6) else None
            merged[-steps:] = [(first if training else name, ConvReLU2d(convolution, norm, clip_max))]
        else:
            merged.append((name, layer.map_branches(lambda branch: fuse(branch, training))))
    return merged


def is_capturable(chain: NamedLayers) -> bool:
    """Whether steps leave all computing to the functions of ``kernels``, so that a device may repeat their calls.

    Our own layers do, but for a merged normalisation, which computes its scale; layers from elsewhere may not.
    """
    return all(_only_calls(layer) and all(map(is_capturable, layer.branches())) for _, layer in chain)


def _only_calls(layer: Layer) -> bool:
    ours = type(layer).__module__.startswith("minicnn.layers.")
    return ours and not (isinstance(layer, ConvReLU2d) and layer.norm is not None)


def _before_rectifier(chain: NamedLayers) -> int:
    """Count the steps at the end that a rectifier merges with: a convolution, perhaps its normalisation."""
    kinds = [type(layer) for _, layer in chain[-2:]]
    if kinds == [Conv2d, BatchNorm2d]:
        return 2
    return int(kinds[-1:] == [Conv2d])
