"""EfficientNets B0 to B7 (Tan, Le 2019) and V2 (2021), torchvision's names."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from minicnn.layers import Conv2d, Dropout, Linear, Residual, Sequential, Sigmoid, SiLU
from minicnn.zoo.architecture import Architecture
from minicnn.zoo.initialisation import he_normal, parameters
from minicnn.zoo.inputs import torchvision_preprocess
from minicnn.zoo.torchvision.googlenet import inception_preprocess
from minicnn.zoo.torchvision.units import (
    Bottleneck,
    conv_norm,
    global_mean,
    inverted_bottleneck,
    residual_if_same,
    round_channels,
)

__all__ = ["SIZES", "efficientnet"]

# repeats, expansion, output channels, kernel size, stride of the first
B = (
    (1, 1, 16, 3, 1),
    (2, 6, 24, 3, 2),
    (2, 6, 40, 5, 2),
    (3, 6, 80, 3, 2),
    (3, 6, 112, 5, 1),
    (4, 6, 192, 5, 2),
    (1, 6, 320, 3, 1),
)
V2_S = (
    (2, 1, 24, 3, 1),
    (4, 4, 48, 3, 2),
    (4, 4, 64, 3, 2),
    (6, 4, 128, 3, 2),
    (9, 6, 160, 3, 1),
    (15, 6, 256, 3, 2),
)
V2_M = (
    *((3, 1, 24, 3, 1), (5, 4, 48, 3, 2), (5, 4, 80, 3, 2), (7, 4, 160, 3, 2), (14, 6, 176, 3, 1)),
    *((18, 6, 304, 3, 2), (5, 6, 512, 3, 1)),
)
V2_L = (
    *((4, 1, 32, 3, 1), (7, 4, 64, 3, 2), (7, 4, 96, 3, 2), (10, 4, 192, 3, 2), (19, 6, 224, 3, 1)),
    *((25, 6, 384, 3, 2), (7, 6, 640, 3, 1)),
)


class Size(NamedTuple):
    """Crop and resize of its input, factors of channels and repeats, dropout, and what only V2 has otherwise."""

    crop: int
    resize: int
    width: float = 1.0
    depth: float = 1.0
    dropout: float = 0.2
    stages: tuple[tuple[int, ...], ...] = B
    fused: int = 0  # first stages, in which one 3 x 3 convolution stands for the first two, without a gate


SIZES = {
    "b0": Size(224, 256),
    "b1": Size(240, 256, 1.0, 1.1),
    "b2": Size(288, 288, 1.1, 1.2, 0.3),
    "b3": Size(300, 320, 1.2, 1.4, 0.3),
    "b4": Size(380, 384, 1.4, 1.8, 0.4),
    "b5": Size(456, 456, 1.6, 2.2, 0.4),
    "b6": Size(528, 528, 1.8, 2.6, 0.5),
    "b7": Size(600, 600, 2.0, 3.1, 0.5),
    "v2_s": Size(384, 384, stages=V2_S, fused=3),
    "v2_m": Size(480, 480, dropout=0.3, stages=V2_M, fused=3),
    "v2_l": Size(480, 480, dropout=0.4, stages=V2_L, fused=3),
}


def efficientnet(name: str, num_classes: int = 1000) -> Architecture:
    """EfficientNet "b0" to "b7", "v2_s", "v2_m" or "v2_l": inverted bottlenecks with gates, mean, full layer.

    Convolutions are drawn by He's rule over the outputs, the full layer uniform within 1 / sqrt(scores).
    """
    size = SIZES[name]
    eps = 1e-5 if name in ("b0", "b1", "b2", "b3", "b4") else 1e-3
    channels = round_channels(32 * size.width) if size.stages is B else size.stages[0][2]
    stem = Conv2d(3, channels, 3, stride=2, padding=1, bias=False)
    layers = conv_norm("features.0.", stem, SiLU(), eps)
    for stage, (repeats, expansion, width, kernel_size, first_stride) in enumerate(size.stages, start=1):
        out = round_channels(width * size.width)
        for repeat in range(math.ceil(repeats * size.depth)):
            stride = first_stride if repeat == 0 else 1
            wide = channels * expansion
            if stage <= size.fused:
                block = _fused((channels, wide, out), kernel_size, stride, eps)
            else:
                sizes = Bottleneck(channels, round_channels(wide), out, kernel_size, stride, max(1, channels // 4))
                block = inverted_bottleneck(sizes, SiLU(), (SiLU(), Sigmoid()), eps)
            layers.append((f"features.{stage}.{repeat}", block))
            channels = out
    head = 4 * channels if size.stages is B else 1280
    last = f"features.{len(size.stages) + 1}."
    layers += conv_norm(last, Conv2d(channels, head, 1, bias=False), SiLU(), eps)
    layers += [
        *global_mean(),
        ("classifier.0", Dropout(size.dropout)),
        ("classifier.1", Linear(head, num_classes)),
    ]
    # by torchvision's published weights: V2's are bilinear but for the largest, which takes -1..1
    preprocess = torchvision_preprocess(size.crop, size.resize, "bilinear" if size.fused else "bicubic")
    if name == "v2_l":
        preprocess = inception_preprocess(size.crop, size.resize, "bicubic")
    return Architecture(layers, (3, size.crop, size.crop), preprocess, _draw)


def _fused(channels: tuple[int, int, int], kernel_size: int, stride: int, eps: float) -> Residual | Sequential:
    """Widen and filter at once, then narrow by a linear 1 x 1; where nothing is widened, filter alone."""
    before, wide, out = channels
    first = wide if wide != before else out
    conv = Conv2d(before, first, kernel_size, stride=stride, padding=kernel_size // 2, bias=False)
    body = conv_norm("block.0.", conv, SiLU(), eps)
    narrow = conv_norm("block.1.", Conv2d(wide, out, 1, bias=False), eps=eps) if wide != before else []
    return residual_if_same([*body, *narrow], before, out, stride)


def _draw(name: str, layer: Conv2d | Linear, rng: np.random.Generator) -> dict[str, np.ndarray]:
    if isinstance(layer, Conv2d):
        return parameters(layer, he_normal(layer, rng))
    bound = 1 / np.sqrt(layer.out_features)
    return parameters(
        layer, rng.uniform(-bound, bound, (layer.out_features, layer.in_features)).astype(np.float32)
    )
