"""Layers: parameters and geometry, named as in torch.nn; the maths is a call to the kernels they are handed."""

from typing import TYPE_CHECKING

from minicnn._utils.lazy import import_on_use

if TYPE_CHECKING:
    from minicnn.layers.activation import Hardtanh, LeakyReLU, LogSoftmax, PReLU, ReLU, ReLU6, Softmax, Tanh
    from minicnn.layers.base import Keep, Kind, Layer
    from minicnn.layers.blocks import Concat, Residual, Sequential
    from minicnn.layers.convolution import Conv2d, ConvTranspose2d
    from minicnn.layers.dropout import Dropout
    from minicnn.layers.elementary import Abs, Erf, Exp, Hardsigmoid, Log, LogSigmoid, Pow, Sigmoid
    from minicnn.layers.joins import Add, Cat, Divide, Maximum, Minimum, Multiply, Subtract
    from minicnn.layers.layer_norm import GroupNorm, InstanceNorm2d, LayerNorm, LayerNorm2d, RMSNorm
    from minicnn.layers.linear import Linear
    from minicnn.layers.normalisation import BatchNorm2d, LocalResponseNorm
    from minicnn.layers.pointwise import (
        CELU,
        ELU,
        GELU,
        SELU,
        Hardswish,
        Mish,
        SiLU,
        Softplus,
        Softsign,
        Threshold,
    )
    from minicnn.layers.pooling import AvgPool2d, GlobalAvgPool2d, MaxPool2d
    from minicnn.layers.resampling.maximum import AdaptiveMaxPool2d, Amax
    from minicnn.layers.resampling.padding import (
        CircularPad2d,
        ConstantPad2d,
        ReflectionPad2d,
        ReplicationPad2d,
        ZeroPad2d,
        ZeroPad3d,
    )
    from minicnn.layers.resampling.reduction import AdaptiveAvgPool2d, Mean, Sum
    from minicnn.layers.resampling.selection import Expand, IndexSelect, Slice
    from minicnn.layers.resampling.shuffle import ChannelShuffle, PixelShuffle, PixelUnshuffle
    from minicnn.layers.resampling.upsample import Upsample
    from minicnn.layers.scale import Scale
    from minicnn.layers.shape_ops import Flatten, Permute, Reshape

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "SELU",
    "Abs",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "Add",
    "Amax",
    "AvgPool2d",
    "BatchNorm2d",
    "Cat",
    "ChannelShuffle",
    "CircularPad2d",
    "Concat",
    "ConstantPad2d",
    "Conv2d",
    "ConvTranspose2d",
    "Divide",
    "Dropout",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "GlobalAvgPool2d",
    "GroupNorm",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "IndexSelect",
    "InstanceNorm2d",
    "Keep",
    "Kind",
    "Layer",
    "LayerNorm",
    "LayerNorm2d",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "Log",
    "LogSigmoid",
    "LogSoftmax",
    "MaxPool2d",
    "Maximum",
    "Mean",
    "Minimum",
    "Mish",
    "Multiply",
    "PReLU",
    "Permute",
    "PixelShuffle",
    "PixelUnshuffle",
    "Pow",
    "RMSNorm",
    "ReLU",
    "ReLU6",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "Reshape",
    "Residual",
    "Scale",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "Softsign",
    "Subtract",
    "Sum",
    "Tanh",
    "Threshold",
    "Upsample",
    "ZeroPad2d",
    "ZeroPad3d",
]

import_on_use(
    __name__,
    {
        "activation": "Hardtanh LeakyReLU LogSoftmax PReLU ReLU ReLU6 Softmax Tanh",
        "base": "Keep Kind Layer",
        "blocks": "Concat Residual Sequential",
        "convolution": "Conv2d ConvTranspose2d",
        "dropout": "Dropout",
        "elementary": "Abs Erf Exp Hardsigmoid Log LogSigmoid Pow Sigmoid",
        "joins": "Add Cat Divide Maximum Minimum Multiply Subtract",
        "layer_norm": "GroupNorm InstanceNorm2d LayerNorm LayerNorm2d RMSNorm",
        "linear": "Linear",
        "normalisation": "BatchNorm2d LocalResponseNorm",
        "pointwise": "CELU ELU GELU SELU Hardswish Mish SiLU Softplus Softsign Threshold",
        "pooling": "AvgPool2d GlobalAvgPool2d MaxPool2d",
        "resampling.maximum": "AdaptiveMaxPool2d Amax",
        "resampling.padding": "CircularPad2d ConstantPad2d ReflectionPad2d ReplicationPad2d ZeroPad2d ZeroPad3d",
        "resampling.reduction": "AdaptiveAvgPool2d Mean Sum",
        "resampling.selection": "Expand IndexSelect Slice",
        "resampling.shuffle": "ChannelShuffle PixelShuffle PixelUnshuffle",
        "resampling.upsample": "Upsample",
        "scale": "Scale",
        "shape_ops": "Flatten Permute Reshape",
    },
)
