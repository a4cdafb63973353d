"""Inception-v3 (Szegedy et al. 2016), torchvision's names."""

from __future__ import annotations

from typing import Any

from minicnn.layers import AvgPool2d, Cat, Concat, Conv2d, Dropout, Layer, Linear, MaxPool2d
from minicnn.layers.sequence import NamedLayers
from minicnn.zoo.architecture import Architecture
from minicnn.zoo.torchvision.googlenet import basic_conv, inception_preprocess, truncated_normal
from minicnn.zoo.torchvision.units import global_mean

__all__ = ["inception_v3"]

AUXILIARY = tuple(f"AuxLogits.{name}" for name in ("conv0.conv", "conv0.bn", "conv1.conv", "conv1.bn", "fc"))
ROW, COLUMN = (1, 7), (7, 1)


def inception_v3(num_classes: int = 1000) -> Architecture:
    """Inception-v3: a stem, eleven modules of branches side by side, global mean, one full layer.

    Its published weights were trained on (v - 0.5) / 0.5, which torchvision's ``transform_input`` makes of its
    usual input, here the preprocessing.  The auxiliary classifier, of training alone, is left out.  Weights are
    drawn with deviation 0.1.
    """
    layers: NamedLayers = [
        *basic_conv("Conv2d_1a_3x3", Conv2d(3, 32, 3, stride=2, bias=False)),
        *basic_conv("Conv2d_2a_3x3", Conv2d(32, 32, 3, bias=False)),
        *basic_conv("Conv2d_2b_3x3", Conv2d(32, 64, 3, padding=1, bias=False)),
        ("maxpool1", MaxPool2d(3, stride=2)),
        *basic_conv("Conv2d_3b_1x1", Conv2d(64, 80, 1, bias=False)),
        *basic_conv("Conv2d_4a_3x3", Conv2d(80, 192, 3, bias=False)),
        ("maxpool2", MaxPool2d(3, stride=2)),
        ("Mixed_5b", _module_a(192, 32)),
        ("Mixed_5c", _module_a(256, 64)),
        ("Mixed_5d", _module_a(288, 64)),
        ("Mixed_6a", _module_b(288)),
        *(
            (f"Mixed_6{letter}", _module_c(width))
            for letter, width in zip("bcde", (128, 160, 160, 192), strict=True)
        ),
        ("Mixed_7a", _module_d()),
        ("Mixed_7b", _module_e(1280)),
        ("Mixed_7c", _module_e(2048)),
        *global_mean(),
        ("dropout", Dropout()),
        ("fc", Linear(2048, num_classes)),
    ]
    return Architecture(layers, (3, 299, 299), inception_preprocess(299, 342), truncated_normal(0.1), AUXILIARY)


def _module_a(channels: int, pooled: int) -> Concat:
    return Concat(
        _chain(channels, ("branch1x1", 64, 1)),
        _chain(channels, ("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)),
        _chain(channels, ("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)),
        [("avgpool", _mean()), *_chain(channels, ("branch_pool", pooled, 1))],
    )


def _module_b(channels: int) -> Concat:
    last = Conv2d(96, 96, 3, stride=2, bias=False)
    return Concat(
        basic_conv("branch3x3", Conv2d(channels, 384, 3, stride=2, bias=False)),
        [
            *_chain(channels, ("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3)),
            *basic_conv("branch3x3dbl_3", last),
        ],
        [("maxpool", MaxPool2d(3, stride=2))],
    )


def _module_c(width: int) -> Concat:
    doubled = [width, width, width, width, 192]
    kernels = [1, COLUMN, ROW, COLUMN, ROW]
    plan = zip(doubled, kernels, strict=True)
    return Concat(
        _chain(768, ("branch1x1", 192, 1)),
        _chain(768, ("branch7x7_1", width, 1), ("branch7x7_2", width, ROW), ("branch7x7_3", 192, COLUMN)),
        _chain(768, *((f"branch7x7dbl_{i}", out, kernel) for i, (out, kernel) in enumerate(plan, start=1))),
        [("avgpool", _mean()), *_chain(768, ("branch_pool", 192, 1))],
    )


def _module_d() -> Concat:
    long = (("branch7x7x3_1", 192, 1), ("branch7x7x3_2", 192, ROW), ("branch7x7x3_3", 192, COLUMN))
    return Concat(
        [
            *_chain(768, ("branch3x3_1", 192, 1)),
            *basic_conv("branch3x3_2", Conv2d(192, 320, 3, stride=2, bias=False)),
        ],
        [*_chain(768, *long), *basic_conv("branch7x7x3_4", Conv2d(192, 192, 3, stride=2, bias=False))],
        [("maxpool", MaxPool2d(3, stride=2))],
    )


def _module_e(channels: int) -> Concat:
    return Concat(
        _chain(channels, ("branch1x1", 320, 1)),
        [*_chain(channels, ("branch3x3_1", 384, 1)), *_fork("branch3x3", "1", "2")],
        [
            *_chain(channels, ("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3)),
            *_fork("branch3x3dbl", "2", "3"),
        ],
        [("avgpool", _mean()), *_chain(channels, ("branch_pool", 192, 1))],
    )


def _fork(name: str, before: str, number: str) -> NamedLayers:
    """1 x 3 and 3 x 1 filters on the same maps, side by side."""
    fork: NamedLayers = []
    for letter, kernel in (("a", (1, 3)), ("b", (3, 1))):
        (first, conv), *rest = _chain(384, (f"{name}_{number}{letter}", 384, kernel))
        fork += [(first, conv.reading(f"{name}_{before}.relu")), *rest]
    ends = (f"{name}_{number}a.relu", f"{name}_{number}b.relu")
    return [*fork, (name, Cat(inputs=ends))]


def _chain(channels: int, *convs: tuple[str, int, Any]) -> NamedLayers:
    """Convolutions one after the other, each (name, filters, kernel size), padded to keep the maps' size."""
    layers: NamedLayers = []
    for name, out, kernel in convs:
        padding = kernel // 2 if isinstance(kernel, int) else (kernel[0] // 2, kernel[1] // 2)
        layers += basic_conv(name, Conv2d(channels, out, kernel, padding=padding, bias=False))
        channels = out
    return layers


def _mean() -> Layer:
    return AvgPool2d(3, stride=1, padding=1)
