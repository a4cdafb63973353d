"""GoogLeNet, Inception-v1 (Szegedy et al. 2015) with batch normalisation, torchvision's names."""

from __future__ import annotations

import numpy as np

from minicnn.images import Preprocess
from minicnn.layers import BatchNorm2d, Concat, Conv2d, Dropout, Linear, MaxPool2d, ReLU
from minicnn.layers.sequence import NamedLayers
from minicnn.zoo.architecture import Architecture, Draw
from minicnn.zoo.initialisation import normal, parameters
from minicnn.zoo.torchvision.units import global_mean

__all__ = ["basic_conv", "googlenet", "inception_preprocess", "truncated_normal"]

# output channels of the four branches: 1 x 1; 1 x 1 then 3 x 3, twice; 1 x 1 after a pool.  A pool where None is
MODULES = {
    "inception3a": (64, (96, 128), (16, 32), 32),
    "inception3b": (128, (128, 192), (32, 96), 64),
    "maxpool3": None,
    "inception4a": (192, (96, 208), (16, 48), 64),
    "inception4b": (160, (112, 224), (24, 64), 64),
    "inception4c": (128, (128, 256), (24, 64), 64),
    "inception4d": (112, (144, 288), (32, 64), 64),
    "inception4e": (256, (160, 320), (32, 128), 128),
    "maxpool4": None,
    "inception5a": (256, (160, 320), (32, 128), 128),
    "inception5b": (384, (192, 384), (48, 128), 128),
}
AUXILIARY = tuple(f"aux{i}.{name}" for i in (1, 2) for name in ("conv.conv", "conv.bn", "fc1", "fc2"))


def googlenet(num_classes: int = 1000) -> Architecture:
    """GoogLeNet: nine modules of four branches side by side, global mean, one full layer.

    torchvision's branch of 5 x 5 filters has 3 x 3 ones, as have its published weights.  Those were trained on
    (v - 0.5) / 0.5, which torchvision's ``transform_input`` makes of its usual input, here the preprocessing.
    The two auxiliary classifiers, of training alone, are left out.  Weights are drawn with deviation 0.01.
    """
    layers: NamedLayers = [
        *basic_conv("conv1", Conv2d(3, 64, 7, stride=2, padding=3, bias=False)),
        ("maxpool1", MaxPool2d(3, stride=2, ceil_mode=True)),
        *basic_conv("conv2", Conv2d(64, 64, 1, bias=False)),
        *basic_conv("conv3", Conv2d(64, 192, 3, padding=1, bias=False)),
        ("maxpool2", MaxPool2d(3, stride=2, ceil_mode=True)),
    ]
    channels = 192
    for name, widths in MODULES.items():
        if widths is None:
            layers.append((name, MaxPool2d(3 if name == "maxpool3" else 2, stride=2, ceil_mode=True)))
            continue
        one, three, five, pooled = widths
        layers.append((name, _module(channels, one, (three, five), pooled)))
        channels = one + three[1] + five[1] + pooled
    layers += [*global_mean(), ("dropout", Dropout(0.2)), ("fc", Linear(channels, num_classes))]
    return Architecture(layers, (3, 224, 224), inception_preprocess(224, 256), truncated_normal(0.01), AUXILIARY)


def _module(channels: int, one: int, filtered: tuple[tuple[int, int], ...], pooled: int) -> Concat:
    branches = [basic_conv("branch1", Conv2d(channels, one, 1, bias=False))]
    for number, (narrow, out) in enumerate(filtered, start=2):
        branches.append(
            [
                *basic_conv(f"branch{number}.0", Conv2d(channels, narrow, 1, bias=False)),
                *basic_conv(f"branch{number}.1", Conv2d(narrow, out, 3, padding=1, bias=False)),
            ]
        )
    pool = ("branch4.0", MaxPool2d(3, stride=1, padding=1, ceil_mode=True))
    return Concat(*branches, [pool, *basic_conv("branch4.1", Conv2d(channels, pooled, 1, bias=False))])


def basic_conv(name: str, conv: Conv2d) -> NamedLayers:
    """Convolution, batch normalisation with epsilon 1e-3, rectifier."""
    return [
        (f"{name}.conv", conv),
        (f"{name}.bn", BatchNorm2d(conv.out_channels, eps=1e-3)),
        (f"{name}.relu", ReLU()),
    ]


def inception_preprocess(size: int, resize: int, interpolation: str = "bilinear") -> Preprocess:
    """RGB in -1..1."""
    half = (0.5, 0.5, 0.5)
    return Preprocess((size, size), resize, interpolation, mean=half, std=half)


def truncated_normal(std: float) -> Draw:
    """Return the rule: weights from a Gaussian without its tails beyond two deviations, biases 0."""

    def draw(name: str, layer: Conv2d | Linear, rng: np.random.Generator) -> dict[str, np.ndarray]:
        weight = normal(layer, rng, 1.0)
        while (beyond := np.abs(weight) > 2).any():
            weight[beyond] = rng.standard_normal(np.count_nonzero(beyond), np.float32)
        return parameters(layer, weight * np.float32(std))

    return draw
