"""ShuffleNet-V2 (Ma et al. 2018), torchvision's names."""

from __future__ import annotations

from minicnn.layers import ChannelShuffle, Concat, Conv2d, Linear, MaxPool2d, ReLU, Slice
from minicnn.layers.sequence import NamedLayers
from minicnn.zoo.architecture import Architecture
from minicnn.zoo.inputs import torchvision_preprocess
from minicnn.zoo.torchvision.units import conv_norm, depthwise, global_mean

__all__ = ["SIZES", "shufflenet"]

# channels of the three stages, of the head
SIZES = {
    "x0_5": (48, 96, 192, 1024),
    "x1_0": (116, 232, 464, 1024),
    "x1_5": (176, 352, 704, 1024),
    "x2_0": (244, 488, 976, 2048),
}


def shufflenet(size: str, num_classes: int = 1000) -> Architecture:
    """ShuffleNet-V2 of 0.5, 1, 1.5 or 2 times the channels: three stages of units, a head, mean, full layer.

    A unit filters one half of the channels and hands on the other, then shuffles both; the first of a stage halves
    the maps and filters all channels twice.  Weights are drawn as torch draws them.
    """
    *stages, head = SIZES[size]
    layers: NamedLayers = [
        *conv_norm("conv1.", Conv2d(3, 24, 3, stride=2, padding=1, bias=False), ReLU()),
        ("maxpool", MaxPool2d(3, stride=2, padding=1)),
    ]
    channels = 24
    for stage, (out, repeats) in enumerate(zip(stages, (4, 8, 4), strict=True), start=2):
        for unit in range(repeats):
            name = f"stage{stage}.{unit}"
            parts = _halve(out) if unit else _downsample(channels, out)
            layers += [(name, parts), (f"{name}.shuffle", ChannelShuffle(2))]
        channels = out
    layers += conv_norm("conv5.", Conv2d(channels, head, 1, bias=False), ReLU())
    layers += [*global_mean(), ("fc", Linear(head, num_classes))]
    resize = 232 if size in ("x1_5", "x2_0") else 256
    return Architecture(layers, (3, 224, 224), torchvision_preprocess(resize=resize))


def _halve(channels: int) -> Concat:
    half = channels // 2
    first, second = Slice(1, 0, half), Slice(1, half, channels)
    return Concat([("branch1", first)], [("branch2.input", second), *_branch(half, half, 1)])


def _downsample(channels: int, out: int) -> Concat:
    shortcut = [
        *conv_norm("branch1.", depthwise(channels, stride=2)),
        *conv_norm("branch1.", Conv2d(channels, out // 2, 1, bias=False), ReLU(), start=2),
    ]
    return Concat(shortcut, _branch(channels, out // 2, 2))


def _branch(channels: int, out: int, stride: int) -> NamedLayers:
    return [
        *conv_norm("branch2.", Conv2d(channels, out, 1, bias=False), ReLU()),
        *conv_norm("branch2.", depthwise(out, stride=stride), start=3),
        *conv_norm("branch2.", Conv2d(out, out, 1, bias=False), ReLU(), start=5),
    ]
