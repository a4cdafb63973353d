"""From a file's graph to a list of layers: each after those that it reads, under the names of the file's nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from minicnn.errors import WeightsError
from minicnn.formats.containers.files import escape
from minicnn.layers import Flatten, Layer, LogSoftmax, Softmax
from minicnn.layers.base import Shape
from minicnn.layers.sequence import INPUT, NamedLayers

__all__ = ["GraphNode", "flatten_scores", "list_layers"]

MAX_NAME_LENGTH = 120


class GraphNode(NamedTuple):
    """How one value comes about: ``layers`` one after the other, the first of which reads ``inputs``."""

    name: str
    inputs: tuple[str, ...]
    layers: tuple[Layer, ...] = ()


def list_layers(nodes: Mapping[str, GraphNode], source: str, target: str) -> NamedLayers:
    """Return the layers that compute the value ``target`` from the value ``source``.

    Parameters
    ----------
    nodes : mapping of str to GraphNode
        How each value comes about, each after those of its inputs.
    source, target : str
        Names of values.

    Returns
    -------
    layers : list of (name, layer)
        Of several layers of a node the last has its name, the others a number behind it.

    Raises
    ------
    WeightsError
        If the target does not come from the source.

    Examples
    --------
    >>> from minicnn.layers import Add
    >>> nodes = {"a": GraphNode("relu", ("x",), (Softmax(),)), "y": GraphNode("sum", ("a", "x"), (Add(),))}
    >>> list_layers(nodes, "x", "y")
    [('relu', Softmax()), ('sum', Add(inputs=('relu', 'input')))]

    """
    layers: NamedLayers = []
    given, names = {source: INPUT}, {INPUT}  # the layer that gives each value, and all names
    for value in _sort_needed(nodes, source, target):
        node = nodes[value]
        missing = [i for i in node.inputs if i not in given]
        if missing or not node.inputs:
            raise WeightsError(f"{escape((missing or [value])[0])!r} does not come from the input")
        reads = tuple(given[i] for i in node.inputs)
        for number, layer in enumerate(node.layers, start=1):
            name = _make_unique(node.name if number == len(node.layers) else f"{node.name}_{number}", names)
            before = (layers[-1][0] if layers else INPUT,)
            layers.append((name, layer if reads == before else layer.reading(*reads)))
            reads = (name,)
        (given[value],) = reads  # a node without layers hands its input on
    return layers


def _sort_needed(nodes: Mapping[str, GraphNode], source: str, target: str) -> list[str]:
    """Return the values that the target depends on, and itself, in the order of the nodes."""
    needed = {target} - {source}
    values: list[str] = []
    for value in reversed(list(nodes)):
        if value in needed:
            values.append(value)
            needed.remove(value)
            needed.update(name for name in nodes[value].inputs if name != source)
    if needed:
        raise WeightsError(f"{escape(min(needed))!r} does not come from the input")
    return values[::-1]


def _make_unique(name: str, names: set[str]) -> str:
    name = "".join(c if c.isprintable() else "?" for c in name[:MAX_NAME_LENGTH]) or "layer"
    given, count = name, 1
    while name in names:
        count += 1
        name = f"{given}_{count}"
    names.add(name)
    return name


def flatten_scores(chain: NamedLayers, shape: Shape) -> NamedLayers:
    """Return the chain with a Flatten where its scores, of ``shape``, are maps of one pixel; before a softmax.

    Examples
    --------
    >>> chain = flatten_scores([("prob", Softmax())], (10, 1, 1))
    >>> [name for name, _ in chain]
    ['flatten', 'prob']

    """
    if len(shape) != 3 or shape[1:] != (1, 1) or not chain:
        return chain
    # a softmax at the end needs its scores flat
    end = len(chain) - isinstance(chain[-1][1], Softmax | LogSoftmax)
    name = "flatten"
    while any(n == name for n, _ in chain):
        name += "_"
    return [*chain[:end], (name, Flatten()), *chain[end:]]
