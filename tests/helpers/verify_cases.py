"""Layers and networks for the check of gradients: one of each kind by name, and as many random ones as wanted."""

import numpy as np

from minicnn import layers
from minicnn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    LogSoftmax,
    MaxPool2d,
    Permute,
    PReLU,
    ReLU,
    ReLU6,
    Reshape,
    Residual,
    Sequential,
    Softmax,
    Tanh,
    ZeroPad2d,
)
from minicnn.shapes import span

MAPS = (2, 4, 6, 7)
NEGATIVE = np.array([-0.5, 0.2, -2.0, 1.5])

LAYERS = {
    "Conv2d": (Conv2d(4, 6, (3, 2), stride=(2, 1), padding=((0, 1), (2, 1)), dilation=2, groups=2), MAPS),
    "Conv2d square": (Conv2d(4, 3, 3, padding=1), MAPS),
    "Conv2d strided": (Conv2d(4, 2, 3, stride=3), (2, 4, 7, 8)),
    "Conv2d same": (Conv2d(4, 2, 3, stride=2, padding="same", bias=False), MAPS),
    "Conv2d depthwise": (Conv2d(4, 4, 3, stride=2, groups=4, padding=1), MAPS),
    "ConvTranspose2d": (ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), MAPS),
    "Linear": (Linear(7, 5), (3, 7)),
    "Linear on maps": (Linear(7, 5), MAPS),
    "ZeroPad3d": (layers.ZeroPad3d((1, -1, 0, 2, 1, 3)), MAPS),
    "BatchNorm2d": (BatchNorm2d(4, eps=0.5), MAPS),
    "MaxPool2d": (MaxPool2d(3, 2, 1, ceil_mode=True), MAPS),
    "MaxPool2d dilated": (MaxPool2d(2, 1, dilation=2), MAPS),
    "AvgPool2d": (AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), MAPS),
    "GlobalAvgPool2d": (GlobalAvgPool2d(), MAPS),
    "ZeroPad2d": (ZeroPad2d((1, 2, 0, 3)), MAPS),
    "ConstantPad2d": (layers.ConstantPad2d((1, -2, 0, 3), 2.0), MAPS),
    "ReflectionPad2d": (layers.ReflectionPad2d((1, 2, -1, 3)), MAPS),
    "ReplicationPad2d": (layers.ReplicationPad2d((1, 2, -1, 3)), MAPS),
    "CircularPad2d": (layers.CircularPad2d((1, 2, -1, 3)), MAPS),
    "Upsample": (layers.Upsample((9, 4)), MAPS),
    "Upsample bilinear": (layers.Upsample(scale_factor=1.7, mode="bilinear"), MAPS),
    "Upsample bicubic": (layers.Upsample(scale_factor=(0.5, 2), mode="bicubic"), MAPS),
    "AdaptiveAvgPool2d": (layers.AdaptiveAvgPool2d((4, 3)), MAPS),
    "AdaptiveMaxPool2d": (layers.AdaptiveMaxPool2d((4, 3)), MAPS),
    "AdaptiveMaxPool2d to one": (layers.AdaptiveMaxPool2d(1), MAPS),
    "Amax": (layers.Amax((1, 3)), MAPS),
    "PixelShuffle": (layers.PixelShuffle(2), MAPS),
    "PixelUnshuffle": (layers.PixelUnshuffle(2), (2, 3, 4, 6)),
    "ChannelShuffle": (layers.ChannelShuffle(2), MAPS),
    "Slice": (layers.Slice(2, 1, None, 2), MAPS),
    "IndexSelect": (layers.IndexSelect(1, (3, 0, 0)), MAPS),
    "Expand": (layers.Expand((4, 2, -1)), (2, 1, 1, 5)),
    "Mean": (layers.Mean((1, 3)), MAPS),
    "Sum": (layers.Sum(2, keepdim=True), MAPS),
    "Flatten": (Flatten(), MAPS),
    "Permute": (Permute((1, 2, 0)), MAPS),
    "Reshape": (Reshape((6, 28)), MAPS),
    "Dropout": (Dropout(), MAPS),
    "ReLU": (ReLU(), MAPS),
    "ReLU6": (ReLU6(), MAPS),
    "LeakyReLU": (LeakyReLU(0.2), MAPS),
    "LeakyReLU flat": (LeakyReLU(0.0), MAPS),
    "PReLU": (PReLU(4, weight=NEGATIVE), MAPS),
    "PReLU shared": (PReLU(), MAPS),
    "Tanh": (Tanh(), MAPS),
    "LayerNorm": (layers.LayerNorm(7, eps=0.1), MAPS),
    "LayerNorm of all": (layers.LayerNorm((4, 6, 7), bias=False), MAPS),
    "LayerNorm2d": (layers.LayerNorm2d(4, eps=0.5), MAPS),
    "GroupNorm": (layers.GroupNorm(2, 4), MAPS),
    "InstanceNorm2d": (layers.InstanceNorm2d(4, affine=True), MAPS),
    "RMSNorm": (layers.RMSNorm(7, eps=0.1), MAPS),
    "Scale": (layers.Scale((4, 1, 1)), MAPS),
    "Scale of rows": (layers.Scale((6, 7), bias=False), MAPS),
    "GELU tanh": (layers.GELU("tanh"), MAPS),
    "GELU": (layers.GELU(), MAPS),
    "ELU bent": (layers.ELU(0.5), MAPS),
    "ELU": (layers.ELU(), MAPS),
    "Hardtanh rectifier": (layers.Hardtanh(0.0, 1.5), MAPS),
    "Hardtanh": (layers.Hardtanh(), MAPS),
    "Log of a gate": (Sequential([layers.Hardsigmoid(0.02), layers.Log()]), MAPS),
    "Pow of a gate": (Sequential([layers.Hardsigmoid(0.02), layers.Pow(-0.75)]), MAPS),
    "Pow": (layers.Pow(2.0), MAPS),
    "LocalResponseNorm": (LocalResponseNorm(3, alpha=0.5, k=2.0), MAPS),
    "Softmax": (Softmax(), (2, 9)),
    "LogSoftmax": (LogSoftmax(), (2, 9)),
    "Sequential": (Sequential([Conv2d(4, 3, 3), ReLU(), MaxPool2d(2)]), MAPS),
    "Residual": (Residual([ReLU6(), Conv2d(4, 4, 3, padding=1)]), MAPS),
    "Residual before": (Residual([ReLU(), Conv2d(4, 4, 3, padding=1)]), MAPS),
    "Concat": (Concat([Conv2d(4, 3, 1)], [MaxPool2d(3, 1, 1), ReLU()], []), MAPS),
}
# layers of several inputs are checked in networks
JOINS = ("Add", "Cat", "Divide", "Maximum", "Minimum", "Multiply", "Subtract")
# layers that need no argument are checked without a line of their own
LAYERS |= {
    name: (getattr(layers, name)(), MAPS)
    for name in layers.__all__
    if name not in ("Keep", "Kind", "Layer", *JOINS, *(case.split()[0] for case in LAYERS))
}
NETWORKS = {
    "piecewise linear": [Conv2d(4, 8, 3), BatchNorm2d(8), ReLU(), MaxPool2d(2), Flatten(), Linear(32, 5)],
    "smooth": [Conv2d(4, 8, 3), ReLU(), LocalResponseNorm(3, alpha=1.0), Flatten(), Linear(160, 5), Softmax()],
}


def normal(shape, seed=0):
    """Standard normal values."""
    return np.random.default_rng(seed).standard_normal(shape)


# random configurations, all of which must pass


def random_case(rng):
    """A layer with random arguments, and an input: (layer, x)."""
    layer, shape = RANDOM[rng.integers(len(RANDOM))](rng)
    x = rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4)
    return layer.initialise(rng), x if rng.random() < 0.7 else np.round(x)


def number(rng, low=1, high=3):
    return int(rng.integers(low, high + 1))


def pair(rng, low=1, high=3):
    return number(rng, low, high), number(rng, low, high)


def maps(rng, channels=None):
    return number(rng), channels or number(rng, 1, 4), number(rng, 1, 7), number(rng, 1, 7)


def window(rng, dilated=True):
    """Arguments of a window, and a size that it fits."""
    kernel_size, stride, dilation = pair(rng), pair(rng), pair(rng) if dilated else (1, 1)
    spans = [span(k, d) for k, d in zip(kernel_size, dilation, strict=True)]
    padding = tuple((number(rng, 0, s - 1), number(rng, 0, s - 1)) for s in spans)
    size = [max(1, s - sum(sides)) + number(rng, 0, 5) for s, sides in zip(spans, padding, strict=True)]
    given = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
    return given if dilated else {k: v for k, v in given.items() if k != "dilation"}, tuple(size)


def convolution(rng):
    groups, (given, size) = number(rng), window(rng)
    c, k = groups * number(rng, 1, 2), groups * number(rng, 1, 2)
    return Conv2d(c, k, groups=groups, bias=bool(rng.integers(2)), **given), (number(rng), c, *size)


def transposed_convolution(rng):
    groups, kernel_size, stride = number(rng), pair(rng), pair(rng)
    c, k = groups * number(rng, 1, 2), groups * number(rng, 1, 2)
    extra = tuple(number(rng, 0, s - 1) for s in stride)
    layer = ConvTranspose2d(
        c,
        k,
        kernel_size,
        stride,
        output_padding=extra,
        groups=groups,
        dilation=pair(rng),
        bias=bool(rng.integers(2)),
    )
    return layer, (number(rng), c, number(rng, 1, 4), number(rng, 1, 4))


def max_pool(rng):
    given, size = window(rng)
    return MaxPool2d(**given, ceil_mode=bool(rng.integers(2))), (*pair(rng), *size)


def average_pool(rng):
    given, size = window(rng, dilated=False)
    flags = {"ceil_mode": bool(rng.integers(2)), "count_include_pad": bool(rng.integers(2))}
    return AvgPool2d(**given, **flags), (*pair(rng), *size)


def linear(rng):
    ins = number(rng, 1, 20)
    return Linear(ins, number(rng, 1, 9), bias=bool(rng.integers(2))), (number(rng), ins)


def batch_norm(rng):
    c = number(rng, 1, 4)
    arrays = {"running_mean": rng.standard_normal(c), "running_var": rng.random(c) + 0.01}
    layer = BatchNorm2d(c, eps=float(10.0 ** rng.integers(-5, 0)), affine=bool(rng.integers(2)), **arrays)
    return layer, maps(rng, c)


def local_response_norm(rng):
    layer = LocalResponseNorm(
        number(rng, 1, 5), float(rng.random()), float(rng.choice((0.5, 0.75, 1.0))), float(1 + rng.random())
    )
    return layer, maps(rng)


def prelu(rng):
    c = number(rng, 1, 4)
    return PReLU(c, weight=rng.standard_normal(c)), maps(rng, c)


def standardisation(rng):
    groups, shape = number(rng), maps(rng)
    n, c, h, w = shape[0], groups * number(rng), *shape[2:]
    kinds = (
        layers.LayerNorm(w if rng.integers(2) else (c, h, w), bias=bool(rng.integers(2))),
        layers.LayerNorm2d(c, affine=bool(rng.integers(2))),
        layers.GroupNorm(groups, c, eps=float(10.0 ** rng.integers(-5, 0))),
        layers.InstanceNorm2d(c, affine=True),
        layers.RMSNorm((h, w)),
        layers.Scale(((c, 1, 1), (h, w), (1,))[rng.integers(3)], bias=bool(rng.integers(2))),
    )
    layer = kinds[rng.integers(len(kinds))]
    drawn = {name: rng.standard_normal(shape) for name, shape in layer.parameter_shapes().items()}
    return layer.with_state(drawn), (n, c, h, w)


def activation(rng):
    """A function of each value that is finite everywhere."""
    names = "CELU ELU Erf GELU Hardswish LogSigmoid Mish SELU SiLU Sigmoid Softplus Softsign Threshold Abs Pow"
    return getattr(layers, str(rng.choice(names.split())))()


def block(rng):
    c, rectifier = number(rng, 1, 4), (ReLU(), ReLU6(), Tanh(), LeakyReLU(0.1))[rng.integers(4)]
    body = [Conv2d(c, c, 3, padding=1), rectifier]
    kinds = (
        Sequential([*body, MaxPool2d(2, 1, 1)]),
        Residual(body, [Conv2d(c, c, 1)] if rng.integers(2) else []),
        Concat(body, [MaxPool2d(3, 1, 1)], []),
        Residual([Residual(body), LocalResponseNorm(3, alpha=0.1)]),
    )
    return kinds[rng.integers(len(kinds))], (number(rng), c, number(rng, 2, 6), number(rng, 2, 6))


RANDOM = [
    convolution,
    convolution,
    transposed_convolution,
    max_pool,
    max_pool,
    average_pool,
    linear,
    batch_norm,
    local_response_norm,
    prelu,
    block,
    block,
    lambda rng: (ReLU(), maps(rng)),
    lambda rng: (ReLU6(), maps(rng)),
    lambda rng: (LeakyReLU(float(rng.standard_normal())), maps(rng)),
    lambda rng: (Tanh(), maps(rng)),
    lambda rng: (activation(rng), maps(rng)),
    standardisation,
    standardisation,
    lambda rng: (layers.Hardtanh(float(-rng.random()), float(rng.random())), maps(rng)),
    lambda rng: (layers.Hardsigmoid(float(rng.random()), float(rng.random())), maps(rng)),
    lambda rng: (Softmax(), maps(rng)[:2]),
    lambda rng: (LogSoftmax(), maps(rng)[:2]),
    lambda rng: (GlobalAvgPool2d(), maps(rng)),
    lambda rng: (ZeroPad2d((*pair(rng, 0, 2), *pair(rng, 0, 2))), maps(rng)),
    lambda rng: (Flatten(), maps(rng)),
    lambda rng: (Permute(tuple(int(a) for a in rng.permutation(3))), maps(rng)),
    lambda rng: (Dropout(), maps(rng)),
]
