"""Where a layer is written in an ONNX graph, and what the exporters of all layers add there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from minicnn.errors import WeightsError
from minicnn.layers import Layer
from minicnn.layers.base import Shape

if TYPE_CHECKING:
    from minicnn.formats.onnx.writer import Graph

__all__ = ["Export", "ExportContext", "node_of"]


class ExportContext(NamedTuple):
    """Where a layer stands: its dotted name, the name of its input, and that input's shape for one image."""

    graph: Graph
    path: str
    x: str
    shape: Shape

    @property
    def dtype(self) -> np.dtype:
        """The type of the graph's weights."""
        return self.graph.dtype

    def node(self, op_type: str, *inputs: str, part: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its output: the layer's, or that of a ``part`` of it."""
        return self.graph.node(op_type, f"{self.path}_{part}" if part else self.path, list(inputs), **attributes)

    def constant(self, name: str, array: Any, weights: bool = True) -> str:
        """Add an initialiser called ``layer.name`` and return its name."""
        return self.graph.constant(f"{self.path}.{name}", np.asarray(array), weights)

    def constants(self, arrays: Mapping[str, Any]) -> list[str]:
        """Add an initialiser for each array and return their names."""
        return [self.constant(name, array) for name, array in arrays.items()]

    def integers(self, name: str, values: Any) -> str:
        """Add an initialiser of whole numbers and return its name."""
        return self.constant(name, np.array(values, np.int64))

    def pad(self, x: str, pads: list[int], value: float = 0, mode: str | None = None, part: str = "") -> str:
        """Add a Pad of maps by (top, left, bottom, right) and return its output."""
        top, left, bottom, right = pads
        at = self._replace(path=f"{self.path}_{part}") if part else self
        # Pad counts N and C too: four beginnings, then four ends
        inputs = [x, at.integers("pads", [0, 0, top, left, 0, 0, bottom, right])]
        if value:
            inputs.append(at.constant("value", np.array(value, self.dtype)))
        return at.node("Pad", *inputs, **({"mode": mode} if mode else {}))

    def fixed_shape(self) -> Shape:
        """Return the input's shape, which must be known."""
        if self.graph.open_size:
            raise self.error("needs the input's size; set the network's input_shape")
        return self.shape

    def error(self, why: str) -> WeightsError:
        """Return an error that names the layer."""
        return WeightsError(f"layer {self.path!r}: {why}")


# adds the nodes of a layer, which is of the class that its table names, and returns the name of their output
Export: TypeAlias = Callable[[Any, ExportContext], str]


def node_of(op_type: str, **attributes: Any) -> Export:
    """Return what exports a layer as one node, the same for all layers of its class."""

    def export(layer: Layer, at: ExportContext) -> str:
        return at.node(op_type, at.x, **attributes)

    return export
