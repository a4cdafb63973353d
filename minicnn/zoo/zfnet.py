"""ZFNet (Zeiler, Fergus 2013, section 3 and figure 3): AlexNet with smaller filters and strides below."""

from __future__ import annotations

from minicnn.layers import Conv2d, LocalResponseNorm, MaxPool2d, ReLU
from minicnn.zoo.alexnet import full_layers, gaussian
from minicnn.zoo.architecture import Architecture
from minicnn.zoo.inputs import CAFFE_MEAN, caffe_preprocess

__all__ = ["zfnet"]


def zfnet(num_classes: int = 1000) -> Architecture:
    """ZFNet in one tower, Caffe's layer names: 7 x 7 filters with stride 2, then 5 x 5 with stride 2, then 3 x 3.

    Figure 3 gives the sizes 110, 55, 26, 13, 13, 13, 6 of the maps, which fix the padding: 1 in conv1, none in
    conv2, and pools that round up.  The paper leaves the constants of its contrast normalisation open (here
    AlexNet's) and the input's channel order (here Caffe's).  Weights are drawn with standard deviation 0.01,
    biases 0.
    """
    layers = [
        ("conv1", Conv2d(3, 96, 7, stride=2, padding=1)),
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(3, stride=2, ceil_mode=True)),
        ("norm1", LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)),
        ("conv2", Conv2d(96, 256, 5, stride=2)),
        ("relu2", ReLU()),
        ("pool2", MaxPool2d(3, stride=2, ceil_mode=True)),
        ("norm2", LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)),
        ("conv3", Conv2d(256, 384, 3, padding=1)),
        ("relu3", ReLU()),
        ("conv4", Conv2d(384, 384, 3, padding=1)),
        ("relu4", ReLU()),
        ("conv5", Conv2d(384, 256, 3, padding=1)),
        ("relu5", ReLU()),
        ("pool5", MaxPool2d(3, stride=2, ceil_mode=True)),
        *full_layers(9216, num_classes),
    ]
    return Architecture(layers, (3, 224, 224), caffe_preprocess(224, CAFFE_MEAN), gaussian(0.01))
