"""Layers: parameters and geometry, named as in torch.nn; the maths is a call to the kernels they are handed."""

from minicnn.layers.activation import LeakyReLU, PReLU, ReLU, ReLU6, Softmax
from minicnn.layers.base import Keep, Layer
from minicnn.layers.blocks import Residual, Sequential
from minicnn.layers.convolution import Conv2d, ConvTranspose2d
from minicnn.layers.linear import Dropout, Flatten, Linear
from minicnn.layers.normalisation import BatchNorm2d, LocalResponseNorm
from minicnn.layers.pooling import AvgPool2d, GlobalAvgPool2d, MaxPool2d, ZeroPad2d

__all__ = [
    "AvgPool2d",
    "BatchNorm2d",
    "Conv2d",
    "ConvTranspose2d",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2d",
    "Keep",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "MaxPool2d",
    "PReLU",
    "ReLU",
    "ReLU6",
    "Residual",
    "Sequential",
    "Softmax",
    "ZeroPad2d",
]
