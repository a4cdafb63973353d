"""Architectures of torchvision.models under its names, one file a family; the earlier ones lie one folder up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from minicnn.zoo.architecture import Architecture
from minicnn.zoo.resnet import resnet
from minicnn.zoo.torchvision.convnext import SIZES as CONVNEXTS
from minicnn.zoo.torchvision.convnext import convnext
from minicnn.zoo.torchvision.densenet import densenet
from minicnn.zoo.torchvision.efficientnet import SIZES as EFFICIENTNETS
from minicnn.zoo.torchvision.efficientnet import efficientnet
from minicnn.zoo.torchvision.googlenet import googlenet
from minicnn.zoo.torchvision.inception import inception_v3
from minicnn.zoo.torchvision.mnasnet import mnasnet
from minicnn.zoo.torchvision.mobilenet_v2 import mobilenet_v2
from minicnn.zoo.torchvision.mobilenet_v3 import mobilenet_v3
from minicnn.zoo.torchvision.regnet import SIZES as REGNETS
from minicnn.zoo.torchvision.regnet import regnet
from minicnn.zoo.torchvision.shufflenet import SIZES as SHUFFLENETS
from minicnn.zoo.torchvision.shufflenet import shufflenet

__all__ = ["TORCHVISION"]

TORCHVISION: dict[str, Callable[..., Architecture]] = {
    **{f"resnet{depth}": partial(resnet, depth) for depth in (18, 34, 50, 101, 152)},
    "resnext50_32x4d": partial(resnet, 50, groups=32, group_width=4),
    "resnext101_32x8d": partial(resnet, 101, groups=32, group_width=8),
    "resnext101_64x4d": partial(resnet, 101, groups=64, group_width=4, resize=232),
    "wide_resnet50_2": partial(resnet, 50, group_width=128),
    "wide_resnet101_2": partial(resnet, 101, group_width=128),
    **{f"densenet{depth}": partial(densenet, depth) for depth in (121, 161, 169, 201)},
    **{f"convnext_{size}": partial(convnext, size) for size in CONVNEXTS},
    "googlenet": googlenet,
    "inception_v3": inception_v3,
    **{f"efficientnet_{size}": partial(efficientnet, size) for size in EFFICIENTNETS},
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3_small": partial(mobilenet_v3, "small"),
    "mobilenet_v3_large": partial(mobilenet_v3, "large"),
    "mnasnet0_5": partial(mnasnet, 0.5),
    "mnasnet0_75": partial(mnasnet, 0.75, resize=232),
    "mnasnet1_0": partial(mnasnet, 1.0),
    "mnasnet1_3": partial(mnasnet, 1.3, resize=232),
    **{f"regnet_{size}": partial(regnet, size) for size in REGNETS},
    **{f"shufflenet_v2_{size}": partial(shufflenet, size) for size in SHUFFLENETS},
}
