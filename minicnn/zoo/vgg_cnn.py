"""CNN-F, CNN-M and CNN-S: fast, medium and slow (Chatfield, Simonyan, Vedaldi, Zisserman 2014, table 1)."""

from __future__ import annotations

from minicnn.layers import Conv2d, LocalResponseNorm, MaxPool2d, ReLU
from minicnn.layers.sequence import NamedLayers
from minicnn.zoo.alexnet import full_layers, gaussian
from minicnn.zoo.architecture import Architecture
from minicnn.zoo.inputs import VGG_MEAN, caffe_preprocess

__all__ = ["vgg_f", "vgg_m", "vgg_s"]


def vgg_f(num_classes: int = 1000) -> Architecture:
    """CNN-F: five convolutions, the first of 64 filters 11 x 11 with stride 4; as wide as the 2013 paper's net."""
    layers = [
        *_stage(1, Conv2d(3, 64, 11, stride=4), lrn=True, pool=(3, 2)),
        *_stage(2, Conv2d(64, 256, 5, padding=2), lrn=True, pool=(3, 2)),
        *_last_stages(256, 256, (3, 2)),
        *full_layers(256 * 6 * 6, num_classes),
    ]
    return _architecture(layers)


def vgg_m(num_classes: int = 1000) -> Architecture:
    """CNN-M: smaller filters and stride in conv1 (7 x 7, 2), a larger stride in conv2 (2)."""
    layers = [
        *_stage(1, Conv2d(3, 96, 7, stride=2), lrn=True, pool=(3, 2)),
        *_stage(2, Conv2d(96, 256, 5, stride=2, padding=1), lrn=True, pool=(3, 2)),
        *_last_stages(256, 512, (3, 2)),
        *full_layers(512 * 6 * 6, num_classes),
    ]
    return _architecture(layers)


def vgg_s(num_classes: int = 1000) -> Architecture:
    """CNN-S: as CNN-M, but stride 1 in conv2 and larger pools; conv2 as in the released files, unpadded."""
    layers = [
        *_stage(1, Conv2d(3, 96, 7, stride=2), lrn=True, pool=(3, 3)),
        *_stage(2, Conv2d(96, 256, 5), pool=(2, 2)),
        *_last_stages(256, 512, (3, 3)),
        *full_layers(512 * 6 * 6, num_classes),
    ]
    return _architecture(layers)


def _stage(number: int, conv: Conv2d, lrn: bool = False, pool: tuple[int, int] | None = None) -> NamedLayers:
    """Convolution, rectifier, and what the table adds; pool = (size, stride), rounding up as Caffe does."""
    stage = [(f"conv{number}", conv), (f"relu{number}", ReLU())]
    if lrn:
        stage.append((f"norm{number}", LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)))
    if pool:
        stage.append((f"pool{number}", MaxPool2d(pool[0], stride=pool[1], ceil_mode=True)))
    return stage


def _last_stages(channels: int, width: int, pool: tuple[int, int]) -> NamedLayers:
    return [
        *_stage(3, Conv2d(channels, width, 3, padding=1)),
        *_stage(4, Conv2d(width, width, 3, padding=1)),
        *_stage(5, Conv2d(width, width, 3, padding=1), pool=pool),
    ]


def _architecture(layers: NamedLayers) -> Architecture:
    """BGR minus the mean; weights from a Gaussian of variance 0.01, as the paper has it, biases 0."""
    return Architecture(layers, (3, 224, 224), caffe_preprocess(224, VGG_MEAN), gaussian(0.1))
