"""Residual networks of 18 to 152 layers (He et al. 2016), grouped and wide ones, torchvision's names."""

from __future__ import annotations

from minicnn.layers import BatchNorm2d, Conv2d, Flatten, GlobalAvgPool2d, Linear, MaxPool2d, ReLU, Residual
from minicnn.layers.sequence import NamedLayers
from minicnn.zoo.architecture import Architecture
from minicnn.zoo.initialisation import he_draw
from minicnn.zoo.inputs import torchvision_preprocess

__all__ = ["resnet"]

# blocks in each of the four stages; whether a block is a bottleneck
DEPTHS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}


def resnet(
    depth: int, num_classes: int = 1000, groups: int = 1, group_width: int = 64, resize: int = 256
) -> Architecture:
    """ResNet-18, 34, 50, 101 or 152: a stem, four stages of residual blocks, global mean, one full layer.

    In a bottleneck the 3 x 3 convolution has ``groups`` groups (ResNeXt, Xie et al. 2017), each of ``group_width``
    channels in the first stage and twice as many in each that follows (one group of 128: Wide ResNet, Zagoruyko,
    Komodakis 2016).

    The first block of stages 2 to 4 halves the maps; in a bottleneck its 3 x 3 convolution does (torchvision's
    "v1.5"; the paper has the stride in the 1 x 1 before it).  Where the shape changes, the shortcut is a 1 x 1
    convolution with batch normalisation (option B).  Convolutions are drawn by He's rule over the outputs, the
    full layer as torch draws it.
    """
    repeats, bottleneck = DEPTHS[depth]
    layers = [
        ("conv1", Conv2d(3, 64, 7, stride=2, padding=3, bias=False)),
        ("bn1", BatchNorm2d(64)),
        ("relu", ReLU()),
        ("maxpool", MaxPool2d(3, stride=2, padding=1)),
    ]
    channels = 64
    for stage, blocks in enumerate(repeats, start=1):
        # 64, 128, 256, 512
        width = 32 << stage
        out = 4 * width if bottleneck else width
        for block in range(blocks):
            stride = 2 if stage > 1 and block == 0 else 1
            inner = groups * group_width * width // 64
            body = (
                _bottleneck(channels, inner, out, stride, groups) if bottleneck else _basic(channels, out, stride)
            )
            name = f"layer{stage}.{block}"
            layers += [(name, Residual(body, _shortcut(channels, out, stride))), (f"{name}.relu", ReLU())]
            channels = out
    layers += [("avgpool", GlobalAvgPool2d()), ("flatten", Flatten()), ("fc", Linear(channels, num_classes))]
    return Architecture(layers, (3, 224, 224), torchvision_preprocess(resize=resize), he_draw())


def _basic(channels: int, width: int, stride: int) -> NamedLayers:
    """Two 3 x 3 convolutions."""
    return [
        *_unit(1, Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)),
        ("relu1", ReLU()),
        *_unit(2, Conv2d(width, width, 3, padding=1, bias=False)),
    ]


def _bottleneck(channels: int, width: int, out: int, stride: int, groups: int) -> NamedLayers:
    """Narrow by 1 x 1, filter by 3 x 3, widen by 1 x 1."""
    return [
        *_unit(1, Conv2d(channels, width, 1, bias=False)),
        ("relu1", ReLU()),
        *_unit(2, Conv2d(width, width, 3, stride=stride, padding=1, groups=groups, bias=False)),
        ("relu2", ReLU()),
        *_unit(3, Conv2d(width, out, 1, bias=False)),
    ]


def _unit(number: int, conv: Conv2d) -> NamedLayers:
    return [(f"conv{number}", conv), (f"bn{number}", BatchNorm2d(conv.out_channels))]


def _shortcut(channels: int, out: int, stride: int) -> NamedLayers:
    # an empty branch is the identity
    if channels == out and stride == 1:
        return []
    projection = Conv2d(channels, out, 1, stride=stride, bias=False)
    return [("downsample.0", projection), ("downsample.1", BatchNorm2d(out))]
