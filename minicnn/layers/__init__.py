"""Layers: parameters and geometry, named as in torch.nn; the maths is a call to the kernels they are handed."""

from minicnn.layers.activation import LeakyReLU, LogSoftmax, PReLU, ReLU, ReLU6, Softmax, Tanh
from minicnn.layers.base import Keep, Kind, Layer
from minicnn.layers.blocks import Concat, Residual, Sequential
from minicnn.layers.convolution import Conv2d, ConvTranspose2d
from minicnn.layers.dropout import Dropout
from minicnn.layers.linear import Linear
from minicnn.layers.normalisation import BatchNorm2d, LocalResponseNorm
from minicnn.layers.pooling import AvgPool2d, GlobalAvgPool2d, MaxPool2d, ZeroPad2d
from minicnn.layers.shape_ops import Flatten, Permute, Reshape

__all__ = [
    "AvgPool2d",
    "BatchNorm2d",
    "Concat",
    "Conv2d",
    "ConvTranspose2d",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2d",
    "Keep",
    "Kind",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LogSoftmax",
    "MaxPool2d",
    "PReLU",
    "Permute",
    "ReLU",
    "ReLU6",
    "Reshape",
    "Residual",
    "Sequential",
    "Softmax",
    "Tanh",
    "ZeroPad2d",
]
