"""Architectures by name, one file a family: what a state dictionary, which holds weights alone, is loaded into."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from minicnn._utils.suggest import did_you_mean
from minicnn.errors import MinicnnError
from minicnn.network import Network
from minicnn.zoo.alexnet import alexnet, alexnet_caffe, caffenet
from minicnn.zoo.architecture import Architecture
from minicnn.zoo.deep_inside import paper
from minicnn.zoo.digits import digits
from minicnn.zoo.efficientnet import efficientnet_lite0
from minicnn.zoo.fashion import fashion
from minicnn.zoo.hed import hed_trunk
from minicnn.zoo.initialisation import draw_parameters
from minicnn.zoo.lenet import lenet5
from minicnn.zoo.mtcnn import onet, pnet, rnet
from minicnn.zoo.squeezenet import squeezenet
from minicnn.zoo.torchvision import TORCHVISION
from minicnn.zoo.vgg import DEPTHS, vgg
from minicnn.zoo.vgg_cnn import vgg_f, vgg_m, vgg_s
from minicnn.zoo.zfnet import zfnet

__all__ = ["ARCHITECTURES", "Architecture", "architecture", "build"]

ARCHITECTURES: dict[str, Callable[..., Architecture]] = {
    "digits": digits,
    "fashion": fashion,
    "lenet5": lenet5,
    "alexnet": alexnet,
    "alexnet-caffe": alexnet_caffe,
    "caffenet": caffenet,
    "zfnet": zfnet,
    "paper": paper,
    "vgg-f": vgg_f,
    "vgg-m": vgg_m,
    "vgg-s": vgg_s,
    **{f"vgg{depth}{suffix}": partial(vgg, depth, suffix == "_bn") for depth in DEPTHS for suffix in ("", "_bn")},
    "squeezenet1_0": partial(squeezenet, "1.0"),
    "squeezenet1_1": partial(squeezenet, "1.1"),
    **TORCHVISION,
    "efficientnet-lite0": efficientnet_lite0,
    "mtcnn-pnet": pnet,
    "mtcnn-pnet-box": partial(pnet, head="box"),
    "mtcnn-rnet": rnet,
    "mtcnn-rnet-box": partial(rnet, head="box"),
    "mtcnn-onet": onet,
    "mtcnn-onet-box": partial(onet, head="box"),
    "mtcnn-onet-landmarks": partial(onet, head="landmarks"),
    "hed-vgg16": hed_trunk,
}


def architecture(name: str, num_classes: int | None = None) -> Architecture:
    """Return layers, input shape and preprocessing of an architecture, its weights unset.

    Parameters
    ----------
    name : str, one of ``ARCHITECTURES``
    num_classes : int, optional
        Number of scores; the published one unless given.

    Raises
    ------
    MinicnnError
        If no architecture has that name (the nearest names are in the message), or it has no class scores.

    See Also
    --------
    build : a network of it, with random weights
    minicnn.load : a network of it, with weights from a file

    Examples
    --------
    >>> from minicnn import zoo
    >>> zoo.architecture("vgg16").input_shape
    (3, 224, 224)
    >>> zoo.architecture("resnet18", num_classes=10).layers[-1]
    ('fc', Linear(in_features=512, out_features=10, bias=True))

    """
    if name not in ARCHITECTURES:
        raise MinicnnError(f"unknown architecture {name!r}; {did_you_mean(name, ARCHITECTURES)}")
    if num_classes is None:
        return ARCHITECTURES[name]()
    if name == "hed-vgg16":
        raise MinicnnError("hed-vgg16: ends in feature maps and has no class scores; leave num_classes out")
    if not isinstance(num_classes, int) or num_classes < 1:
        raise MinicnnError(f"num_classes: expected a whole number of at least 1, got {num_classes!r}")
    return ARCHITECTURES[name](num_classes)


def build(name: str, num_classes: int | None = None, seed: int = 0) -> Network:
    """Return a network of that architecture with random weights, drawn from ``seed`` as its authors drew them.

    Parameters
    ----------
    name : str, one of ``ARCHITECTURES``
    num_classes : int, optional
        Number of scores; the published one unless given.
    seed : int

    Raises
    ------
    MinicnnError
        As ``architecture``.

    Examples
    --------
    >>> from minicnn import zoo
    >>> zoo.build("lenet5")
    <Network lenet5: 16 layers, 61,750 parameters, on reference>

    """
    layers, input_shape, preprocess, draw, *_ = architecture(name, num_classes)
    if draw is not None:
        layers = draw_parameters(layers, np.random.default_rng(seed), draw)
    return Network(layers, input_shape, preprocess, seed=seed, name=name)
