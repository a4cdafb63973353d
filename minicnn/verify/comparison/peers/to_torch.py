"""A network of ours translated into torch.nn, layer by layer: the same maths by other people.  Needs torch."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
from torch import nn

from minicnn import layers
from minicnn.errors import MinicnnError
from minicnn.layers import Layer, sequence
from minicnn.network import Network
from minicnn.shapes import span

__all__ = ["to_torch"]

Shape = tuple[int, ...]
TAIL = 64  # more rows than a window has past the end


def to_torch(net: Network) -> nn.Module:
    """Return the network as a torch module with its weights; submodules have the layers' names, / for a dot.

    Raises
    ------
    MinicnnError
        If the network has no input_shape, or a layer that torch has not.

    """
    if net.input_shape is None:
        raise MinicnnError(f"{net.name}: has no input_shape, so that it can't be translated into torch")
    return _chain(net.named_layers, net.input_shape).eval()


class Sum(nn.Module):
    """y = body(x) + shortcut(x)."""

    def __init__(self, body: nn.Module, shortcut: nn.Module):
        super().__init__()
        _adopt(self, body, shortcut)

    def forward(self, x):
        """Add."""
        body, shortcut = self.parts
        return _through(self, body, x) + _through(self, shortcut, x)


class SideBySide(nn.Module):
    """Outputs of several parts along the channels."""

    def __init__(self, *parts: nn.Module):
        super().__init__()
        _adopt(self, *parts)

    def forward(self, x):
        """Concatenate."""
        return torch.cat([_through(self, part, x) for part in self.parts], dim=1)


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        """Call it."""
        return self.function(x)


def _adopt(module: nn.Module, *parts: nn.Module) -> None:
    """Make the parts' children the module's own, as our names have them."""
    module.parts = [list(dict(part.named_children())) for part in parts]
    for part in parts:
        for name, child in part.named_children():
            module.add_module(name, child)


def _through(module: nn.Module, names: list[str], x):
    for name in names:
        x = module.get_submodule(name)(x)
    return x


def _chain(steps: sequence.NamedLayers, shape: Shape) -> nn.Sequential:
    found = [
        (name.replace(".", "/"), _module(layer, s, out)) for name, layer, s, out in sequence.shapes(steps, shape)
    ]
    return nn.Sequential(OrderedDict(found))


def _module(layer: Layer, shape: Shape, out: Shape) -> nn.Module:
    make = _MODULES.get(type(layer))
    if make is None:
        raise MinicnnError(f"{layer!r}: can't be translated into torch")
    module = make(layer, shape, out)
    state = {name: torch.from_numpy(np.array(a)) for name, a in layer.state().items()}
    if state and not layer.branches():
        own = module[-1] if isinstance(module, nn.Sequential) else module
        own.load_state_dict({n: a.float() for n, a in state.items()}, strict=False)
    return module


def _conv(layer: layers.Conv2d, shape: Shape, out: Shape) -> nn.Module:
    geometry = layer.geometry(shape[1:])
    (top, bottom), (left, right) = geometry["padding"]
    even = (top, left) == (bottom, right)
    module = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        (top, left) if even else 0,
        layer.dilation,
        layer.groups,
        layer.bias is not None,
    )
    return module if even else nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), module)


def _conv_transpose(layer: layers.ConvTranspose2d, shape: Shape, out: Shape) -> nn.Module:
    (top, bottom), (left, right) = layer.padding
    if (top, left) != (bottom, right):
        raise MinicnnError(f"{layer!r}: torch has no padding that differs from side to side here")
    return nn.ConvTranspose2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        (top, left),
        layer.output_padding,
        layer.groups,
        layer.bias is not None,
        layer.dilation,
    )


def _fits(layer: layers.MaxPool2d | layers.AvgPool2d) -> bool:
    """Return whether torch pads a pool like this: evenly, by no more than half of the window."""
    (top, bottom), (left, right) = layer.padding
    return (top, left) == (bottom, right) and 2 * top <= layer.kernel_size[0] and 2 * left <= layer.kernel_size[1]


def _max_pool(layer: layers.MaxPool2d, shape: Shape, out: Shape) -> nn.Module:
    (top, _), (left, _) = layer.padding
    if _fits(layer):
        padding = top, left
        return nn.MaxPool2d(layer.kernel_size, layer.stride, padding, layer.dilation, ceil_mode=layer.ceil_mode)
    tail = TAIL + max(map(span, layer.kernel_size, layer.dilation))
    return nn.Sequential(
        nn.ConstantPad2d((left, tail, top, tail), float("-inf")),
        nn.MaxPool2d(layer.kernel_size, layer.stride, 0, layer.dilation),
        Function(lambda x: x[:, :, : out[1], : out[2]]),
    )


def _avg_pool(layer: layers.AvgPool2d, shape: Shape, out: Shape) -> nn.Module:
    (top, bottom), (left, right) = layer.padding
    if _fits(layer):
        return nn.AvgPool2d(layer.kernel_size, layer.stride, (top, left), layer.ceil_mode, layer.count_include_pad)
    if layer.ceil_mode or not layer.count_include_pad:
        raise MinicnnError(f"{layer!r}: torch has no padding that differs from side to side here")
    return nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), nn.AvgPool2d(layer.kernel_size, layer.stride))


def _residual(layer: layers.Residual, shape: Shape, out: Shape) -> nn.Module:
    return Sum(*(_chain(branch, shape) for branch in layer.branches()))


def _norm(layer: layers.BatchNorm2d, shape: Shape, out: Shape) -> nn.Module:
    return nn.BatchNorm2d(layer.num_features, layer.eps, affine=layer.affine)


_MODULES = {
    layers.AvgPool2d: _avg_pool,
    layers.BatchNorm2d: _norm,
    layers.Concat: lambda layer, shape, out: SideBySide(*(_chain(branch, shape) for branch in layer.branches())),
    layers.Conv2d: _conv,
    layers.ConvTranspose2d: _conv_transpose,
    layers.Dropout: lambda layer, shape, out: nn.Dropout(layer.p),
    layers.Flatten: lambda layer, shape, out: nn.Flatten(),
    layers.GlobalAvgPool2d: lambda layer, shape, out: nn.AdaptiveAvgPool2d(1),
    layers.LeakyReLU: lambda layer, shape, out: nn.LeakyReLU(layer.negative_slope),
    layers.Linear: lambda layer, shape, out: nn.Linear(
        layer.in_features, layer.out_features, layer.bias is not None
    ),
    layers.LocalResponseNorm: lambda layer, shape, out: nn.LocalResponseNorm(
        layer.size, layer.alpha, layer.beta, layer.k
    ),
    layers.LogSoftmax: lambda layer, shape, out: nn.LogSoftmax(1),
    layers.MaxPool2d: _max_pool,
    layers.PReLU: lambda layer, shape, out: nn.PReLU(layer.num_parameters),
    layers.Permute: lambda layer, shape, out: Function(lambda x: x.permute(0, *(a + 1 for a in layer.axes))),
    layers.ReLU: lambda layer, shape, out: nn.ReLU(),
    layers.ReLU6: lambda layer, shape, out: nn.ReLU6(),
    layers.Reshape: lambda layer, shape, out: Function(lambda x: x.reshape(-1, *layer.shape)),
    layers.Residual: _residual,
    layers.Sequential: lambda layer, shape, out: _chain(layer.layers, shape),
    layers.Softmax: lambda layer, shape, out: nn.Softmax(1),
    layers.Tanh: lambda layer, shape, out: nn.Tanh(),
    layers.ZeroPad2d: lambda layer, shape, out: nn.ZeroPad2d(layer.padding),
}
