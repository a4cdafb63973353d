"""LeNet-5 (LeCun, Bottou, Bengio, Haffner 1998, section II.B): handwritten digits."""

from __future__ import annotations

import numpy as np

from minicnn._utils.types import Shape
from minicnn.images import Preprocess
from minicnn.layers import AvgPool2d, Conv2d, Flatten, Linear, Tanh
from minicnn.layers.sequence import NamedLayers
from minicnn.zoo.architecture import Architecture

__all__ = ["lenet5"]

AMPLITUDE, SLOPE = 1.7159, 2 / 3  # of the squashing function A tanh(S a), appendix A
# table I: which of the six maps of s2 each of the sixteen maps of c3 sees
C3_SEES = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (4, 5, 0), (5, 0, 1)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (3, 4, 5, 0), (4, 5, 0, 1), (5, 0, 1, 2)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5)),
)


def lenet5(num_classes: int = 10) -> Architecture:
    """LeNet-5: c1-s2-c3-s4-c5-f6 and the class scores, on 32 x 32 grey images, names as in the paper.

    A subsampling is the mean of 2 x 2 pixels, times a coefficient, plus a bias, one of each a map: a 1 x 1
    convolution in as many groups as there are maps (four times the paper's coefficient, as the paper sums).
    Three things differ from 1998, and none takes from what the network can compute.  The squashing A tanh(S a)
    is a plain tanh, with A and S multiplied into the weights around it.  c3 has all 6 x 16 kernels, those missing
    in table I being drawn as 0.  The output units, distances to fixed bitmaps w, are written as scores: of
    -|f6 - w|^2 = 2 w f6 - |w|^2 - |f6|^2 the last term is the same for all classes and is dropped.

    Weights and biases are drawn as there: uniform within 2.4 / fan-in.  Inputs: -0.1 for the background, 1.175
    for the strokes; a picture with a light border is inverted first.
    """
    layers = [
        ("c1", Conv2d(1, 6, 5)),
        ("c1_tanh", Tanh()),
        *_subsampling("s2", 6),
        ("c3", Conv2d(6, 16, 5)),
        ("c3_tanh", Tanh()),
        *_subsampling("s4", 16),
        ("c5", Conv2d(16, 120, 5)),
        ("c5_tanh", Tanh()),
        ("flatten", Flatten()),
        ("f6", Linear(120, 84)),
        ("f6_tanh", Tanh()),
        ("output", Linear(84, num_classes)),
    ]
    preprocess = Preprocess(
        (32, 32), channels="L", scale=1.275 / 255, mean=(0.1,), std=(1.0,), invert="auto", mirror=False
    )
    return Architecture(layers, (1, 32, 32), preprocess, _draw)


def _subsampling(name: str, maps: int) -> NamedLayers:
    return [
        (f"{name}_mean", AvgPool2d(2)),
        (name, Conv2d(maps, maps, 1, groups=maps)),
        (f"{name}_tanh", Tanh()),
    ]


def _draw(name: str, layer: Conv2d | Linear, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Uniform within 2.4 / fan-in, in units of the plain tanh: times A of the layer before, S of the one after."""
    shapes = layer.parameter_shapes()
    used = _connections(shapes["weight"]) if name == "c3" else np.ones(shapes["weight"])
    pooled = 4 if name in ("s2", "s4") else 1  # a subsampling unit has four inputs, and its mean divides by four
    # (K,): how many inputs a filter sees
    fan_in = used.reshape(len(used), -1).sum(axis=1) * pooled
    bound = (2.4 / fan_in).reshape(-1, *[1] * (used.ndim - 1))
    before = 1.0 if name == "c1" else AMPLITUDE
    after = 1.0 if name == "output" else SLOPE
    # before, after: A and S of the squashing A tanh(S a), which the plain tanh leaves to the weights
    weight = used * rng.uniform(-bound, bound, shapes["weight"]) * (before * after * pooled)
    bias = rng.uniform(-bound.ravel(), bound.ravel()) * after
    return {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}


def _connections(shape: Shape) -> np.ndarray:
    used = np.zeros(shape)
    for filters, seen in zip(used, C3_SEES, strict=True):
        filters[list(seen)] = 1
    return used
