"""The faults that run.py injects: single ones, and pairs of them, and the convention that each breaks."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minicnn.layers import (
    BatchNorm2d,
    Conv2d,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    ReLU6,
)
from tests.fault_injection.inject import (
    NARROWER,
    change_layers,
    columns,
    exchange,
    fields,
    misread,
    preprocessing,
    random_order,
    reversed_mean,
    rows,
    second_half_first,
    weights,
)


class Fault(NamedTuple):
    """A fault in one of the networks.

    Attributes
    ----------
    net : name of the network in ``inject.RIGHT``
    what : in a few words
    convention : that it breaks, as ``diagnose`` calls it
    inject : right network -> faulty network

    """

    net: str
    what: str
    convention: str
    inject: Callable


def transpose(weight):
    return weight.swapaxes(2, 3)


ODD = ((1, 3), (1, 3))
RADIUS = {"size": 11, "alpha": 1.1e-3}
SAME_HALF = fields(Conv2d, padding=lambda layer: tuple((k // 2, k // 2) for k in layer.kernel_size))
MAPS = (256 // NARROWER, 6, 6)

SINGLES = [
    Fault("AlexNet", "kernels of all convolutions transposed", "kernel order", weights(transpose)),
    Fault("AlexNet", "kernels of conv2 flipped", "kernel flip", weights(lambda w: w[..., ::-1, ::-1], "conv2")),
    Fault(
        "AlexNet", "conv1 for BGR where the input is RGB", "channel order", weights(lambda w: w[:, ::-1], "conv1")
    ),
    Fault("AlexNet", "the two groups of conv2 exchange", "groups", rows(second_half_first, "conv2")),
    Fault("AlexNet", "LRN's alpha divided twice", "LRN alpha", fields(LocalResponseNorm, alpha=2e-5)),
    Fault("AlexNet", "LRN's k = 2", "LRN k", fields(LocalResponseNorm, k=2.0)),
    Fault("AlexNet", "fc6 for maps flattened as HWC", "flattening", columns((1, 2, 0), MAPS)),
    Fault("AlexNet", "classes shifted by one", "class order", rows(lambda n: np.roll(np.arange(n), 1), "fc8")),
    Fault("AlexNet", "pooling before LRN", "layer order", exchange(("norm1", "pool1"), ("norm2", "pool2"))),
    Fault("AlexNet", "fc7 transposed", "matrix order", weights(lambda w: w.T, "fc7", kinds=Linear)),
    Fault("AlexNet", "conv3 stored as HWIO", "kernel order", weights(misread((2, 3, 1, 0)), "conv3")),
    Fault(
        "AlexNet",
        "padding of conv2 at the wrong sides",
        "padding",
        fields(Conv2d, "conv2", padding=ODD),
    ),
    Fault("AlexNet", "RGB picture minus a BGR mean", "channel order", preprocessing(channels="RGB")),
    Fault("AlexNet", "mean in the order RGB", "mean", preprocessing(mean=reversed_mean)),
    Fault("CNN-F", "pool1 rounds down", "pool rounding", fields(MaxPool2d, "pool1", ceil_mode=False)),
    Fault("CNN-F", "LRN's alpha not divided", "LRN alpha", fields(LocalResponseNorm, alpha=2.5e-3)),
    Fault("CNN-F", "LRN's k = 1", "LRN k", fields(LocalResponseNorm, k=1.0)),
    Fault("CNN-F", "LRN's window taken for a radius", "LRN window", fields(LocalResponseNorm, **RADIUS)),
    Fault("CNN-F", "classes in another order", "class order", rows(random_order, "fc8")),
    Fault("CNN-F", "fc6 for maps flattened as WHC", "flattening", columns((2, 1, 0), MAPS)),
    Fault("CNN-F", "kernels of all convolutions upside down", "kernel flip", weights(lambda w: w[..., ::-1, :])),
    Fault("CNN-F", "fc7 scaled for training", "dropout scale", weights(lambda w: w * 2, "fc7", kinds=Linear)),
    Fault("CNN-F", "picture in 0..1", "scale", preprocessing(scale=1 / 255)),
    Fault("CNN-F", "whole picture warped", "crop", preprocessing(resize=None)),
    Fault("CNN-F", "nearest pixel instead of bilinear", "interpolation", preprocessing(interpolation="nearest")),
    Fault("Lite0", "epsilon 1e-5 of every normalisation", "batch-norm epsilon", fields(BatchNorm2d, eps=1e-5)),
    Fault("Lite0", "half a window of padding instead of SAME", "padding", SAME_HALF),
    Fault(
        "Lite0",
        "kernels of one depthwise convolution transposed",
        "kernel order",
        weights(transpose, "_blocks.4._depthwise_conv"),
    ),
    Fault("Lite0", "no ceiling at 6", "rectifier", lambda net: change_layers(net, ReLU6, lambda layer: ReLU())),
    Fault(
        "Lite0",
        "deviations taken for variances",
        "batch-norm statistics",
        fields(BatchNorm2d, running_var=lambda layer: np.sqrt(layer.running_var)),
    ),
    Fault(
        "Lite0",
        "weight and bias of one normalisation exchange",
        "batch-norm statistics",
        fields(BatchNorm2d, "_blocks.9._bn2", weight=lambda layer: layer.bias, bias=lambda layer: layer.weight),
    ),
    Fault(
        "Lite0",
        "torchvision's mean and deviation",
        "scale and mean",
        preprocessing(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    ),
    Fault("Lite0", "BGR picture", "channel order", preprocessing(channels="BGR")),
    Fault("Lite0", "no margin around the crop", "crop", preprocessing(resize=224)),
    Fault("Lite0", "classes in reverse order", "class order", rows(lambda n: np.arange(n)[::-1], "_fc")),
]


def single_fault(net, what):
    return next(fault for fault in SINGLES if (fault.net, fault.what) == (net, what))


def _pairs():
    names = [
        ("AlexNet", "LRN's alpha divided twice", "LRN's k = 2"),
        ("AlexNet", "kernels of conv2 flipped", "fc6 for maps flattened as HWC"),
        ("AlexNet", "RGB picture minus a BGR mean", "kernels of all convolutions transposed"),
        ("AlexNet", "the two groups of conv2 exchange", "padding of conv2 at the wrong sides"),
        ("AlexNet", "pooling before LRN", "classes shifted by one"),
        ("AlexNet", "conv3 stored as HWIO", "fc7 transposed"),
        ("CNN-F", "pool1 rounds down", "LRN's alpha not divided"),
        ("CNN-F", "picture in 0..1", "LRN's k = 1"),
        ("CNN-F", "whole picture warped", "classes in another order"),
        ("CNN-F", "kernels of all convolutions upside down", "fc6 for maps flattened as WHC"),
        ("Lite0", "epsilon 1e-5 of every normalisation", "half a window of padding instead of SAME"),
        ("Lite0", "BGR picture", "no margin around the crop"),
        ("Lite0", "no ceiling at 6", "kernels of one depthwise convolution transposed"),
        ("Lite0", "torchvision's mean and deviation", "classes in reverse order"),
    ]
    return [(single_fault(net, a), single_fault(net, b)) for net, a, b in names]


PAIRS = _pairs()
