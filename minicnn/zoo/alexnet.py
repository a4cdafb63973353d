"""AlexNet (Krizhevsky, Sutskever, Hinton 2012) as torchvision and Caffe have it, and Caffe's CaffeNet."""

from __future__ import annotations

import numpy as np

from minicnn.layers import Conv2d, Dropout, Flatten, Linear, LocalResponseNorm, MaxPool2d, ReLU
from minicnn.layers.sequence import NamedLayers
from minicnn.zoo.architecture import Architecture, Draw
from minicnn.zoo.initialisation import normal, parameters
from minicnn.zoo.inputs import CAFFE_MEAN, caffe_preprocess, torchvision_preprocess

__all__ = ["alexnet", "alexnet_caffe", "caffenet", "full_layers", "gaussian"]


def alexnet(num_classes: int = 1000) -> Architecture:
    """AlexNet in one tower, without response normalisation (Krizhevsky 2014), with torchvision's names.

    Weights are drawn as in 2012: a Gaussian of standard deviation 0.01; biases are 1 in the second, fourth and
    fifth convolution and in the hidden full layers, else 0.  (torchvision itself leaves torch's defaults.)
    """
    layers = [
        ("features.0", Conv2d(3, 64, 11, stride=4, padding=2)),
        ("features.1", ReLU()),
        ("features.2", MaxPool2d(3, stride=2)),
        ("features.3", Conv2d(64, 192, 5, padding=2)),
        ("features.4", ReLU()),
        ("features.5", MaxPool2d(3, stride=2)),
        ("features.6", Conv2d(192, 384, 3, padding=1)),
        ("features.7", ReLU()),
        ("features.8", Conv2d(384, 256, 3, padding=1)),
        ("features.9", ReLU()),
        ("features.10", Conv2d(256, 256, 3, padding=1)),
        ("features.11", ReLU()),
        ("features.12", MaxPool2d(3, stride=2)),
        ("flatten", Flatten()),
        ("classifier.0", Dropout()),
        ("classifier.1", Linear(9216, 4096)),
        ("classifier.2", ReLU()),
        ("classifier.3", Dropout()),
        ("classifier.4", Linear(4096, 4096)),
        ("classifier.5", ReLU()),
        ("classifier.6", Linear(4096, num_classes)),
    ]
    ones = ("features.3", "features.8", "features.10", "classifier.1", "classifier.4")
    return Architecture(layers, (3, 224, 224), torchvision_preprocess(), gaussian(0.01, 1.0, ones))


def alexnet_caffe(num_classes: int = 1000) -> Architecture:
    """AlexNet in two towers that meet in conv3 and the full layers, normalised before pooling: bvlc_alexnet.

    Caffe's reading of the paper: 227 x 227 inputs, k = 1 in the response normalisation (the paper has 2, and
    does not divide alpha by the window), biases 0.1 where the paper has 1, deviation 0.005 in fc6 and fc7.
    """
    layers = [
        *_stage(1, Conv2d(3, 96, 11, stride=4), "norm", "pool"),
        *_stage(2, Conv2d(96, 256, 5, padding=2, groups=2), "norm", "pool"),
        *_last_convolutions(num_classes),
    ]
    return Architecture(layers, (3, 227, 227), caffe_preprocess(227, CAFFE_MEAN), _caffe_draw(0.1))


def caffenet(num_classes: int = 1000) -> Architecture:
    """CaffeNet, bvlc_reference_caffenet: AlexNet's two towers with pooling before response normalisation."""
    layers = [
        *_stage(1, Conv2d(3, 96, 11, stride=4), "pool", "norm"),
        *_stage(2, Conv2d(96, 256, 5, padding=2, groups=2), "pool", "norm"),
        *_last_convolutions(num_classes),
    ]
    return Architecture(layers, (3, 227, 227), caffe_preprocess(227, CAFFE_MEAN), _caffe_draw(1.0))


def full_layers(features: int, num_classes: int) -> NamedLayers:
    """Two hidden layers of 4096 with dropout, and the class scores: Caffe's names."""
    return [
        ("flatten", Flatten()),
        ("fc6", Linear(features, 4096)),
        ("relu6", ReLU()),
        ("drop6", Dropout()),
        ("fc7", Linear(4096, 4096)),
        ("relu7", ReLU()),
        ("drop7", Dropout()),
        ("fc8", Linear(4096, num_classes)),
    ]


def _stage(number: int, conv: Conv2d, *after: str) -> NamedLayers:
    """Convolution, rectifier, then "norm" and "pool" in the given order."""
    kinds = {
        "norm": LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0),
        "pool": MaxPool2d(3, stride=2, ceil_mode=True),
    }
    stage = [(f"conv{number}", conv), (f"relu{number}", ReLU())]
    return [*stage, *((f"{kind}{number}", kinds[kind]) for kind in after)]


def _last_convolutions(num_classes: int) -> NamedLayers:
    return [
        # conv3 sees both towers, conv4 and conv5 one each
        *_stage(3, Conv2d(256, 384, 3, padding=1)),
        *_stage(4, Conv2d(384, 384, 3, padding=1, groups=2)),
        *_stage(5, Conv2d(384, 256, 3, padding=1, groups=2), "pool"),
        *full_layers(9216, num_classes),
    ]


def gaussian(std: float, bias: float = 0.0, biased: tuple[str, ...] = ()) -> Draw:
    """Return the rule: weights from a Gaussian, biases ``bias`` in the layers named ``biased`` and else 0."""

    def draw(name: str, layer: Conv2d | Linear, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return parameters(layer, normal(layer, rng, std), bias if name in biased else 0.0)

    return draw


def _caffe_draw(bias: float) -> Draw:
    def draw(name: str, layer: Conv2d | Linear, rng: np.random.Generator) -> dict[str, np.ndarray]:
        biased = name in ("conv2", "conv4", "conv5", "fc6", "fc7")
        std = 0.005 if name in ("fc6", "fc7") else 0.01
        return parameters(layer, normal(layer, rng, std), bias if biased else 0.0)

    return draw
