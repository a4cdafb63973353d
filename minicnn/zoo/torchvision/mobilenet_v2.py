"""MobileNet-V2 (Sandler et al. 2018), torchvision's names."""

from __future__ import annotations

from minicnn.layers import Conv2d, Dropout, Linear, ReLU6, Residual, Sequential
from minicnn.zoo.architecture import Architecture
from minicnn.zoo.initialisation import he_draw
from minicnn.zoo.inputs import torchvision_preprocess
from minicnn.zoo.torchvision.units import conv_norm, depthwise, global_mean, residual_if_same

__all__ = ["mobilenet_v2"]

# expansion, output channels, repeats, stride of the first
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(num_classes: int = 1000) -> Architecture:
    """MobileNet-V2: a stem, seventeen inverted bottlenecks, a 1 x 1 head, global mean, one full layer.

    Convolutions are drawn by He's rule over the outputs, the full layer with deviation 0.01, biases 0.
    """
    layers = conv_norm("features.0.", Conv2d(3, 32, 3, stride=2, padding=1, bias=False), ReLU6())
    channels, block = 32, 0
    for expansion, out, repeats, first_stride in STAGES:
        for repeat in range(repeats):
            block += 1
            stride = first_stride if repeat == 0 else 1
            layers.append((f"features.{block}", _bottleneck(channels, out, expansion, stride)))
            channels = out
    layers += conv_norm("features.18.", Conv2d(channels, 1280, 1, bias=False), ReLU6())
    layers += [*global_mean(), ("classifier.0", Dropout(0.2)), ("classifier.1", Linear(1280, num_classes))]
    return Architecture(layers, (3, 224, 224), torchvision_preprocess(), he_draw(0.01))


def _bottleneck(channels: int, out: int, expansion: int, stride: int) -> Residual | Sequential:
    """Widen by 1 x 1, filter each channel, narrow by a linear 1 x 1; a residual where the shapes agree."""
    wide = channels * expansion
    # the first stage has nothing to widen
    expand = conv_norm("conv.0.", Conv2d(channels, wide, 1, bias=False), ReLU6()) if expansion > 1 else []
    place = 1 if expand else 0
    body = [
        *expand,
        *conv_norm(f"conv.{place}.", depthwise(wide, stride=stride), ReLU6()),
        *conv_norm("conv.", Conv2d(wide, out, 1, bias=False), start=place + 1),
    ]
    return residual_if_same(body, channels, out, stride)
