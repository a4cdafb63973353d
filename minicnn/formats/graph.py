"""From a graph to a list of layers: where paths branch and rejoin they become blocks.

A graph is series-parallel if, wherever several values are added or concatenated, the paths to them leave one
common value (the nearest that lies on every path from the input: the dominator) and share nothing in between.
Then the join is a block on that value, a branch for each path, and branches may hold joins in turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from minicnn.errors import WeightsError
from minicnn.formats.containers.files import escape
from minicnn.layers import Concat, Flatten, Layer, LogSoftmax, Residual, Softmax
from minicnn.layers.base import Shape
from minicnn.layers.sequence import NamedLayers

__all__ = ["ADD", "CONCAT", "GraphNode", "build_chain", "flatten_scores"]

ADD, CONCAT = "add", "concat"
MAX_DEPTH = 32  # blocks within blocks
MAX_NAME_LENGTH = 120


class GraphNode(NamedTuple):
    """How one value comes about: ``layers`` one after the other on one input, or several inputs joined."""

    name: str
    inputs: tuple[str, ...]
    layers: tuple[Layer, ...] = ()
    join: str = ""


def build_chain(nodes: Mapping[str, GraphNode], source: str, target: str) -> NamedLayers:
    """Return the layers that compute the value ``target`` from the value ``source``.

    Parameters
    ----------
    nodes : mapping of str to GraphNode
        How each value comes about, each after those of its inputs.
    source, target : str
        Names of values.

    Returns
    -------
    chain : list of (name, layer)
        Inner names lose the name of their block where they begin with it, so that ``block.layer`` names it.

    Raises
    ------
    WeightsError
        If the graph is not series-parallel; the node where paths cross is named.

    Examples
    --------
    >>> nodes = {"a": GraphNode("relu", ("x",), (Softmax(),)), "y": GraphNode("sum", ("a", "x"), join=ADD)}
    >>> [(name, type(layer).__name__) for name, layer in build_chain(nodes, "x", "y")]
    [('sum', 'Residual')]

    """
    nodes = _nest_concatenations(nodes)
    return _Builder(nodes, _find_dominators(nodes, source)).chain(target, source)


def _nest_concatenations(nodes: Mapping[str, GraphNode]) -> dict[str, GraphNode]:
    """Take concat(a, b, c) as concat(concat(a, b), c) where the inner one is a value already, as in DenseNet."""
    known: dict[tuple[str, ...], str] = {}
    rewritten = {}
    for value, node in nodes.items():
        if node.join == CONCAT:
            known.setdefault(node.inputs, value)
            # the longest beginning of the inputs that another concatenation holds already
            for n in range(len(node.inputs) - 1, 1, -1):
                if node.inputs[:n] in known:
                    node = node._replace(inputs=(known[node.inputs[:n]], *node.inputs[n:]))
                    break
        rewritten[value] = node
    return rewritten


def _find_dominators(nodes: Mapping[str, GraphNode], source: str) -> dict[str, tuple[str, int]]:
    """Return for each value its nearest dominator, and how many dominators it has: a tree and its depths."""
    tree = {source: (source, 0)}
    for value, node in nodes.items():
        # a value whose inputs are not in the tree does not come from the source
        if all(name in tree for name in node.inputs):
            nearest = node.inputs[0]
            for other in node.inputs[1:]:
                nearest = _find_common_dominator(tree, nearest, other)
            tree[value] = nearest, tree[nearest][1] + 1
    return tree


def _find_common_dominator(tree: Mapping[str, tuple[str, int]], a: str, b: str) -> str:
    # climb from the deeper of the two until they meet
    while a != b:
        if tree[a][1] >= tree[b][1]:
            a = tree[a][0]
        else:
            b = tree[b][0]
    return a


class _Builder:
    """Walks from the output back to the input, each node once."""

    def __init__(self, nodes: Mapping[str, GraphNode], dominators: Mapping[str, tuple[str, int]]):
        self.nodes, self.dominators = nodes, dominators
        self.visited: set[str] = set()
        self.paths: set[str] = set()

    def chain(self, value: str, source: str, scope: str = "", path: str = "", depth: int = 0) -> NamedLayers:
        """Return the layers from ``source`` to ``value``, in the block called ``scope`` that lies at ``path``."""
        if depth > MAX_DEPTH:
            raise WeightsError(f"{escape(scope)!r} lies more than {MAX_DEPTH} blocks deep")
        backwards: NamedLayers = []
        while value != source:
            node = self._visit(value)
            name = _strip_scope(node.name, scope)
            if node.join:
                # the whole block is one layer on the dominator, from where the walk goes on
                value = self.dominators[value][0]
                name = self._make_unique(name, path)
                backwards.append((name, self._build_block(node, value, f"{path}{name}.", depth)))
            else:
                (value,) = node.inputs
                # from the last layer to the first: the last has the node's name, others get a number behind it
                for i, layer in enumerate(reversed(node.layers)):
                    backwards.append(
                        (self._make_unique(f"{name}_{len(node.layers) - i}" if i else name, path), layer)
                    )
        return backwards[::-1]

    def _visit(self, value: str) -> GraphNode:
        if value not in self.dominators:
            raise WeightsError(f"{escape(value)!r} does not come from the input")
        node = self.nodes[value]
        if value in self.visited:
            raise WeightsError(
                f"{escape(node.name)!r} feeds two paths that cross: layers are a list here, in which paths may "
                "branch and rejoin but share nothing in between"
            )
        self.visited.add(value)
        return node

    def _build_block(self, node: GraphNode, fork: str, path: str, depth: int) -> Layer:
        branches = [self.chain(name, fork, node.name, path, depth + 1) for name in node.inputs]
        if node.join == CONCAT:
            return Concat(*branches)
        # a Residual adds two: a + b + c becomes (a + b) + c
        total = branches[0]
        for i, branch in enumerate(branches[1:-1], start=1):
            total = [(self._make_unique(f"sum{i}", path), _make_residual(total, branch))]
        return _make_residual(total, branches[-1])

    def _make_unique(self, name: str, path: str) -> str:
        name = "".join(c if c.isprintable() else "?" for c in name[:MAX_NAME_LENGTH]) or "layer"
        given, count = name, 1
        while f"{path}{name}" in self.paths:
            count += 1
            name = f"{given}_{count}"
        self.paths.add(f"{path}{name}")
        return name


def _make_residual(body: NamedLayers, shortcut: NamedLayers) -> Residual:
    """Return the sum of two branches; an empty one is the shortcut."""
    return Residual(body, shortcut) if body or not shortcut else Residual(shortcut, body)


def _strip_scope(name: str, scope: str) -> str:
    return name[len(scope) + 1 :] if scope and name.startswith(f"{scope}.") else name


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
