"""Batch normalisation folded into the convolution before it: fewer steps, the same function."""

from __future__ import annotations

import numpy as np

from minicnn.layers.base import NamedLayers
from minicnn.layers.convolution import Conv2d
from minicnn.layers.graph import follows_alone, rename_inputs
from minicnn.layers.normalisation import BatchNorm2d

__all__ = ["fold_batch_norm"]


def fold_batch_norm(layers: NamedLayers) -> NamedLayers:
    """Return the layers without the batch normalisations that directly follow a convolution, blocks included.

    weight'[k] = scale[k] weight[k] and bias'[k] = scale[k] bias[k] + shift[k], with y = scale x + shift the
    normalisation; computed in float64 and rounded once.

    Examples
    --------
    >>> from minicnn.layers.sequence import initialise
    >>> layers = [("conv", Conv2d(3, 8, 3, bias=False)), ("bn", BatchNorm2d(8))]
    >>> layers = initialise(layers, np.random.default_rng(0))
    >>> [(name, layer.bias.shape) for name, layer in fold_batch_norm(layers)]
    [('conv', (8,))]

    """
    folded: NamedLayers = []
    renamed: dict[str, str] = {}
    for (name, layer), alone in zip(layers, follows_alone(layers), strict=True):
        # looked up in what is folded so far, which ends in the layer before this one
        previous = folded[-1][1] if folded else None
        # a subclass may compute something else
        if type(layer) is BatchNorm2d and type(previous) is Conv2d and alone:
            folded[-1] = (folded[-1][0], _merge(previous, layer).reading(*previous.inputs))
            renamed[name] = folded[-1][0]
        else:
            # a block is folded inside, any other layer stays
            folded.append((name, layer.map_branches(fold_batch_norm)))
    return rename_inputs(folded, renamed)


def _merge(convolution: Conv2d, norm: BatchNorm2d) -> Conv2d:
    # scale (W x + b) + shift = (scale W) x + (scale b + shift), in float64 and rounded once
    scale, shift = norm.astype(np.float64).scale_and_shift()
    bias = 0.0 if convolution.bias is None else convolution.bias
    dtype = convolution.weight.dtype
    # with_state would not add a bias to a convolution that has none
    return Conv2d(
        **convolution.config()
        | {"bias": (scale * bias + shift).astype(dtype)}
        | {"weight": (scale[:, None, None, None] * convolution.weight).astype(dtype)},
    )
