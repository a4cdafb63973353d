"""The three nets of MTCNN, a face detector (Zhang et al. 2016), with the names of the package facenet-pytorch.

Each ends in parallel heads: is this a face, where is its box, and (the third net) where are its landmarks.  A
network here is a list with one result, so each head is a network of its own on the same trunk: ``head="score"``
has the two scores before the softmax, "not a face" and "a face"; ``"box"`` four offsets of the box's sides, in
box widths and heights; ``"landmarks"`` the x and then the y of eyes, nose and mouth corners.  One file loads into
each, its other heads left out.
"""

from __future__ import annotations

from minicnn.images import Preprocess
from minicnn.layers import Conv2d, Flatten, Linear, MaxPool2d, Permute, PReLU
from minicnn.layers.sequence import NamedLayers
from minicnn.zoo.architecture import Architecture

__all__ = ["onet", "pnet", "rnet"]

OUTPUTS = {"score": 2, "box": 4, "landmarks": 10}


def pnet(num_classes: int | None = None, head: str = "score") -> Architecture:
    """P-Net, the proposals: three 3 x 3 convolutions and the head, on 12 x 12 pixels."""
    layers = [
        *_conv_prelu(1, Conv2d(3, 10, 3)),
        ("pool1", MaxPool2d(2, stride=2, ceil_mode=True)),
        *_conv_prelu(2, Conv2d(10, 16, 3)),
        *_conv_prelu(3, Conv2d(16, 32, 3)),
    ]
    heads = {"score": "conv4_1", "box": "conv4_2"}
    layers += [(heads[head], Conv2d(32, num_classes or OUTPUTS[head], 1)), ("flatten", Flatten())]
    return _architecture(layers, 12, heads, head)


def rnet(num_classes: int | None = None, head: str = "score") -> Architecture:
    """R-Net, the refinement: three convolutions, a full layer and the head, on 24 x 24 pixels."""
    layers = [
        *_conv_prelu(1, Conv2d(3, 28, 3)),
        ("pool1", MaxPool2d(3, stride=2, ceil_mode=True)),
        *_conv_prelu(2, Conv2d(28, 48, 3)),
        ("pool2", MaxPool2d(3, stride=2, ceil_mode=True)),
        *_conv_prelu(3, Conv2d(48, 64, 2)),
        *_linear_prelu(4, 64 * 3 * 3, 128),
    ]
    heads = {"score": "dense5_1", "box": "dense5_2"}
    layers.append((heads[head], Linear(128, num_classes or OUTPUTS[head])))
    return _architecture(layers, 24, heads, head)


def onet(num_classes: int | None = None, head: str = "score") -> Architecture:
    """O-Net, the output: four convolutions, a full layer and the head, on 48 x 48 pixels."""
    layers = [
        *_conv_prelu(1, Conv2d(3, 32, 3)),
        ("pool1", MaxPool2d(3, stride=2, ceil_mode=True)),
        *_conv_prelu(2, Conv2d(32, 64, 3)),
        ("pool2", MaxPool2d(3, stride=2, ceil_mode=True)),
        *_conv_prelu(3, Conv2d(64, 64, 3)),
        ("pool3", MaxPool2d(2, stride=2, ceil_mode=True)),
        *_conv_prelu(4, Conv2d(64, 128, 2)),
        *_linear_prelu(5, 128 * 3 * 3, 256),
    ]
    heads = {"score": "dense6_1", "box": "dense6_2", "landmarks": "dense6_3"}
    layers.append((heads[head], Linear(256, num_classes or OUTPUTS[head])))
    return _architecture(layers, 48, heads, head)


def _conv_prelu(number: int, conv: Conv2d) -> NamedLayers:
    return [(f"conv{number}", conv), (f"prelu{number}", PReLU(conv.out_channels))]


def _linear_prelu(number: int, features: int, out: int) -> NamedLayers:
    """Fully connected layer on maps flattened as W, H, C, as the framework that the weights come from has them."""
    return [
        ("permute", Permute((2, 1, 0))),
        ("flatten", Flatten()),
        (f"dense{number}", Linear(features, out)),
        (f"prelu{number}", PReLU(out)),
    ]


def _architecture(layers: NamedLayers, size: int, heads: dict[str, str], head: str) -> Architecture:
    preprocess = Preprocess((size, size), scale=1.0, mean=(127.5,) * 3, std=(128.0,) * 3)
    unused = tuple(name for other, name in heads.items() if other != head)
    return Architecture(layers, (3, size, size), preprocess, unused=unused)
