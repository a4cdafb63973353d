"""The network of "Deep Inside Convolutional Networks" (Simonyan, Vedaldi, Zisserman 2013, section 1)."""

from __future__ import annotations

from minicnn.layers import Conv2d, LocalResponseNorm, MaxPool2d, ReLU
from minicnn.layers.sequence import NamedLayers
from minicnn.zoo.alexnet import full_layers, gaussian
from minicnn.zoo.architecture import Architecture
from minicnn.zoo.inputs import CAFFE_MEAN, caffe_preprocess

__all__ = ["paper"]


def paper(num_classes: int = 1000) -> Architecture:
    """conv64-conv256-conv256-conv256-conv256-full4096-full4096-full1000, the paper's own network.

    The paper says: these widths; similar to AlexNet (Krizhevsky et al. 2012) but narrower; 224 x 224 crops minus
    the mean image; dropout on the first two full layers; 39.7 % / 17.7 % top-1 / top-5 error on ILSVRC-2013's
    validation set with one net.

    The paper leaves open, and this is AlexNet's: filters of 11 x 11 with stride 4, 5 x 5, and three times 3 x 3;
    padding 2, 2, 1, 1, 1 (AlexNet's maps of 55 x 55 from 224 x 224 need the first 2); rectifiers; response
    normalisation over 5 channels, k = 2, alpha = 1e-4, beta = 0.75, after the first two rectifiers (torch divides
    alpha by the window, hence 5e-4); 3 x 3 max-pools with stride 2 after those and after the last convolution;
    weights of standard deviation 0.01, biases 1 in conv2, conv4, conv5, fc6, fc7 and else 0.  Chosen here: no
    groups, as narrow layers need none; a mean pixel for the mean image; Caffe's channel order and names.

    Its weights were never released; ``vgg-f`` has the same widths and was trained by the same group.
    """
    layers = [
        *_conv_lrn_pool(1, Conv2d(3, 64, 11, stride=4, padding=2)),
        *_conv_lrn_pool(2, Conv2d(64, 256, 5, padding=2)),
        ("conv3", Conv2d(256, 256, 3, padding=1)),
        ("relu3", ReLU()),
        ("conv4", Conv2d(256, 256, 3, padding=1)),
        ("relu4", ReLU()),
        ("conv5", Conv2d(256, 256, 3, padding=1)),
        ("relu5", ReLU()),
        ("pool5", MaxPool2d(3, stride=2)),
        *full_layers(9216, num_classes),
    ]
    draw = gaussian(0.01, 1.0, ("conv2", "conv4", "conv5", "fc6", "fc7"))
    return Architecture(layers, (3, 224, 224), caffe_preprocess(224, CAFFE_MEAN), draw)


def _conv_lrn_pool(number: int, conv: Conv2d) -> NamedLayers:
    return [
        (f"conv{number}", conv),
        (f"relu{number}", ReLU()),
        (f"norm{number}", LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)),
        (f"pool{number}", MaxPool2d(3, stride=2)),
    ]
