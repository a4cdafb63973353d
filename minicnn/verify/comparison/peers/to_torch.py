"""A network of ours translated into torch.nn, layer by layer: the same maths by other people.  Needs torch.

A class of layers is translated by the function registered for it in ``translate``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import reduce, singledispatch
from typing import TypeAlias

import numpy as np
import torch
from torch import nn

from minicnn import layers
from minicnn._utils.types import Shape
from minicnn.errors import MinicnnError
from minicnn.layers import Layer, sequence
from minicnn.layers.resampling.selection import image_axis
from minicnn.network import Network
from minicnn.shapes import Sides, pair, sides, span

__all__ = ["to_torch", "translate"]

Step: TypeAlias = tuple[str, tuple[str, ...]]  # a module's name, and the names of what it reads
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
    return _sequential(net.named_layers, net.input_shape).eval()


class Sum(nn.Module):  # type: ignore[misc]  # torch has no types here
    """y = body(x) + shortcut(x)."""

    def __init__(self, body: nn.Module, shortcut: nn.Module):
        super().__init__()
        self.branches = _adopt(self, body, shortcut)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add."""
        body, shortcut = self.branches
        return _run_children(self, body, x) + _run_children(self, shortcut, x)


class Concatenation(nn.Module):  # type: ignore[misc]  # torch has no types here
    """Outputs of several branches along the channels."""

    def __init__(self, *branches: nn.Module):
        super().__init__()
        self.branches = _adopt(self, *branches)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Concatenate."""
        return torch.cat([_run_children(self, branch, x) for branch in self.branches], dim=1)


class Graph(nn.Module):  # type: ignore[misc]  # torch has no types here
    """Modules that read what the steps say."""

    def __init__(self, modules: Mapping[str, nn.Module], steps: list[Step]):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.steps = steps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run them in their order."""
        return _run_children(self, self.steps, x)


class Function(nn.Module):  # type: ignore[misc]  # torch has no types here
    """A function as a module."""

    def __init__(self, function: Callable[..., torch.Tensor]):
        super().__init__()
        self.function = function

    def forward(self, *x: torch.Tensor) -> torch.Tensor:
        """Call it."""
        return self.function(*x)


def _adopt(module: nn.Module, *branches: nn.Module) -> list[list[Step]]:
    """Make the branches' children the module's own, as our names have them; return the steps by branch."""
    for branch in branches:
        for name, child in branch.named_children():
            module.add_module(name, child)
    return [_steps(branch) for branch in branches]


def _steps(branch: nn.Module) -> list[Step]:
    if isinstance(branch, Graph):
        return branch.steps
    names = [name for name, _ in branch.named_children()]
    return [(name, (before,)) for name, before in zip(names, [sequence.INPUT, *names], strict=False)]


def _run_children(module: nn.Module, steps: list[Step], x: torch.Tensor) -> torch.Tensor:
    values = {sequence.INPUT: x}
    for name, inputs in steps:
        x = values[name] = module.get_submodule(name)(*(values[value] for value in inputs))
    return x


def _sequential(chain: sequence.NamedLayers, shape: Shape) -> nn.Module:
    # torch allows no dots in the names of modules
    modules = OrderedDict(
        (name.replace(".", "/"), _with_weights(layer, _translate_class(layer)(layer, s, out)))
        for name, layer, s, out in sequence.shapes(chain, shape)
    )
    if not any(layer.inputs for _, layer in chain):
        return nn.Sequential(modules)
    reads = [tuple(value.replace(".", "/") for value in inputs) for inputs in sequence.read_by(chain)]
    return Graph(modules, list(zip(modules, reads, strict=True)))


def _translate_class(layer: Layer) -> Callable[[Layer, Shape, Shape], nn.Module]:
    """Return what translates this very class: a subclass may compute something else."""
    return translate.registry.get(type(layer), translate.registry[object])


def _with_weights(layer: Layer, module: nn.Module) -> nn.Module:
    state = {name: torch.from_numpy(np.array(a)).float() for name, a in layer.state().items()}
    if state and not layer.branches():
        own = module[-1] if isinstance(module, nn.Sequential) else module  # padding comes first
        own.load_state_dict(state, strict=False)
    return module


@singledispatch
def translate(layer: Layer, shape: Shape, out: Shape) -> nn.Module:
    """Return a layer as a module of torch, without its weights.

    Parameters
    ----------
    layer : Layer
    shape, out : of its input and of its output, without the batch axis

    Raises
    ------
    MinicnnError
        If torch has no such layer.

    """
    raise MinicnnError(f"{layer!r}: can't be translated into torch")


def _is_even(padding: Sides) -> bool:
    """Return whether both sides of each axis are padded alike, as torch's layers do."""
    (top, bottom), (left, right) = padding
    return (top, left) == (bottom, right)


def _zero_pad(padding: Sides) -> nn.Module:
    (top, bottom), (left, right) = padding
    return nn.ZeroPad2d((left, right, top, bottom))


@translate.register
def _(layer: layers.Conv2d, shape: Shape, out: Shape) -> nn.Module:
    padding = layer.geometry((shape[1], shape[2]))["padding"]
    (top, _), (left, _) = padding
    module = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        stride=layer.stride,
        padding=(top, left) if _is_even(padding) else 0,
        dilation=layer.dilation,
        groups=layer.groups,
        bias=layer.bias is not None,
    )
    return module if _is_even(padding) else nn.Sequential(_zero_pad(padding), module)


@translate.register
def _(layer: layers.ConvTranspose2d, shape: Shape, out: Shape) -> nn.Module:
    padding = sides(layer.padding)
    if not _is_even(padding):
        raise MinicnnError(f"{layer!r}: torch has no padding that differs from side to side here")
    (top, _), (left, _) = padding
    return nn.ConvTranspose2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        stride=layer.stride,
        padding=(top, left),
        output_padding=layer.output_padding,
        groups=layer.groups,
        bias=layer.bias is not None,
        dilation=layer.dilation,
    )


def _fits_torch(layer: layers.MaxPool2d | layers.AvgPool2d) -> bool:
    """Return whether torch pads a pool like this: evenly, by no more than half of the window."""
    (top, _), (left, _) = padding = sides(layer.padding)
    height, width = pair(layer.kernel_size, "kernel_size")
    return _is_even(padding) and 2 * top <= height and 2 * left <= width


@translate.register
def _(layer: layers.MaxPool2d, shape: Shape, out: Shape) -> nn.Module:
    (top, _), (left, _) = sides(layer.padding)
    if _fits_torch(layer):
        padding = top, left
        return nn.MaxPool2d(layer.kernel_size, layer.stride, padding, layer.dilation, ceil_mode=layer.ceil_mode)
    # enough at the end for every window that ceil_mode may add; what is too much is cut off behind the pool
    tail = TAIL + max(map(span, pair(layer.kernel_size, "kernel_size"), pair(layer.dilation, "dilation")))
    return nn.Sequential(
        nn.ConstantPad2d((left, tail, top, tail), float("-inf")),
        nn.MaxPool2d(layer.kernel_size, layer.stride, 0, layer.dilation),
        Function(lambda x: x[:, :, : out[1], : out[2]]),
    )


@translate.register
def _(layer: layers.AvgPool2d, shape: Shape, out: Shape) -> nn.Module:
    padding = sides(layer.padding)
    if _fits_torch(layer):
        (top, _), (left, _) = padding
        return nn.AvgPool2d(layer.kernel_size, layer.stride, (top, left), layer.ceil_mode, layer.count_include_pad)
    if layer.ceil_mode or not layer.count_include_pad:
        raise MinicnnError(f"{layer!r}: torch has no padding that differs from side to side here")
    return nn.Sequential(_zero_pad(padding), nn.AvgPool2d(layer.kernel_size, layer.stride))


@translate.register
def _(layer: layers.Residual, shape: Shape, out: Shape) -> nn.Module:
    return Sum(*(_sequential(branch, shape) for branch in layer.branches()))


@translate.register
def _(layer: layers.Concat, shape: Shape, out: Shape) -> nn.Module:
    return Concatenation(*(_sequential(branch, shape) for branch in layer.branches()))


for _join, _function in {
    layers.Add: torch.add,
    layers.Divide: torch.div,
    layers.Maximum: torch.maximum,
    layers.Minimum: torch.minimum,
    layers.Multiply: torch.mul,
    layers.Subtract: torch.sub,
}.items():
    translate.register(_join, lambda layer, shape, out, f=_function: Function(lambda *x: reduce(f, x)))


@translate.register
def _(layer: layers.Cat, shape: Shape, out: Shape) -> nn.Module:
    return Function(lambda *x: torch.cat(x, dim=layer.dim))


@translate.register
def _(layer: layers.Sequential, shape: Shape, out: Shape) -> nn.Module:
    return _sequential(layer.layers, shape)


@translate.register
def _(layer: layers.BatchNorm2d, shape: Shape, out: Shape) -> nn.Module:
    return nn.BatchNorm2d(layer.num_features, layer.eps, affine=layer.affine)


@translate.register
def _(layer: layers.Linear, shape: Shape, out: Shape) -> nn.Module:
    return nn.Linear(layer.in_features, layer.out_features, layer.bias is not None)


@translate.register
def _(layer: layers.LocalResponseNorm, shape: Shape, out: Shape) -> nn.Module:
    return nn.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k)


@translate.register
def _(layer: layers.ELU, shape: Shape, out: Shape) -> nn.Module:
    # torch's modules know alpha alone, the function below them all three; SELU has a function of its own
    return Function(lambda x: torch.ops.aten.elu(x, *layer.constants))


@translate.register
def _(layer: layers.Hardsigmoid, shape: Shape, out: Shape) -> nn.Module:
    return Function(lambda x: (layer.alpha * x + layer.beta).clamp(0, 1))


class Affine(nn.Module):  # type: ignore[misc]  # torch has no types here
    """y = weight x + bias, broadcast."""

    def __init__(self, shape: Shape, bias: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply and add."""
        y = x * self.weight
        return y if self.bias is None else y + self.bias


class LayerNorm2d(nn.LayerNorm):  # type: ignore[misc]  # torch has no types here
    """Layer normalisation of each pixel's channels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise with the channels last."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@translate.register
def _(layer: layers.Scale, shape: Shape, out: Shape) -> nn.Module:
    return Affine(layer.shape, "bias" in layer.parameter_shapes())


@translate.register
def _(layer: layers.LayerNorm, shape: Shape, out: Shape) -> nn.Module:
    bias = "bias" in layer.parameter_shapes()
    return nn.LayerNorm(layer.normalized_shape, layer.eps, layer.elementwise_affine, bias)


@translate.register
def _(layer: layers.LayerNorm2d, shape: Shape, out: Shape) -> nn.Module:
    return LayerNorm2d(layer.num_channels, layer.eps, layer.affine)


@translate.register
def _(layer: layers.GroupNorm, shape: Shape, out: Shape) -> nn.Module:
    return nn.GroupNorm(layer.num_groups, layer.num_channels, layer.eps, layer.affine)


@translate.register
def _(layer: layers.InstanceNorm2d, shape: Shape, out: Shape) -> nn.Module:
    return nn.InstanceNorm2d(layer.num_features, layer.eps, affine=layer.affine)


@translate.register
def _(layer: layers.RMSNorm, shape: Shape, out: Shape) -> nn.Module:
    return nn.RMSNorm(layer.normalized_shape, layer.eps, layer.elementwise_affine)


@translate.register
def _(layer: layers.Permute, shape: Shape, out: Shape) -> nn.Module:
    return Function(lambda x: x.permute(0, *(axis + 1 for axis in layer.axes)))


@translate.register
def _(layer: layers.Upsample, shape: Shape, out: Shape) -> nn.Module:
    if layer.coordinates or layer.rounding or layer.exclude_outside or layer.cubic_coeff_a != -0.75:
        raise MinicnnError(f"{layer!r}: torch has no such convention")
    align = None if layer.mode.startswith("nearest") else bool(layer.align_corners)
    size = layer.size or (out[1:] if layer.recompute_scale_factor else None)
    return nn.Upsample(size, None if size else layer.scale_factor, layer.mode, align)


@translate.register
def _(layer: layers.PixelShuffle, shape: Shape, out: Shape) -> nn.Module:
    _, h, w = shape
    r, axes = layer.upscale_factor, (0, 3, 4, 1, 5, 2)
    if not layer.depth_first:
        return nn.PixelShuffle(r)
    return Function(lambda x: x.reshape(-1, r, r, out[0], h, w).permute(axes).reshape(-1, *out))


@translate.register
def _(layer: layers.PixelUnshuffle, shape: Shape, out: Shape) -> nn.Module:
    c, h, w = shape
    r, axes = layer.downscale_factor, (0, 3, 5, 1, 2, 4)
    if not layer.depth_first:
        return nn.PixelUnshuffle(r)
    return Function(lambda x: x.reshape(-1, c, h // r, r, w // r, r).permute(axes).reshape(-1, *out))


@translate.register
def _(layer: layers.Slice, shape: Shape, out: Shape) -> nn.Module:
    axis = image_axis("Slice", layer.dim, len(shape))
    places = torch.arange(shape[axis]).numpy()[layer.start : layer.stop : layer.step].copy()
    return Function(lambda x: x.index_select(axis + 1, torch.from_numpy(places)))


@translate.register
def _(layer: layers.IndexSelect, shape: Shape, out: Shape) -> nn.Module:
    axis = image_axis("IndexSelect", layer.dim, len(shape))
    places = torch.tensor([i % shape[axis] for i in layer.index])
    return Function(lambda x: x.index_select(axis + 1, places))


def _reduce(layer: layers.Mean | layers.Sum | layers.Amax, shape: Shape, out: Shape) -> nn.Module:
    function = {layers.Mean: torch.mean, layers.Sum: torch.sum, layers.Amax: torch.amax}[type(layer)]
    return Function(lambda x: function(x, dim=layer.dim, keepdim=layer.keepdim))


translate.register(layers.AdaptiveAvgPool2d, lambda layer, shape, out: nn.AdaptiveAvgPool2d(layer.output_size))
translate.register(layers.AdaptiveMaxPool2d, lambda layer, shape, out: nn.AdaptiveMaxPool2d(layer.output_size))
translate.register(layers.Amax, _reduce)
translate.register(layers.ChannelShuffle, lambda layer, shape, out: nn.ChannelShuffle(layer.groups))
translate.register(layers.CircularPad2d, lambda layer, shape, out: nn.CircularPad2d(layer.padding))
translate.register(layers.ConstantPad2d, lambda layer, shape, out: nn.ConstantPad2d(layer.padding, layer.value))
translate.register(layers.Dropout, lambda layer, shape, out: nn.Dropout(layer.p))
translate.register(layers.Expand, lambda layer, shape, out: Function(lambda x: x.expand(-1, *layer.shape)))
translate.register(layers.Flatten, lambda layer, shape, out: nn.Flatten())
translate.register(layers.GlobalAvgPool2d, lambda layer, shape, out: nn.AdaptiveAvgPool2d(1))
translate.register(layers.LeakyReLU, lambda layer, shape, out: nn.LeakyReLU(layer.negative_slope))
translate.register(layers.LogSoftmax, lambda layer, shape, out: nn.LogSoftmax(1))
translate.register(layers.Mean, _reduce)
translate.register(layers.PReLU, lambda layer, shape, out: nn.PReLU(layer.num_parameters))
translate.register(layers.ReLU, lambda layer, shape, out: nn.ReLU())
translate.register(layers.ReLU6, lambda layer, shape, out: nn.ReLU6())
translate.register(layers.ReflectionPad2d, lambda layer, shape, out: nn.ReflectionPad2d(layer.padding))
translate.register(layers.ReplicationPad2d, lambda layer, shape, out: nn.ReplicationPad2d(layer.padding))
translate.register(layers.Reshape, lambda layer, shape, out: Function(lambda x: x.reshape(-1, *layer.shape)))
translate.register(layers.SELU, translate.dispatch(layers.ELU))
translate.register(layers.Softmax, lambda layer, shape, out: nn.Softmax(1))
translate.register(layers.Sum, _reduce)
translate.register(layers.Tanh, lambda layer, shape, out: nn.Tanh())
translate.register(layers.Abs, lambda layer, shape, out: Function(torch.abs))
translate.register(layers.CELU, lambda layer, shape, out: nn.CELU(layer.alpha))
translate.register(layers.Erf, lambda layer, shape, out: Function(torch.erf))
translate.register(layers.Exp, lambda layer, shape, out: Function(torch.exp))
translate.register(layers.GELU, lambda layer, shape, out: nn.GELU(layer.approximate))
translate.register(layers.Hardswish, lambda layer, shape, out: nn.Hardswish())
translate.register(layers.Hardtanh, lambda layer, shape, out: nn.Hardtanh(layer.min_val, layer.max_val))
translate.register(layers.Log, lambda layer, shape, out: Function(torch.log))
translate.register(layers.LogSigmoid, lambda layer, shape, out: nn.LogSigmoid())
translate.register(layers.Mish, lambda layer, shape, out: nn.Mish())
translate.register(layers.Pow, lambda layer, shape, out: Function(lambda x: x**layer.exponent))
translate.register(layers.SiLU, lambda layer, shape, out: nn.SiLU())
translate.register(layers.Sigmoid, lambda layer, shape, out: nn.Sigmoid())
translate.register(layers.Softplus, lambda layer, shape, out: nn.Softplus(layer.beta, layer.threshold))
translate.register(layers.Softsign, lambda layer, shape, out: nn.Softsign())
translate.register(layers.Threshold, lambda layer, shape, out: nn.Threshold(layer.threshold, layer.value))
translate.register(layers.ZeroPad2d, lambda layer, shape, out: nn.ZeroPad2d(layer.padding))
translate.register(layers.ZeroPad3d, lambda layer, shape, out: nn.ZeroPad3d(layer.padding))
