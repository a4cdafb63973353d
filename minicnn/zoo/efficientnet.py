"""EfficientNet-Lite0 (Tan, Le 2019, without squeeze-and-excitation and with ReLU6), published layer names."""

from __future__ import annotations

import numpy as np

from minicnn.images import Preprocess
from minicnn.layers import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    ReLU6,
    Residual,
    Sequential,
)
from minicnn.layers.sequence import NamedLayers
from minicnn.zoo.architecture import Architecture
from minicnn.zoo.initialisation import he_normal, normal, parameters
from minicnn.zoo.torchvision.efficientnet import B as STAGES

__all__ = ["efficientnet_lite0"]


def efficientnet_lite0(num_classes: int = 1000) -> Architecture:
    """EfficientNet-Lite0: a stem, sixteen inverted bottlenecks, a 1 x 1 head, global mean, one full layer.

    TensorFlow's SAME padding and batch-norm epsilon 1e-3; input (v - 127) / 128 of 224 x 224 RGB values 0..255,
    cut from the middle after a bicubic resize of the short side to 256.  Weights are drawn as the authors do it:
    He's Gaussian over the outputs (a depthwise filter has one), the full layer uniform within 1 / sqrt(scores).
    """
    layers = [*_unit("_conv_stem", "_bn0", Conv2d(3, 32, 3, stride=2, padding="same", bias=False))]
    channels = 32
    for repeats, expansion, out, kernel_size, first_stride in STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            # blocks are numbered through all stages
            name = f"_blocks.{sum(isinstance(layer, Sequential | Residual) for _, layer in layers)}"
            layers.append((name, _bottleneck(channels, out, expansion, kernel_size, stride)))
            channels = out
    layers += _unit("_conv_head", "_bn1", Conv2d(channels, 1280, 1, bias=False))
    layers += [
        ("_avg_pooling", GlobalAvgPool2d()),
        ("_flatten", Flatten()),
        ("_dropout", Dropout(0.2)),
        ("_fc", Linear(1280, num_classes)),
    ]
    preprocess = Preprocess((224, 224), 256, "bicubic", scale=1.0, mean=(127.0,) * 3, std=(128.0,) * 3)
    return Architecture(layers, (3, 224, 224), preprocess, _draw)


def _unit(conv_name: str, norm_name: str, conv: Conv2d, relu: bool = True) -> NamedLayers:
    """Convolution, batch normalisation and, unless the unit is linear, ReLU6."""
    unit = [(conv_name, conv), (norm_name, BatchNorm2d(conv.out_channels, eps=1e-3))]
    return [*unit, (f"{conv_name}_relu", ReLU6())] if relu else unit


def _bottleneck(channels: int, out: int, expansion: int, kernel_size: int, stride: int) -> Residual | Sequential:
    """Widen by 1 x 1, filter each channel, narrow by a linear 1 x 1; a residual where the shapes agree."""
    wide = channels * expansion
    body = []
    # the first stage has nothing to widen
    if expansion > 1:
        body += _unit("_expand_conv", "_bn0", Conv2d(channels, wide, 1, bias=False))
    depthwise = Conv2d(wide, wide, kernel_size, stride=stride, padding="same", groups=wide, bias=False)
    body += _unit("_depthwise_conv", "_bn1", depthwise)
    body += _unit("_project_conv", "_bn2", Conv2d(wide, out, 1, bias=False), relu=False)
    return Residual(body) if stride == 1 and channels == out else Sequential(body)


def _draw(name: str, layer: Conv2d | Linear, rng: np.random.Generator) -> dict[str, np.ndarray]:
    shape = layer.parameter_shapes()["weight"]
    if isinstance(layer, Linear):
        bound = 1 / np.sqrt(layer.out_features)
        return parameters(layer, rng.uniform(-bound, bound, shape).astype(np.float32))
    depthwise = layer.groups > 1
    # K R S of He's rule counts one filter for each channel where the convolution is depthwise
    weight = normal(layer, rng, np.sqrt(2 / np.prod(shape[1:]))) if depthwise else he_normal(layer, rng)
    return parameters(layer, weight)
