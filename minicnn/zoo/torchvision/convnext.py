"""ConvNeXts (Liu et al. 2022), torchvision's names."""

from __future__ import annotations

from minicnn.layers import (
    GELU,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    LayerNorm,
    LayerNorm2d,
    Linear,
    Permute,
    Residual,
    Scale,
)
from minicnn.layers.sequence import NamedLayers
from minicnn.zoo.architecture import Architecture
from minicnn.zoo.inputs import torchvision_preprocess
from minicnn.zoo.torchvision.googlenet import truncated_normal

__all__ = ["SIZES", "convnext"]

# channels of the first stage, blocks of the four, size to which pictures are resized
SIZES = {
    "tiny": (96, (3, 3, 9, 3), 236),
    "small": (96, (3, 3, 27, 3), 230),
    "base": (128, (3, 3, 27, 3), 232),
    "large": (192, (3, 3, 27, 3), 232),
}
EPS = 1e-6
# a parameter of the block itself in torch, a layer's weight here
LAYER_SCALE = ((r"\.layer_scale$", ".layer_scale.weight"),)


def convnext(size: str, num_classes: int = 1000) -> Architecture:
    """ConvNeXt "tiny", "small", "base" or "large": four stages of residual blocks, global mean, one full layer.

    Between stages the maps are halved and the channels doubled.  Weights are drawn with deviation 0.02, biases 0;
    layer scales start as 1 (torchvision's as 1e-6, which hides the blocks from an untrained net's gradient).
    """
    width, stages, resize = SIZES[size]
    layers: NamedLayers = [
        ("features.0.0", Conv2d(3, width, 4, stride=4)),
        ("features.0.1", LayerNorm2d(width, eps=EPS)),
    ]
    for stage, blocks in enumerate(stages):
        if stage:
            layers += [
                (f"features.{2 * stage}.0", LayerNorm2d(width, eps=EPS)),
                (f"features.{2 * stage}.1", Conv2d(width, 2 * width, 2, stride=2)),
            ]
            width *= 2
        layers += [(f"features.{2 * stage + 1}.{block}", Residual(_block(width))) for block in range(blocks)]
    layers += [
        ("avgpool", GlobalAvgPool2d()),
        ("classifier.0", LayerNorm2d(width, eps=EPS)),
        ("classifier.1", Flatten()),
        ("classifier.2", Linear(width, num_classes)),
    ]
    preprocess = torchvision_preprocess(resize=resize)
    return Architecture(layers, (3, 224, 224), preprocess, truncated_normal(0.02), renamed=LAYER_SCALE)


def _block(width: int) -> NamedLayers:
    """Filter each channel by 7 x 7, normalise each pixel, widen four times and narrow, scale each channel."""
    return [
        ("block.0", Conv2d(width, width, 7, padding=3, groups=width)),
        ("block.1", Permute((1, 2, 0))),
        ("block.2", LayerNorm(width, eps=EPS)),
        ("block.3", Linear(width, 4 * width)),
        ("block.4", GELU()),
        ("block.5", Linear(4 * width, width)),
        ("block.6", Permute((2, 0, 1))),
        ("layer_scale", Scale((width, 1, 1), False)),
    ]
