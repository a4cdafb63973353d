"""A network is a list of named layers: forward is a loop over it, backward a loop over it reversed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from minicnn.errors import MinicnnError, ShapeError, WeightsError
from minicnn.layers.activation import LogSoftmax, Softmax
from minicnn.layers.base import Keep, Layer, Shape
from minicnn.rules import GRADIENT

__all__ = [
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

NamedLayers = list[tuple[str, Layer]]


def name_layers(layers: Sequence, prefix: str = "") -> NamedLayers:
    """Layers, or (name, layer) pairs, as pairs; a layer without a name is called by its place in the list."""
    if not isinstance(layers, list | tuple):
        raise MinicnnError(f"expected a list of layers, got {type(layers).__name__}")
    chain = [item if isinstance(item, tuple) else (f"{prefix}{i}", item) for i, item in enumerate(layers)]
    for pair in chain:
        if len(pair) != 2 or not isinstance(pair[0], str) or not isinstance(pair[1], Layer):
            raise MinicnnError(f"expected layers or (name, layer) pairs, got {pair!r}")
    repeated = sorted(name for name, times in Counter(name for name, _ in chain).items() if times > 1)
    if repeated:
        raise MinicnnError(f"layer names must differ, found twice: {', '.join(repeated)}")
    return chain


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


def forward(chain: NamedLayers, x, kernels, keep=Keep.NOTHING, rng=None):
    """Output of the last layer, and the tape: what each layer's backward needs."""
    tape = []
    for _, layer in chain:
        x, saved = layer.forward(x, kernels, keep, rng)
        tape.append(saved)
    return x, tape


def backward(chain: NamedLayers, dy, tape, kernels, rule=GRADIENT, weights=False):
    """Gradient with respect to the chain's input, and {name: gradient} of its parameters if ``weights``."""
    gradients = {}
    for (name, layer), saved in zip(reversed(chain), reversed(tape), strict=True):
        dy, own = layer.backward(dy, saved, kernels, rule, weights)
        if own:
            gradients |= {f"{name}.{key}": gradient for key, gradient in own.items()}
    return dy, gradients


class Pass:
    """One pass forward, and back again from what it kept: two functions of an array."""

    def __init__(self, steps: NamedLayers, kernels, keep=Keep.NOTHING, rule=GRADIENT):
        self.steps, self.kernels, self.keep, self.rule = steps, kernels, keep, rule
        self._tape = None

    def forward(self, x):
        """Output of the last step."""
        y, self._tape = forward(self.steps, x, self.kernels, self.keep)
        return y

    def backward(self, dy):
        """Gradient with respect to the input, by the rule."""
        return backward(self.steps, dy, self._tape, self.kernels, self.rule)[0]


def parameter_gradients(chain: NamedLayers, dy, tape, kernels):
    """{name: gradient} of the chain's parameters, without the work of the gradient with respect to its input."""
    first = next((i for i, (_, layer) in enumerate(chain) if layer.parameter_shapes()), None)
    if first is None:
        return {}
    name, layer = chain[first]
    dy, gradients = backward(chain[first + 1 :], dy, tape[first + 1 :], kernels, weights=True)
    own = layer.parameter_gradients(dy, tape[first], kernels)
    return gradients | {f"{name}.{key}": gradient for key, gradient in own.items()}


def shapes(chain: NamedLayers, shape: Shape) -> Iterator[tuple[str, Layer, Shape, Shape]]:
    """(name, layer, input shape, output shape), layer after layer, without the batch axis."""
    for name, layer in chain:
        try:
            out = layer.output_shape(shape)
        except ShapeError as error:
            raise ShapeError(f"layer {name!r}: {error}") from None
        yield name, layer, shape, out
        shape = out


def output_shape(chain: NamedLayers, shape: Shape) -> Shape:
    """Shape of the last layer's output; ShapeError naming the layer where one does not fit."""
    outputs = [out for *_, out in shapes(chain, shape)]
    return outputs[-1] if outputs else shape


def parameter_shapes(chain: NamedLayers) -> dict[str, Shape]:
    """Shapes of all parameters, by dotted name."""
    return {f"{name}.{key}": s for name, layer in chain for key, s in layer.parameter_shapes().items()}


def state_dict(chain: NamedLayers) -> dict[str, np.ndarray]:
    """All parameters, by dotted name."""
    return {f"{name}.{key}": array for name, layer in chain for key, array in layer.state().items()}


def with_state_dict(chain: NamedLayers, arrays: Mapping[str, np.ndarray]) -> NamedLayers:
    """Return the chain with the parameters of ``arrays``; what it does not name stays."""

    def own(name: str, layer: Layer) -> dict[str, np.ndarray]:
        keys = layer.parameter_shapes()
        return {key: arrays[f"{name}.{key}"] for key in keys if f"{name}.{key}" in arrays}

    return [(name, layer.with_state(own(name, layer))) for name, layer in chain]


def check_state_dict(mapping: Mapping[str, np.ndarray], chain: NamedLayers) -> dict[str, np.ndarray]:
    """Return the arrays that the layers want, half precision widened; WeightsError unless they fit exactly."""
    arrays = {k: np.asarray(v) for k, v in mapping.items() if not k.endswith("num_batches_tracked")}
    shapes = parameter_shapes(chain)
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


def initialise(chain: NamedLayers, rng: np.random.Generator) -> NamedLayers:
    """Return the chain with every unset parameter drawn, in order."""
    return [(name, layer.initialised(rng)) for name, layer in chain]


def astype(chain: NamedLayers, dtype) -> NamedLayers:
    """Return the chain with parameters of ``dtype``."""
    return [(name, layer.astype(dtype)) for name, layer in chain]


def before_softmax(chain: NamedLayers) -> NamedLayers:
    """Return the chain up to the scores: without a softmax at its end."""
    return chain[:-1] if chain and isinstance(chain[-1][1], Softmax | LogSoftmax) else chain


def truncate_at(chain: NamedLayers, path: str) -> NamedLayers:
    """Return the chain that ends with the layer at ``path``; inside a block, its branch unrolled up to there.

    Raises
    ------
    MinicnnError
        If there is no such layer.

    """
    for i, (name, layer) in enumerate(chain):
        if name == path:
            return chain[: i + 1]
        if path.startswith(f"{name}."):
            rest = path[len(name) + 1 :]
            for branch in layer.branches():
                if any(rest == n or rest.startswith(f"{n}.") for n, _ in branch):
                    return chain[:i] + [(f"{name}.{n}", part) for n, part in truncate_at(branch, rest)]
    raise MinicnnError(f"no layer {path!r}; the layers are {', '.join(name for name, _ in chain)}")


def find(chain: NamedLayers, path: str) -> Layer:
    """Return the layer at ``path``, in a block too."""
    return truncate_at(chain, path)[-1][1]
