"""From a graph of steps to a list of layers: where paths part and meet again they become blocks.

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

__all__ = ["ADD", "CONCAT", "Step", "chain_of", "flat_scores"]

ADD, CONCAT = "add", "concat"
MAX_DEPTH = 32  # blocks within blocks
MAX_NAME_LENGTH = 120


class Step(NamedTuple):
    """How one value comes about: ``layers`` one after the other on one input, or several inputs joined."""

    name: str
    inputs: tuple[str, ...]
    layers: tuple[Layer, ...] = ()
    join: str = ""


def chain_of(steps: Mapping[str, Step], source: str, target: str) -> NamedLayers:
    """Return the layers that compute the value ``target`` from the value ``source``.

    Parameters
    ----------
    steps : {value: its step}, each after those of its inputs
    source, target : names of values

    Returns
    -------
    chain : list of (name, layer)
        Inner names lose the name of their block where they begin with it, so that ``block.layer`` is found.

    Raises
    ------
    WeightsError
        If the graph is not series-parallel; the step where paths cross is named.

    """
    steps = _concatenations_of_concatenations(steps)
    return _Builder(steps, _dominators(steps, source)).chain(target, source)


def _concatenations_of_concatenations(steps: Mapping[str, Step]) -> dict[str, Step]:
    """Take concat(a, b, c) as concat(concat(a, b), c) where the inner one is a value already, as in DenseNet."""
    known: dict[tuple[str, ...], str] = {}
    rewritten = {}
    for value, step in steps.items():
        if step.join == CONCAT:
            known.setdefault(step.inputs, value)
            for n in range(len(step.inputs) - 1, 1, -1):
                if step.inputs[:n] in known:
                    step = step._replace(inputs=(known[step.inputs[:n]], *step.inputs[n:]))
                    break
        rewritten[value] = step
    return rewritten


def _dominators(steps: Mapping[str, Step], source: str) -> dict[str, tuple[str, int]]:
    """Return for each value its nearest dominator, and how many dominators it has: a tree and its depths."""
    found = {source: (source, 0)}
    for value, step in steps.items():
        if all(name in found for name in step.inputs):
            nearest = step.inputs[0]
            for other in step.inputs[1:]:
                nearest = _meeting_point(found, nearest, other)
            found[value] = nearest, found[nearest][1] + 1
    return found


def _meeting_point(tree: Mapping[str, tuple[str, int]], a: str, b: str) -> str:
    while a != b:
        if tree[a][1] >= tree[b][1]:
            a = tree[a][0]
        else:
            b = tree[b][0]
    return a


class _Builder:
    """Walks from the output back to the input, each step once."""

    def __init__(self, steps: Mapping[str, Step], dominators: Mapping[str, tuple[str, int]]):
        self.steps, self.dominators = steps, dominators
        self.done: set[str] = set()
        self.paths: set[str] = set()

    def chain(self, value: str, source: str, scope: str = "", path: str = "", depth: int = 0) -> NamedLayers:
        """Return the layers from ``source`` to ``value``, in the block called ``scope`` that lies at ``path``."""
        if depth > MAX_DEPTH:
            raise WeightsError(f"{escape(scope)!r} lies more than {MAX_DEPTH} blocks deep")
        backwards: NamedLayers = []
        while value != source:
            step = self._taken(value)
            name = _relative(step.name, scope)
            if step.join:
                value = self.dominators[value][0]
                name = self._unique(name, path)
                backwards.append((name, self._block(step, value, f"{path}{name}.", depth)))
            else:
                (value,) = step.inputs
                for i, layer in enumerate(reversed(step.layers)):
                    backwards.append((self._unique(f"{name}_{len(step.layers) - i}" if i else name, path), layer))
        return backwards[::-1]

    def _taken(self, value: str) -> Step:
        if value not in self.dominators:
            raise WeightsError(f"{escape(value)!r} does not come from the input")
        step = self.steps[value]
        if value in self.done:
            raise WeightsError(
                f"{escape(step.name)!r} feeds two paths that cross: layers are a list here, in which paths may "
                "part and meet again but share nothing in between"
            )
        self.done.add(value)
        return step

    def _block(self, step: Step, fork: str, path: str, depth: int) -> Layer:
        branches = [self.chain(name, fork, step.name, path, depth + 1) for name in step.inputs]
        if step.join == CONCAT:
            return Concat(*branches)
        total = branches[0]
        for i, branch in enumerate(branches[1:-1], start=1):
            total = [(self._unique(f"sum{i}", path), _residual(total, branch))]
        return _residual(total, branches[-1])

    def _unique(self, name: str, path: str) -> str:
        name = "".join(c if c.isprintable() else "?" for c in name[:MAX_NAME_LENGTH]) or "layer"
        given, count = name, 1
        while f"{path}{name}" in self.paths:
            count += 1
            name = f"{given}_{count}"
        self.paths.add(f"{path}{name}")
        return name


def _residual(one: NamedLayers, other: NamedLayers) -> Residual:
    return Residual(one, other) if one or not other else Residual(other, one)


def _relative(name: str, scope: str) -> str:
    return name[len(scope) + 1 :] if scope and name.startswith(f"{scope}.") else name


def flat_scores(chain: NamedLayers, shape: Shape) -> NamedLayers:
    """Return the chain with a Flatten where its scores, of ``shape``, are maps of one pixel; before a softmax."""
    if len(shape) != 3 or shape[1:] != (1, 1) or not chain:
        return chain
    end = len(chain) - isinstance(chain[-1][1], Softmax | LogSoftmax)
    name = "flatten"
    while any(n == name for n, _ in chain):
        name += "_"
    return [*chain[:end], (name, Flatten()), *chain[end:]]
