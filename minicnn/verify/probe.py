"""A network with a probe after every layer: it logs each value and each gradient, and can substitute values."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minicnn._utils.types import Shape
from minicnn.kernels import fuses_layers, on
from minicnn.layers import Keep, Layer, MaxPool2d, ReLU, ReLU6, sequence
from minicnn.layers.kinks import pool_gaps
from minicnn.layers.transforms.fuse import ConvReLU2d, fuse
from minicnn.layers.transforms.pack import with_one_input
from minicnn.network import Network
from minicnn.rules import GRADIENT, Rule
from minicnn.shapes import check_array
from minicnn.verify.rounding import round_to, terms, unit

__all__ = ["Log", "Norm", "Value", "insert_probes", "run"]


class Norm(NamedTuple):
    """What a batch normalisation of another program computes with, arrays of shape (C,).

    y = weight (x - mean) / sqrt(var + eps) + bias.
    """

    weight: np.ndarray
    bias: np.ndarray
    var: np.ndarray
    eps: float


class Value(NamedTuple):
    """The output of one layer.

    Attributes
    ----------
    name : dotted, "" where the program that computed it has none
    kind : of layer, in the words of torch.nn, such as "Conv2d"; "" where it is not known
    array : array of shape (N, ...)
    given : the shape in which another program gave it, where it is read in ours
    norm : of another program's batch normalisation, where it tells

    """

    name: str
    kind: str
    array: np.ndarray
    given: Shape = ()
    norm: Norm | None = None


@dataclass
class Log:
    """What the probes of one pass write down, and what they pass on instead.

    Attributes
    ----------
    substitutes : values by layer; they are passed on instead of the layer's own
    values, gradients : of the layers' outputs, in the order of the computation
    terms : how many roundings lie between each layer's input and its values
    reads : names of the values that each layer's value is made of; "input" for the network's own
    rounded_to : a coarser dtype that each value is rounded to, or ""
    near, units : how many rectifiers' inputs are so near to a kink that rounding in float32 may take them across,
        of how many
    ties : windows of max-pools of which rounding in float32 may make another tap the largest

    """

    substitutes: Mapping[str, np.ndarray] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    gradients: dict[str, np.ndarray] = field(default_factory=dict)
    terms: dict[str, int] = field(default_factory=dict)
    reads: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rounded_to: str = ""
    near: int = 0
    units: int = 0
    ties: int = 0

    def made_since(self, name: str, seen: Container[str]) -> list[str]:
        """Return the names of what a value is made of since the values that are seen; "input" where that is all.

        Examples
        --------
        >>> log = Log(reads={"conv": ("input",), "norm": ("conv",), "relu": ("norm",)})
        >>> log.made_since("relu", ["conv"]), log.made_since("relu", [])
        (['norm'], ['input', 'conv', 'norm'])

        """
        made: set[str] = set()
        pending = list(self.reads.get(name, ()))
        while pending:
            value = pending.pop()
            if value not in seen and value not in made:
                made.add(value)
                pending += self.reads.get(value, ())
        return [value for value in (sequence.INPUT, *self.reads) if value in made]

    def write(self, name: str, layer: Layer, x: np.ndarray, y: np.ndarray) -> None:
        """Write down a layer's value, and how far rounding may have taken it."""
        # four standard deviations of all roundings up to here, at the size of the largest input
        # several inputs need not be of one shape
        largest = max(np.abs(part).max(initial=0) for part in (x if isinstance(x, tuple | list) else (x,)))
        reach = 4 * np.sqrt(sum(self.terms.values())) * unit(np.float32) * largest
        if isinstance(layer, MaxPool2d):
            gaps, _ = pool_gaps(layer, x, np.zeros_like(x))
            # of equal zeros behind a rectifier none lets a gradient through
            self.ties += int((((gaps <= reach).sum(axis=0) > 1) & (y != 0)).sum())
        if isinstance(layer, ReLU | ReLU6):
            kinks = (0, 6) if isinstance(layer, ReLU6) else (0,)
            self.near += sum(int((np.abs(x - kink) <= reach).sum()) for kink in kinks)
            self.units += x.size
        kind = type(layer).__name__
        if layer.branches():
            self.terms[name] = 0  # its parts are counted
        else:
            layer, x = with_one_input(layer.convolution if isinstance(layer, ConvReLU2d) else layer, x)
            self.terms[name] = terms(layer, x.shape)
        self.values[name] = Value(name, kind, y)


@dataclass(frozen=True, eq=False, repr=False)
class _Probe(Layer):
    """A layer that writes down what passes through it."""

    layer: Layer
    name: str
    log: Log

    def output_shape(self, shape: Shape) -> Shape:
        return self.layer.output_shape(shape)

    def forward(
        self, x: np.ndarray, kernels: ModuleType, keep: Keep = Keep.NOTHING, rng: Any = None
    ) -> tuple[np.ndarray, Any]:
        y, saved = self.layer.forward(x, kernels, keep, rng)
        y = round_to(y, self.log.rounded_to) if self.log.rounded_to else y
        self.log.write(self.name, self.layer, x, y)
        return _substitute(y, self.log.substitutes.get(self.name)), saved

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: ModuleType, rule: Rule = GRADIENT, weights: bool = False
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        self.log.gradients[self.name] = dy
        return self.layer.backward(dy, saved, kernels, rule, weights)


def _substitute(y: np.ndarray, other: np.ndarray | None) -> np.ndarray:
    """Return the other array, in y's shape if it has as many entries, or y where there is none."""
    if other is None:
        return y
    return (other.reshape(y.shape) if other.size == y.size else other).astype(y.dtype, copy=False)


def insert_probes(
    layers: sequence.NamedLayers, log: Log, prefix: str = "", source: str = sequence.INPUT
) -> sequence.NamedLayers:
    """Return the layers with a probe around each, blocks and what is inside of them included.

    Parameters
    ----------
    layers : of a network, or of a branch of a block
    log : what they are written to
    prefix, source : what the names of a branch begin with, and the name of what the branch reads

    """

    def insert(name: str, layer: Layer, inputs: tuple[str, ...]) -> Layer:
        reads = tuple(source if value == sequence.INPUT else prefix + value for value in inputs)
        branches = layer.branches()
        # what a block gives is made of what its branches end in, and where one is empty of what it reads
        ends = tuple(f"{prefix}{name}.{branch[-1][0]}" if branch else reads[0] for branch in branches)
        log.reads[prefix + name] = ends or reads
        inside = layer.map_branches(lambda branch: insert_probes(branch, log, f"{prefix}{name}.", reads[0]))
        return _Probe(inside, prefix + name, log).reading(*layer.inputs)

    read_by = sequence.read_by(layers)
    return [(name, insert(name, layer, inputs)) for (name, layer), inputs in zip(layers, read_by, strict=True)]


def run(
    net: Network,
    x: np.ndarray,
    substitutes: Mapping[str, np.ndarray] | None = None,
    *,
    device: str = "reference",
    dtype: DTypeLike = np.float32,
    target: int | None = None,
    rounded_to: str = "",
) -> Log:
    """Return what every layer gives, a softmax at the end included.

    Parameters
    ----------
    net : Network
    x : array of shape (N, C, H, W)
    substitutes : values by layer that are passed on instead of the layers' own
    device, dtype : where and in which precision; a compiled device runs its merged steps
    target : int, optional
        A class: go back from its scores too.
    rounded_to : a coarser dtype that each value is rounded to, as a program in it does

    """
    check_array(x, "input x", None if net.input_shape is None else len(net.input_shape) + 1)
    layers = sequence.astype(net.named_layers, dtype)
    layers = fuse(layers) if fuses_layers(device) else layers
    log, kernels = Log(substitutes or {}, rounded_to=rounded_to), on(device)
    steps, x = insert_probes(layers, log), x.astype(dtype, copy=False)
    _, tape = sequence.forward(steps, x, kernels, Keep.NOTHING if target is None else Keep.MASKS)
    if target is not None:
        log.gradients["input"] = _go_back(net, layers, steps, tape, log, kernels, target)
    return log


def _go_back(
    net: Network,
    layers: sequence.NamedLayers,
    steps: sequence.NamedLayers,
    tape: list[Any],
    log: Log,
    kernels: ModuleType,
    target: int,
) -> np.ndarray:
    """Return the input's gradient; it starts from the scores, before a softmax at the end."""
    names = [name for name, _ in sequence.before_softmax(layers)]
    ran = [(step, saved) for step, saved in zip(steps, tape, strict=True) if step[0] in names]
    scores = _substitute(log.values[names[-1]].array, log.substitutes.get(names[-1]))
    dy = net.cotangent(scores, target)
    return sequence.backward([step for step, _ in ran], dy, [saved for _, saved in ran], kernels)[0]
