"""Activations and layer norms that a graph spells out in several nodes, as one: x sigmoid(x) is a Swish.

A formula is an operator with its arguments, formulas in turn: ``X`` stands for the one value that it is a function
of, a number for a constant, another name for a constant of any value, which becomes an attribute, and a dictionary
at the end for attributes.  Sums and products match in either order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import pi, prod, sqrt
from typing import Any

import numpy as np

from minicnn.formats.containers.protobuf import Message
from minicnn.formats.fields import Fields
from minicnn.formats.onnx.model import Model, Node
from minicnn.formats.onnx.tensors import Tensor

__all__ = ["merge_formulas"]

X = "x"
COMMUTATIVE = ("Add", "Mul")
CLOSE = 1e-6  # a constant in float32 and the number it stands for, relative


def _product(a: Any, b: Any, c: Any) -> list[tuple[Any, ...]]:
    """Return the products of three, whichever two are multiplied first."""
    return [("Mul", ("Mul", a, b), c), ("Mul", ("Mul", a, c), b), ("Mul", ("Mul", b, c), a)]


_GATE = ("Clip", ("Add", X, 3.0), 0.0, 6.0)
_OLD_GATE = ("Clip", ("Add", X, 3.0), {"min": 0.0, "max": 6.0})
_SQUARES = (("Pow", X, 2.0), ("Mul", X, X))
_CUBES = (("Pow", X, 3.0), *(("Mul", X, square) for square in _SQUARES))
_INNER = [("Mul", sqrt(2 / pi), ("Add", X, ("Mul", 0.044715, cube))) for cube in _CUBES]
_INNER += [
    formula
    for square in _SQUARES
    for formula in _product(sqrt(2 / pi), X, ("Add", 1.0, ("Mul", 0.044715, square)))
]

_SCALED = ("Mul", X, "beta")

# the operator that takes its place and its attributes, and the ways in which it is spelt out
_FORMULAS: list[tuple[str, dict[str, Any], list[tuple[Any, ...]]]] = [
    ("Swish", {}, [("Mul", X, ("Sigmoid", X))]),
    ("Softsign", {}, [("Div", X, ("Add", ("Abs", X), 1.0))]),
    ("Mish", {}, [("Mul", X, ("Tanh", ("Softplus", X)))]),
    (
        "HardSwish",
        {},
        [
            ("Mul", X, ("HardSigmoid", X, {"alpha": 1 / 6})),
            ("Mul", X, ("HardSigmoid", X, {"alpha": 1 / 6, "beta": 0.5})),
            *(f for gate in (_GATE, _OLD_GATE) for f in _product(X, gate, 1 / 6)),
            *(("Div", ("Mul", X, gate), 6.0) for gate in (_GATE, _OLD_GATE)),
            *(("Mul", X, ("Div", gate, 6.0)) for gate in (_GATE, _OLD_GATE)),
        ],
    ),
    (
        "Gelu",
        {},
        [
            formula
            for argument in (("Div", X, sqrt(2)), ("Mul", X, sqrt(0.5)))
            for formula in _product(X, 0.5, ("Add", ("Erf", argument), 1.0))
        ],
    ),
    (
        "Gelu",
        {"approximate": "tanh"},
        [f for inner in _INNER for f in _product(X, 0.5, ("Add", ("Tanh", inner), 1.0))],
    ),
    # as torch's newer exporter writes nn.Softplus and nn.Threshold
    ("ThresholdedSoftplus", {}, [("Where", ("Greater", X, "threshold"), X, ("Softplus", X))]),
    (
        "ThresholdedSoftplus",
        {},
        [("Where", ("Greater", _SCALED, "threshold"), X, ("Div", ("Softplus", _SCALED), "beta"))],
    ),
    ("Threshold", {}, [("Where", ("LessOrEqual", X, "threshold"), "value", X)]),
    *(
        (op_type, {}, [("Where", (greater, X, 0.0), X, otherwise)])
        for greater in ("Greater", "GreaterOrEqual")
        for op_type, otherwise in (("LeakyRelu", ("Mul", X, "alpha")), ("Relu", 0.0))
    ),
]


_ROOT = (1, "Sqrt", 0, "Add")
# from the quotient: x - mean, mean, variance + eps, variance, the squares, and x - mean again
_LAYER_NORM: tuple[tuple[int | str, ...], ...] = (
    (0, "Sub"),
    (0, "Sub", 1, "ReduceMean"),
    _ROOT,
    (*_ROOT, 0, "ReduceMean"),
    (*_ROOT, 0, "ReduceMean", 0, "Pow"),
    (*_ROOT, 0, "ReduceMean", 0, "Pow", 0, "Sub"),
)


def merge_formulas(nodes: list[Node], model: Model) -> list[Node]:
    """Return the nodes, with one in place of the last of each formula; what it read may be left unused."""
    matcher = _Matcher(nodes, model)
    return [matcher.merge(node) for node in nodes]


class _Matcher:
    """Holds formulas against a graph: which node gives a value, and which values are single numbers."""

    def __init__(self, nodes: list[Node], model: Model):
        self.constants, self.folder = model.constants, model.folder
        self.producers = {output: node for node in nodes for output in node.outputs if output}

    def merge(self, node: Node) -> Node:
        """Return the node that stands for the formula that ends in this one, or itself."""
        if node.op_type not in ("Mul", "Div", "Where") or len(node.outputs) != 1:
            return node
        if (norm := self._layer_norm(node)) is not None:
            return norm
        for op_type, attributes, formulas in _FORMULAS:
            for formula in formulas:
                names = self.match(node.outputs[0], formula, {})
                if names is not None:
                    x = names.pop(X)
                    return Node(op_type, node.name, (x,), node.outputs, Fields(attributes | names), node.path)
        return node

    def _layer_norm(self, node: Node) -> Node | None:
        """Return (x - mean) / sqrt(mean((x - mean)^2) + eps), over the last axes, as LayerNormalization."""
        matched = [parts for path in _LAYER_NORM if (parts := self._find(node, *path)) is not None]
        if len(matched) < len(_LAYER_NORM):
            return None
        difference, mean, total, variance, square, again = matched
        axes, eps = mean.attributes.get("axes"), self._constant(total.inputs[1])
        same = variance.attributes.get("axes") == axes and again.inputs == difference.inputs
        plain = len(mean.inputs) == len(variance.inputs) == 1 and mean.inputs[0] == difference.inputs[0]
        kept = all(reduction.attributes.get("keepdims", 1) == 1 for reduction in (mean, variance))
        if not isinstance(axes, list) or axes != list(range(-len(axes), 0)):
            return None
        if not (same and plain and kept and eps is not None and self.is_number(square.inputs[1], 2.0)):
            return None
        attributes = Fields({"axis": -len(axes), "epsilon": float(eps.reshape(()))})
        return Node("LayerNormalization", node.name, mean.inputs, node.outputs, attributes, node.path)

    def _find(self, node: Node | None, *path: int | str) -> Node | None:
        """Return the node at the end of a path of inputs and operators; None where it leads elsewhere."""
        for index, op_type in zip(path[::2], path[1::2], strict=True):
            inputs = () if node is None else node.inputs
            node = self.producers.get(inputs[int(index)]) if len(inputs) > int(index) else None
            node = node if node is not None and node.op_type == op_type else None
        return node

    def match(self, value: str, formula: Any, names: dict[str, Any]) -> dict[str, Any] | None:
        """Return the name of the value that is ``X`` and the named constants; None where the formula differs.

        ``names`` is what is known of them so far.
        """
        if isinstance(formula, float):
            return names if self.is_number(value, formula) else None
        if isinstance(formula, str):
            meant = value if formula == X else self.number(value)
            return None if meant is None or names.get(formula, meant) != meant else {**names, formula: meant}
        node = self.producers.get(value)
        if node is None or node.op_type != formula[0]:
            return None
        attributes = formula[-1] if isinstance(formula[-1], dict) else {}
        arguments = formula[1:-1] if attributes else formula[1:]
        if len(node.inputs) != len(arguments) or not _has_attributes(node, attributes):
            return None
        orders = [node.inputs, node.inputs[::-1]] if node.op_type in COMMUTATIVE else [node.inputs]
        for inputs in orders:
            if (matched := self.match_all(inputs, arguments, names)) is not None:
                return matched
        return None

    def match_all(
        self, inputs: Iterable[str], arguments: Iterable[Any], names: dict[str, Any] | None
    ) -> dict[str, Any] | None:
        """Match each argument in turn, numbers first: they are soon seen not to fit."""
        pairs = zip(inputs, arguments, strict=True)
        for value, argument in sorted(pairs, key=lambda pair: not isinstance(pair[1], float)):
            names = None if names is None else self.match(value, argument, names)
        return names

    def number(self, value: str) -> float | None:
        """Return a constant that is one number, as the shortest decimal that gives it; None for other values."""
        array = self._constant(value)
        number = float(str(array.reshape(())[()])) if array is not None and array.dtype.kind in "fiu" else np.nan
        return number if np.isfinite(number) else None

    def is_number(self, value: str, number: float) -> bool:
        """Return whether a value is a constant, and this one number."""
        given = self.number(value)
        return given is not None and abs(given - number) <= CLOSE * abs(number)

    def _constant(self, value: str) -> np.ndarray | None:
        tensor, node = self.constants.get(value), self.producers.get(value)
        if node is not None and node.op_type == "Constant":
            held = dict(node.attributes.items())
            if isinstance(held.get("value_float"), float):
                return np.array(held["value_float"])
            tensor = Tensor(held["value"], self.folder) if isinstance(held.get("value"), Message) else None
        # the sizes first: a large array is not read to see that it is none of a formula's numbers
        return tensor.array if tensor is not None and prod(tensor.dims) == 1 else None


def _has_attributes(node: Node, expected: Mapping[str, float]) -> bool:
    """Return whether a node has these attributes and no others."""
    given = dict(node.attributes.items())
    return given.keys() == expected.keys() and all(
        isinstance(given[name], float) and abs(given[name] - value) <= CLOSE * abs(value)
        for name, value in expected.items()
    )
