"""MnasNet, the B1 variant without squeeze-and-excitation (Tan et al. 2019), torchvision's names."""

from __future__ import annotations

from minicnn.layers import Conv2d, Dropout, Layer, Linear, ReLU, Residual, Sequential
from minicnn.layers.sequence import NamedLayers
from minicnn.zoo.architecture import Architecture
from minicnn.zoo.initialisation import he_draw
from minicnn.zoo.inputs import torchvision_preprocess
from minicnn.zoo.torchvision.units import conv_norm, depthwise, global_mean, residual_if_same, round_channels

__all__ = ["mnasnet"]

# output channels, kernel size, stride of the first, expansion, repeats
STAGES = (
    (24, 3, 2, 3, 3),
    (40, 5, 2, 3, 3),
    (80, 5, 2, 6, 3),
    (96, 3, 1, 6, 2),
    (192, 5, 2, 6, 4),
    (320, 3, 1, 6, 1),
)


def mnasnet(alpha: float, num_classes: int = 1000, resize: int = 256) -> Architecture:
    """MnasNet with ``alpha`` times as many channels: a separable stem, six stages, a head of 1280 channels.

    Convolutions are drawn by He's rule over the outputs, the full layer as torch draws it.
    """
    first, channels = round_channels(32 * alpha), round_channels(16 * alpha)
    stem = [
        *_unit(Conv2d(3, first, 3, stride=2, padding=1, bias=False)),
        *_unit(depthwise(first)),
        *_unit(Conv2d(first, channels, 1, bias=False))[:-1],
    ]
    layers: NamedLayers = [(f"layers.{i}", layer) for i, layer in enumerate(stem)]
    for stage, (out, kernel_size, first_stride, expansion, repeats) in enumerate(STAGES, start=len(stem)):
        for repeat in range(repeats):
            wide, stride = channels * expansion, first_stride if repeat == 0 else 1
            out_channels = round_channels(out * alpha)
            block = _bottleneck((channels, wide, out_channels), kernel_size, stride)
            layers.append((f"layers.{stage}.{repeat}", block))
            channels = out_channels
    layers += conv_norm("layers.", Conv2d(channels, 1280, 1, bias=False), ReLU(), start=len(stem) + len(STAGES))
    layers += [*global_mean(), ("classifier.0", Dropout(0.2)), ("classifier.1", Linear(1280, num_classes))]
    return Architecture(layers, (3, 224, 224), torchvision_preprocess(resize=resize), he_draw())


def _unit(conv: Conv2d) -> list[Layer]:
    return [layer for _, layer in conv_norm("", conv, ReLU())]


def _bottleneck(channels: tuple[int, int, int], kernel_size: int, stride: int) -> Residual | Sequential:
    """Widen by 1 x 1, filter each channel, narrow by a linear 1 x 1; a residual where the shapes agree."""
    before, wide, out = channels
    layers = [
        *_unit(Conv2d(before, wide, 1, bias=False)),
        *_unit(depthwise(wide, kernel_size, stride)),
        *_unit(Conv2d(wide, out, 1, bias=False))[:-1],
    ]
    body = [(f"layers.{i}", layer) for i, layer in enumerate(layers)]
    return residual_if_same(body, before, out, stride)
