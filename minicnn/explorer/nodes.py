"""The layers of a network as nodes of a graph: blocks unfolded, and who reads what."""

from __future__ import annotations

from typing import Any, NamedTuple

from minicnn._utils.types import Shape
from minicnn.layers import Concat, Layer, Residual, Sequential, sequence
from minicnn.network import Network

__all__ = ["INPUT", "Graph", "Node", "graph_of", "node_record"]

INPUT = sequence.INPUT


class Node(NamedTuple):
    """One place where a value is made.

    Attributes
    ----------
    name : str, dotted
    layer : Layer; of a block, what joins the ends of its branches
    inputs : names of the nodes that it reads
    group : str, the block of the network that it is in or joins; "" for none

    """

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    group: str


class Graph(NamedTuple):
    """Nodes in the order of computing.

    Attributes
    ----------
    nodes : {name: Node}
    aliases : {name: name}, of blocks that are chains: the node that makes their value

    """

    nodes: dict[str, Node]
    aliases: dict[str, str]

    def readers(self, name: str) -> list[tuple[Node, int]]:
        """Return who reads the value of a node, and as which of its inputs."""
        return [(n, i) for n in self.nodes.values() for i, value in enumerate(n.inputs) if value == name]


def graph_of(net: Network, upto: str | None = None) -> Graph:
    """Return the layers up to the scores, or up to a layer, as nodes.

    Examples
    --------
    >>> from minicnn.layers import Conv2d, ReLU, Residual
    >>> graph = graph_of(Network([("block", Residual([Conv2d(3, 3, 1), ReLU()]))]))
    >>> [(node.name, node.inputs) for node in graph.nodes.values()][-1]
    ('block', ('block.body.1', 'input'))

    """
    whole = net.named_layers
    graph = Graph({}, {})
    _add(graph, sequence.before_softmax(whole) if upto is None else sequence.truncate_at(whole, upto), INPUT, "")
    return graph


def _add(graph: Graph, layers: sequence.NamedLayers, before: str, prefix: str, group: str = "") -> str:
    """Add a list of layers that is applied to the value ``before``; return the name of what it gives."""
    values, end = {INPUT: before}, before
    for (name, layer), read in zip(layers, sequence.read_by(layers), strict=True):
        path, inputs = prefix + name, tuple(values[value] for value in read)
        # layers of blocks of blocks belong to the outermost one
        own = group or (path if isinstance(layer, Residual | Concat | Sequential) else "")
        end = values[name] = _add_layer(graph, path, layer, inputs, own)
    return end


def _add_layer(graph: Graph, path: str, layer: Layer, inputs: tuple[str, ...], group: str) -> str:
    if isinstance(layer, Residual | Concat):
        # the ends of the branches are what the block joins
        inputs = tuple(_add(graph, branch, inputs[0], f"{path}.", group) for branch in layer.branches())
    elif isinstance(layer, Sequential):
        graph.aliases[path] = _add(graph, layer.layers, inputs[0], f"{path}.", group)
        return graph.aliases[path]
    graph.nodes[path] = Node(path, layer, inputs, group)
    return path


def node_record(node: Node, shape: Shape) -> dict[str, Any]:
    """Return what a page says of a node before any picture has passed."""
    parameters = {} if isinstance(node.layer, Residual | Concat) else node.layer.parameter_shapes()
    kind = type(node.layer).__name__
    return {
        "name": node.name,
        "kind": kind,
        "about": kind if isinstance(node.layer, Residual | Concat) else repr(node.layer),
        "inputs": list(node.inputs),
        "group": node.group,
        "shape": list(shape),
        "parameters": {name: list(s) for name, s in parameters.items()},
    }
