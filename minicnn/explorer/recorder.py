"""A network that keeps what passes each layer, forwards and backwards; its own two loops do the computing."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn.layers import Keep, Kind, Layer, sequence
from minicnn.layers.base import Backward, Forward, Kernels, Rng, Shape
from minicnn.network import Network
from minicnn.rules import GRADIENT, Rule

__all__ = ["Log", "Stopped", "recorded"]


class Stopped(Exception):
    """Nobody waits for the result any more."""


@dataclass
class Log:
    """What passed each layer, by dotted name; arrays of one image, without the batch axis.

    Attributes
    ----------
    outputs : what it gave
    saved : what its backward needs
    gradients : of the last pass backwards, with respect to each output
    stop : event, optional; set, the pass ends at the next layer

    """

    outputs: dict[str, np.ndarray] = field(default_factory=dict)
    saved: dict[str, Any] = field(default_factory=dict)
    gradients: dict[str, np.ndarray] = field(default_factory=dict)
    stop: threading.Event | None = None

    def check(self) -> None:
        """Raise Stopped if the pass is to end."""
        if self.stop is not None and self.stop.is_set():
            raise Stopped


@dataclass(frozen=True, eq=False, repr=False)
class _Recorder(Layer):
    """A layer that does what another one does, and writes down what passes."""

    layer: Layer
    name: str
    log: Log

    @property
    def input_count(self) -> int:  # type: ignore[override]
        return self.layer.input_count

    @property
    def kind(self) -> Kind:
        return self.layer.kind

    def output_shape(self, shape: Shape) -> Shape:
        return self.layer.output_shape(shape)

    def astype(self, dtype: Any) -> _Recorder:
        return _Recorder(self.layer.astype(dtype), self.name, self.log).reading(*self.inputs)

    def forward(self, x: Any, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        self.log.check()
        y, saved = self.layer.forward(x, kernels, keep, rng)
        self.log.outputs[self.name], self.log.saved[self.name] = np.asarray(y)[0], saved
        return y, saved

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        self.log.check()
        # a copy: kernels may go on in the same memory
        self.log.gradients[self.name] = np.array(np.asarray(dy)[0])
        return self.layer.backward(dy, saved, kernels, rule, weights)


def recorded(net: Network, upto: str | None, log: Log) -> Network:
    """Return a network of the same layers, up to the scores or to the layer ``upto``, that writes into a log.

    Layers run one at a time, by the kernels of the network's device; blocks are written down as they are, and the
    layers in them too.

    Examples
    --------
    >>> import minicnn
    >>> net, log = minicnn.load("digits"), Log()
    >>> x = np.zeros((1, 1, 28, 28), np.float32)
    >>> y = recorded(net, None, log)(x)
    >>> bool((y == net(x)).all()), log.outputs["conv_layers.2"].shape
    (True, (32, 14, 14))

    """
    whole = net.named_layers
    layers = sequence.before_softmax(whole) if upto is None else sequence.truncate_at(whole, upto)
    return Network(_wrap(layers, "", log), net.input_shape, device=net.device, name=net.name)


def _wrap(layers: sequence.NamedLayers, prefix: str, log: Log) -> sequence.NamedLayers:
    def wrapped(name: str, layer: Layer) -> Layer:
        path = prefix + name
        inner = layer.map_branches(lambda branch: _wrap(branch, f"{path}.", log))
        return _Recorder(inner, path, log).reading(*layer.inputs)

    return [(name, wrapped(name, layer)) for name, layer in layers]
