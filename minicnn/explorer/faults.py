"""Networks with one fault, of which a gradient check or a comparison has to tell."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.layers import Conv2d, Layer, Linear, MaxPool2d, ReLU, ReLU6, sequence
from minicnn.layers.base import Backward, Kernels
from minicnn.network import Network
from minicnn.rules import GRADIENT, Rule

__all__ = ["FAULTS", "Fault", "fault_names", "honest", "with_fault"]


class _OpenReLU(ReLU):
    """A rectifier that lets every gradient back."""

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        return np.array(dy), {}


class _OpenReLU6(ReLU6):
    """The same with a ceiling."""

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        return np.array(dy), {}


class _FirstTapPool(MaxPool2d):
    """A max-pool that has forgotten its switches."""

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        size, switches = saved
        return super().backward(dy, (size, np.zeros_like(switches)), kernels, rule, weights)


class _UnturnedConv2d(Conv2d):
    """A convolution that goes back by its kernels as they are."""

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        turned = self.weight[..., ::-1, ::-1].copy()
        return kernels.conv2d_input_grad(dy, turned, saved[0], **self.geometry(saved[0])), (
            self.parameter_gradients(dy, saved, kernels) if weights else {}
        )


class _LargerLinear(Linear):
    """A full layer whose gradient is a thousandth too large."""

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        dx, gradients = super().backward(dy, saved, kernels, rule, weights)
        return dx * dx.dtype.type(1.001), gradients


def _as(kind: type[Layer]) -> Callable[[Any], Layer]:
    """Return a function from a layer to the same layer of another class."""

    def convert(layer: Any) -> Layer:
        other = copy(layer)
        object.__setattr__(other, "__class__", kind)
        return other

    return convert


class Fault(NamedTuple):
    """What is wrong with one layer.

    Attributes
    ----------
    words : str
    kinds : classes of the layers that can have it
    change : function from a layer to the faulty one

    """

    words: str
    kinds: tuple[type[Layer], ...]
    change: Callable[[Any], Layer]


def _open(layer: Any) -> Layer:
    return _as(_OpenReLU6 if isinstance(layer, ReLU6) else _OpenReLU)(layer)


def _turn(layer: Any) -> Layer:
    return layer.with_state({"weight": layer.weight[..., ::-1, ::-1].copy()})


FAULTS: dict[str, Fault] = {
    "relu": Fault("backwards, a rectifier lets everything through", (ReLU, ReLU6), _open),
    "pool": Fault("backwards, a max-pool has forgotten where the largest was", (MaxPool2d,), _as(_FirstTapPool)),
    "conv": Fault("backwards, a convolution does not turn its kernels", (Conv2d,), _as(_UnturnedConv2d)),
    "linear": Fault("backwards, a full layer gives a thousandth too much", (Linear,), _as(_LargerLinear)),
    "turn": Fault("forwards, the kernels of a convolution are turned by 180 degrees", (Conv2d,), _turn),
}


def honest(layer: Layer) -> Layer:
    """Return the layer without a fault in its backward: what its terms are made of.

    Examples
    --------
    >>> honest(_as(_OpenReLU)(ReLU()))
    ReLU()

    """
    return _as(type(layer).__mro__[1])(layer) if type(layer).__module__ == __name__ else layer


def fault_names(net: Network) -> dict[str, str]:
    """Return the faults that a network can have, and what they are in words.

    Examples
    --------
    >>> import minicnn
    >>> list(fault_names(minicnn.load("lenet5-digits")))
    ['conv', 'linear', 'turn']

    """
    layers = [layer for _, layer in sequence.walk(net.named_layers)]
    return {name: f.words for name, f in FAULTS.items() if any(_fits(f, layer) for layer in layers)}


def _fits(fault: Fault, layer: Layer) -> bool:
    # turned, kernels of one tap are the same
    return isinstance(layer, fault.kinds) and getattr(layer, "kernel_size", None) != (1, 1)


def with_fault(net: Network, name: str) -> Network:
    """Return the network with one fault, in the middle one of the layers that can have it.

    Raises
    ------
    MinicnnError
        If there is no such fault, or no layer for it.

    """
    if name not in fault_names(net):
        raise MinicnnError(f"fault: there is no fault {name[:40]!r} for {net.name}")
    fault = FAULTS[name]
    fitting = [path for path, layer in sequence.walk(net.named_layers) if _fits(fault, layer)]
    chosen = fitting[len(fitting) // 2]
    layers = sequence.map_layers(
        net.named_layers, lambda path, layer: fault.change(layer) if path == chosen else layer
    )
    return net.with_layers(layers)
