"""Random weights as the architectures' authors drew them.

A rule is a function draw(name, layer, rng) that returns the parameters of a convolution or a full layer; every
other layer starts as torch starts it (batch normalisation as the identity, PReLU with slope 1/4).
"""

from __future__ import annotations

import numpy as np

from minicnn.layers import Conv2d, Layer, Linear
from minicnn.layers.sequence import NamedLayers, map_layers
from minicnn.zoo.architecture import Draw

__all__ = ["draw_parameters", "he_draw", "he_normal", "he_uniform", "normal", "parameters"]


def draw_parameters(layers: NamedLayers, rng: np.random.Generator, draw: Draw) -> NamedLayers:
    """Return the (name, layer) pairs with every parameter drawn, in order, blocks included."""

    def initialise(name: str, layer: Layer) -> Layer:
        if isinstance(layer, Conv2d | Linear):
            return layer.with_state(draw(name, layer, rng))
        return layer.initialise(rng)

    return map_layers(layers, initialise)


def normal(layer: Conv2d | Linear, rng: np.random.Generator, std: float) -> np.ndarray:
    """Weights from a Gaussian with mean 0 and that standard deviation."""
    return rng.standard_normal(layer.parameter_shapes()["weight"], np.float32) * np.float32(std)


def he_normal(layer: Conv2d | Linear, rng: np.random.Generator) -> np.ndarray:
    """Weights from a Gaussian of variance 2 / (K R S), the filters' outputs (He et al. 2015, equation 14)."""
    filters, _, *taps = layer.parameter_shapes()["weight"]
    return normal(layer, rng, np.sqrt(2 / (filters * np.prod(taps))))


def he_uniform(layer: Conv2d | Linear, rng: np.random.Generator) -> np.ndarray:
    """Weights, uniform and of variance 2 / (C R S), the filters' inputs (He et al. 2015, equation 10)."""
    shape = layer.parameter_shapes()["weight"]
    # a uniform variable within b has variance b^2 / 3
    bound = np.sqrt(6 / np.prod(shape[1:]))
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def parameters(layer: Conv2d | Linear, weight: np.ndarray, bias: float = 0.0) -> dict[str, np.ndarray]:
    """Return the layer's parameters: ``weight``, and the bias filled with one number where the layer has one.

    Examples
    --------
    >>> {name: a.tolist() for name, a in parameters(Linear(2, 1), np.ones((1, 2)), bias=0.5).items()}
    {'weight': [[1.0, 1.0]], 'bias': [0.5]}

    """
    if layer.bias is None:
        return {"weight": weight}
    return {"weight": weight, "bias": np.full(len(weight), bias, np.float32)}


def he_draw(linear_std: float | None = None) -> Draw:
    """Return the rule of most nets in torchvision: He's Gaussian over the outputs, biases 0.

    Full layers are drawn from a Gaussian of deviation ``linear_std``, or, without one, as torch draws them.
    """

    def draw(name: str, layer: Conv2d | Linear, rng: np.random.Generator) -> dict[str, np.ndarray]:
        if isinstance(layer, Conv2d):
            return parameters(layer, he_normal(layer, rng))
        if linear_std is None:
            return layer.initialise(rng).state()
        return parameters(layer, normal(layer, rng, linear_std))

    return draw
