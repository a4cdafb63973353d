"""A network is a list of named layers: forward is a loop over it, backward a loop over it reversed.

Each layer reads the layer before it, or those that its ``inputs`` name, which stand further up (``graph``).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.errors import ShapeError, WeightsError
from minicnn.layers.base import Backward, Keep, Kernels, Layer, NamedLayers, Rng, Shape
from minicnn.layers.graph import INPUT, before_softmax, find, name_layers, needed_for, read_by, truncate_at
from minicnn.rules import GRADIENT, Rule

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = [
    "INPUT",
    "NamedLayers",
    "Pass",
    "astype",
    "backward",
    "before_softmax",
    "check_state_dict",
    "find",
    "forward",
    "initialise",
    "map_layers",
    "name_layers",
    "needed_for",
    "output_shape",
    "parameter_gradients",
    "parameter_shapes",
    "read_by",
    "shapes",
    "state_dict",
    "truncate_at",
    "walk",
    "with_state_dict",
]


def walk(layers: NamedLayers, prefix: str = "") -> Iterator[tuple[str, Layer]]:
    """Yield (dotted name, layer) for every layer that is no block, inside of blocks too, in order.

    Examples
    --------
    >>> from minicnn.layers import Conv2d, ReLU, Residual
    >>> layers = name_layers([Residual([Conv2d(3, 3, 1), ReLU()]), ReLU()])
    >>> [name for name, _ in walk(layers)]
    ['0.body.0', '0.body.1', '1']

    """
    for name, layer in layers:
        branches = layer.branches()
        if not branches:
            yield prefix + name, layer
        for branch in branches:
            yield from walk(branch, f"{prefix}{name}.")


def map_layers(layers: NamedLayers, function: Callable[[str, Layer], Layer], prefix: str = "") -> NamedLayers:
    """Return the layers with ``function(dotted name, layer)`` in the place of each that is no block.

    Blocks are rebuilt from what becomes of their parts; names, and what each layer reads, stay.

    Examples
    --------
    >>> from minicnn.layers import Conv2d, ReLU, ReLU6, Residual
    >>> layers = name_layers([Residual([Conv2d(3, 3, 1, bias=False), ReLU()])])
    >>> bounded = map_layers(layers, lambda name, layer: ReLU6() if isinstance(layer, ReLU) else layer)
    >>> [(name, repr(layer)) for name, layer in walk(bounded)][1]
    ('0.body.1', 'ReLU6()')

    """

    def mapped(name: str, layer: Layer) -> Layer:
        if not layer.branches():
            return function(prefix + name, layer).reading(*layer.inputs)
        return layer.map_branches(lambda branch: map_layers(branch, function, f"{prefix}{name}."))

    return [(name, mapped(name, layer)) for name, layer in layers]


def forward(
    layers: NamedLayers, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None
) -> tuple[np.ndarray, list[Any]]:
    """Output of the last layer, and the tape: what each layer's backward needs."""
    # a layer that names nothing reads x, what the one before it gave; other values are kept under their names
    last_reader = {value: name for name, layer in layers for value in layer.inputs}
    tape, values = [], {INPUT: x} if INPUT in last_reader else {}
    for name, layer in layers:
        if layer.inputs:
            x = _arguments(values, layer.inputs)
            # a value goes with its last reader, so that a map lives on only if some layer keeps it
            for value in {value for value in layer.inputs if last_reader[value] == name}:
                del values[value]
        x, saved = layer.forward(x, kernels, keep, rng)
        tape.append(saved)
        if name in last_reader:
            values[name] = x
    return x, tape


def _arguments(values: Mapping[str, Any], inputs: tuple[str, ...]) -> Any:
    """Return what a layer is handed: the array that it reads, or a tuple of several."""
    return values[inputs[0]] if len(inputs) == 1 else tuple(values[value] for value in inputs)


def backward(
    layers: NamedLayers,
    dy: np.ndarray,
    tape: list[Any],
    kernels: Kernels,
    rule: Rule = GRADIENT,
    weights: bool = False,
) -> Backward:
    """Gradient with respect to the list's input, and {name: gradient} of the parameters if ``weights``."""
    named: dict[str, np.ndarray] = {}
    dx, gradients = _send_back(layers, dy, tape, kernels, rule, lambda *_: weights, named)
    return _add(named.get(INPUT), dx, kernels), gradients


def _send_back(
    layers: NamedLayers,
    dy: Any,
    tape: list[Any],
    kernels: Kernels,
    rule: Rule,
    weights: Callable[[str, Layer], bool],
    named: dict[str, np.ndarray],
) -> Backward:
    """Take dy, of the last output, back to what the first layer reads; ``named`` gets what is read by name.

    ``weights`` says of which layers the parameters get gradients.  dy is None where no layer that counts reads a
    value as the one behind it.
    """
    gradients: dict[str, np.ndarray] = {}
    for (name, layer), saved in zip(reversed(layers), reversed(tape), strict=True):
        if name in named:
            dy = _add(named.pop(name), dy, kernels)
        if dy is not None:
            dx, own = layer.backward(dy, saved, kernels, rule, weights(name, layer))
            if own:
                gradients |= {f"{name}.{key}": gradient for key, gradient in own.items()}
            dy = None if layer.inputs else dx
            if layer.inputs:
                for value, part in zip(layer.inputs, dx if len(layer.inputs) > 1 else (dx,), strict=True):
                    named[value] = _add(named.get(value), part, kernels)
    return dy, gradients


def _add(a: Any, b: Any, kernels: Kernels) -> Any:
    """Return the sum of what two readers of a value send back; None is nothing."""
    return b if a is None else a if b is None else kernels.add(a, b)


class Pass:
    """One pass forward, and back again from what it kept: two functions of an array.

    Parameters
    ----------
    layers : (name, layer) pairs
    kernels : the device's operations
    keep : Keep
    rule : Rule
        Of the way back.

    """

    def __init__(self, layers: NamedLayers, kernels: Kernels, keep: Keep = Keep.NOTHING, rule: Rule = GRADIENT):
        self.layers, self.kernels, self.keep, self.rule = layers, kernels, keep, rule
        self._tape: list[Any] = []

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Output of the last layer."""
        y, self._tape = forward(self.layers, x, self.kernels, self.keep)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Gradient with respect to the input, by the rule."""
        return backward(self.layers, dy, self._tape, self.kernels, self.rule)[0]


def parameter_gradients(
    layers: NamedLayers, dy: np.ndarray, tape: list[Any], kernels: Kernels, frozen: Container[str] = ()
) -> dict[str, np.ndarray]:
    """{name: gradient} of the parameters, without the work of the gradient with respect to the input.

    Layers all of whose parameters are ``frozen`` are spared theirs.
    """

    def learns(name: str, layer: Layer) -> bool:
        return any(f"{name}.{key}" not in frozen for key in layer.parameter_shapes())

    first = next((i for i, (name, layer) in enumerate(layers) if learns(name, layer)), None)
    if first is None:
        return {}
    # backward ends above the first layer that learns, and of that one dx is not computed either
    (name, layer), saved = layers[first], tape[first]
    named: dict[str, np.ndarray] = {}
    dy, gradients = _send_back(layers[first + 1 :], dy, tape[first + 1 :], kernels, GRADIENT, learns, named)
    dy = _add(named.get(name), dy, kernels)
    own = {} if dy is None else layer.parameter_gradients(dy, saved, kernels)
    return gradients | {f"{name}.{key}": gradient for key, gradient in own.items()}


def shapes(layers: NamedLayers, shape: Shape) -> Iterator[tuple[str, Layer, Any, Shape]]:
    """(name, layer, input shape, output shape), layer after layer, without the batch axis.

    The input shape of a layer of several inputs is a tuple of shapes.

    Raises
    ------
    ShapeError
        Naming the layer that an input does not fit.

    Examples
    --------
    >>> from minicnn.layers import Conv2d, MaxPool2d
    >>> [out for *_, out in shapes(name_layers([Conv2d(3, 8, 3), MaxPool2d(2)]), (3, 32, 32))]
    [(8, 30, 30), (8, 15, 15)]

    """
    outputs = {INPUT: shape}
    for (name, layer), inputs in zip(layers, read_by(layers), strict=True):
        before = _arguments(outputs, inputs)
        try:
            outputs[name] = layer.output_shape(before)
        except ShapeError as error:
            raise ShapeError(f"layer {name!r}: {error}") from None
        yield name, layer, before, outputs[name]


def output_shape(layers: NamedLayers, shape: Shape) -> Shape:
    """Shape of the last layer's output; ShapeError naming the layer where one does not fit."""
    outputs = [out for *_, out in shapes(layers, shape)]
    return outputs[-1] if outputs else shape


def parameter_shapes(layers: NamedLayers) -> dict[str, Shape]:
    """Shapes of all parameters, by dotted name."""
    return {f"{name}.{key}": s for name, layer in layers for key, s in layer.parameter_shapes().items()}


def state_dict(layers: NamedLayers) -> dict[str, np.ndarray]:
    """All parameters, by dotted name."""
    return {f"{name}.{key}": array for name, layer in layers for key, array in layer.state().items()}


def with_state_dict(layers: NamedLayers, arrays: Mapping[str, np.ndarray]) -> NamedLayers:
    """Return the layers with the parameters of ``arrays``; what it does not name stays."""

    def own(name: str, layer: Layer) -> dict[str, np.ndarray]:
        keys = layer.parameter_shapes()
        return {key: arrays[f"{name}.{key}"] for key in keys if f"{name}.{key}" in arrays}

    return [(name, layer.with_state(own(name, layer))) for name, layer in layers]


def check_state_dict(mapping: Mapping[str, Any], layers: NamedLayers) -> dict[str, np.ndarray]:
    """Return the arrays that the layers want, half precision as float32; WeightsError unless they fit exactly."""
    # torch counts training steps in num_batches_tracked, which inference has no use for
    arrays = {k: np.asarray(v) for k, v in mapping.items() if not k.endswith("num_batches_tracked")}
    shapes = parameter_shapes(layers)
    # a parameter that a module of torch holds itself, such as ConvNeXt's layer_scale, is a layer's weight here
    arrays = {f"{k}.weight" if k not in shapes and f"{k}.weight" in shapes else k: a for k, a in arrays.items()}
    faults = [f"missing {name} {shapes[name]}" for name in shapes if name not in arrays]
    faults += [f"left over {name} {arrays[name].shape}" for name in arrays if name not in shapes]
    for name in [name for name in shapes if name in arrays]:
        if arrays[name].shape != tuple(shapes[name]):
            faults.append(f"{name} has shape {arrays[name].shape}, expected {tuple(shapes[name])}")
        elif arrays[name].dtype not in (np.float16, np.float32, np.float64):
            faults.append(f"{name} has dtype {arrays[name].dtype}, expected a float")
    if faults:
        raise WeightsError("these weights do not fit this architecture: " + "; ".join(faults))
    return {k: a.astype(np.float32) if a.dtype == np.float16 else a for k, a in arrays.items()}


def initialise(layers: NamedLayers, rng: np.random.Generator) -> NamedLayers:
    """Return the layers with every unset parameter drawn, in order."""
    return [(name, layer.initialise(rng)) for name, layer in layers]


def astype(layers: NamedLayers, dtype: DTypeLike) -> NamedLayers:
    """Return the layers with parameters of ``dtype``."""
    return [(name, layer.astype(dtype)) for name, layer in layers]
