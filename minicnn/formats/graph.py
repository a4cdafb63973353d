"""From a file's graph to a list of layers: each after those that it reads, under the names of the file's nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from minicnn.errors import MinicnnError, WeightsError
from minicnn.formats.containers.files import escape
from minicnn.layers import Dropout, Exp, Flatten, Layer, LogSoftmax, Permute, Reshape, Softmax
from minicnn.layers.base import Shape
from minicnn.layers.sequence import INPUT, NamedLayers, output_shape

__all__ = ["GraphNode", "end_in_posterior", "flatten_scores", "list_layers"]

MAX_NAME_LENGTH = 120
# of maps of one pixel these keep all values in their order
_KEEPING = (Flatten, Reshape, Permute, Dropout)


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


def end_in_posterior(chain: NamedLayers, input_shape: Sequence[int | None] | None) -> NamedLayers:
    """Return the chain with the softmax or sigmoid of its scores at its end, where ``Network`` looks for it.

    Programs flatten probabilities too, and leave a dropout behind them; an exponential of logarithms of
    probabilities is a softmax.

    Examples
    --------
    >>> chain = end_in_posterior([("prob", Softmax()), ("flat", Flatten())], (10, 1, 1))
    >>> [name for name, _ in chain]
    ['flatten', 'prob']

    """
    if len(chain) > 1 and isinstance(chain[-1][1], Exp) and isinstance(chain[-2][1], LogSoftmax):
        if not chain[-1][1].inputs:
            chain = [*chain[:-2], (chain[-1][0], Softmax(inputs=chain[-2][1].inputs))]
    at = len(chain) - 1
    while at > 0 and isinstance(chain[at][1], _KEEPING) and not chain[at][1].inputs:
        at -= 1
    if input_shape is None or at in (len(chain) - 1, -1) or not chain[at][1].is_posterior:
        return chain
    if chain[at][1].inputs:
        return chain
    try:
        # any numbers stand for open sizes
        known = tuple(n or standin for n, standin in zip(input_shape, (1, 1009, 1013, 1019), strict=False))
        shape = output_shape(chain[:at], known)
    except MinicnnError:
        return chain
    if any(n != 1 for n in shape[1:]):
        return chain
    # under a name of its own: what the file calls by the last one's are probabilities
    flat = [(_unused("flatten", chain), Flatten())] if len(shape) > 1 else []
    return [*chain[:at], *flat, chain[at]]


def _unused(name: str, chain: NamedLayers) -> str:
    names = {n for n, _ in chain}
    while name in names:
        name += "_"
    return name


def flatten_scores(
    chain: NamedLayers, shape: Shape, input_shape: Sequence[int | None] | None = None
) -> NamedLayers:
    """Return the chain with a Flatten where its scores, of ``shape``, are maps of one pixel; before a softmax.

    With the ``input_shape`` a softmax that has other layers behind it is put at the end, see ``end_in_posterior``.

    Examples
    --------
    >>> chain = flatten_scores([("prob", Softmax())], (10, 1, 1))
    >>> [name for name, _ in chain]
    ['flatten', 'prob']

    """
    ended = end_in_posterior(chain, input_shape)
    if ended is not chain or len(shape) != 3 or shape[1:] != (1, 1) or not chain:
        return ended
    # a softmax at the end needs its scores flat
    end = len(chain) - isinstance(chain[-1][1], Softmax | LogSoftmax)
    return [*chain[:end], (_unused("flatten", chain), Flatten()), *chain[end:]]
