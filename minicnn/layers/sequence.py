"""A network is a list of named layers: forward is a loop over it, backward a loop over it reversed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.errors import MinicnnError, ShapeError, WeightsError
from minicnn.layers.activation import LogSoftmax, Softmax
from minicnn.layers.base import Backward, Keep, Kernels, Layer, NamedLayers, Rng, Shape
from minicnn.rules import GRADIENT, Rule

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = [
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
    "output_shape",
    "parameter_gradients",
    "parameter_shapes",
    "shapes",
    "state_dict",
    "truncate_at",
    "walk",
    "with_state_dict",
]


def name_layers(layers: Sequence[Any], prefix: str = "") -> NamedLayers:
    """Layers, or (name, layer) pairs, as pairs; a layer without a name is called by its place in the list.

    Parameters
    ----------
    layers : list or tuple of layers, or of (name, layer) pairs
    prefix : str
        What the names of unnamed layers begin with.

    Raises
    ------
    MinicnnError
        If it is no list, what it holds are no layers, or two have the same name.

    Examples
    --------
    >>> from minicnn.layers import Flatten, ReLU
    >>> name_layers([ReLU(), ("flatten", Flatten())])
    [('0', ReLU()), ('flatten', Flatten())]

    """
    if not isinstance(layers, list | tuple):
        raise MinicnnError(f"expected a list of layers, got {type(layers).__name__}")
    pairs = [item if isinstance(item, tuple) else (f"{prefix}{i}", item) for i, item in enumerate(layers)]
    for pair in pairs:
        # a tuple may be anything; what is no (name, layer) pair is refused here, where the mistake can be shown
        if len(pair) != 2 or not isinstance(pair[0], str) or not isinstance(pair[1], Layer):
            raise MinicnnError(f"expected layers or (name, layer) pairs, got {pair!r}")
    repeated = sorted(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
    if repeated:
        raise MinicnnError(f"layer names must differ, found twice: {', '.join(repeated)}")
    return pairs


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

    Blocks are rebuilt from what becomes of their parts; names stay.

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
            return function(prefix + name, layer)
        return layer.map_branches(lambda branch: map_layers(branch, function, f"{prefix}{name}."))

    return [(name, mapped(name, layer)) for name, layer in layers]


def forward(
    layers: NamedLayers, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None
) -> tuple[np.ndarray, list[Any]]:
    """Output of the last layer, and the tape: what each layer's backward needs."""
    tape = []
    for _, layer in layers:
        # x is bound anew, so that a map lives on only if some layer keeps it
        x, saved = layer.forward(x, kernels, keep, rng)
        tape.append(saved)
    return x, tape


def backward(
    layers: NamedLayers,
    dy: np.ndarray,
    tape: list[Any],
    kernels: Kernels,
    rule: Rule = GRADIENT,
    weights: bool = False,
) -> Backward:
    """Gradient with respect to the first layer's input, and {name: gradient} of the parameters if ``weights``."""
    gradients: dict[str, np.ndarray] = {}
    for (name, layer), saved in zip(reversed(layers), reversed(tape), strict=True):
        dy, own = layer.backward(dy, saved, kernels, rule, weights)
        if own:
            gradients |= {f"{name}.{key}": gradient for key, gradient in own.items()}
    return dy, gradients


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
    layers: NamedLayers, dy: np.ndarray, tape: list[Any], kernels: Kernels
) -> dict[str, np.ndarray]:
    """{name: gradient} of the parameters, without the work of the gradient with respect to the input."""
    first = next((i for i, (_, layer) in enumerate(layers) if layer.parameter_shapes()), None)
    if first is None:
        return {}
    # backward ends above the first layer with parameters, and of that one dx is not computed either
    name, layer = layers[first]
    dy, gradients = backward(layers[first + 1 :], dy, tape[first + 1 :], kernels, weights=True)
    own = layer.parameter_gradients(dy, tape[first], kernels)
    return gradients | {f"{name}.{key}": gradient for key, gradient in own.items()}


def shapes(layers: NamedLayers, shape: Shape) -> Iterator[tuple[str, Layer, Shape, Shape]]:
    """(name, layer, input shape, output shape), layer after layer, without the batch axis.

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
    for name, layer in layers:
        try:
            out = layer.output_shape(shape)
        except ShapeError as error:
            raise ShapeError(f"layer {name!r}: {error}") from None
        yield name, layer, shape, out
        shape = out


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


def before_softmax(layers: NamedLayers) -> NamedLayers:
    """Return the layers up to the scores: without a softmax at the end."""
    return layers[:-1] if layers and isinstance(layers[-1][1], Softmax | LogSoftmax) else layers


def truncate_at(layers: NamedLayers, path: str) -> NamedLayers:
    """Return the layers up to the one at ``path``; inside a block, its branch unrolled up to there.

    Raises
    ------
    MinicnnError
        If there is no such layer.

    Examples
    --------
    >>> from minicnn.layers import Conv2d, ReLU, Residual
    >>> layers = name_layers([Conv2d(3, 3, 1), Residual([Conv2d(3, 3, 1), ReLU()])])
    >>> [name for name, _ in truncate_at(layers, "1.body.0")]
    ['0', '1.body.0']

    """
    for i, (name, layer) in enumerate(layers):
        if name == path:
            return layers[: i + 1]
        # the layers before the block, then of the block only the branch that the path leads into, up to there
        if path.startswith(f"{name}."):
            rest = path[len(name) + 1 :]
            for branch in layer.branches():
                if any(rest == n or rest.startswith(f"{n}.") for n, _ in branch):
                    return layers[:i] + [(f"{name}.{n}", part) for n, part in truncate_at(branch, rest)]
    raise MinicnnError(f"no layer {path!r}; the layers are {', '.join(name for name, _ in layers)}")


def find(layers: NamedLayers, path: str) -> Layer:
    """Return the layer at ``path``, in a block too; MinicnnError if there is none."""
    return truncate_at(layers, path)[-1][1]
