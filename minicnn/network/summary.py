"""The table of a network: each layer's output, parameters, work and memory."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from minicnn._utils.types import Shape
from minicnn.errors import ShapeError
from minicnn.layers import sequence

__all__ = ["choose_shape", "rows", "table"]


def choose_shape(given: Sequence[int] | None, own: Shape | None) -> Shape:
    """Return the given input shape, or the network's own; ShapeError if there is neither."""
    shape = given or own
    if shape is None:
        raise ShapeError("summary: this network has no input_shape; give one, such as summary((3, 224, 224))")
    return tuple(shape)


def rows(layers: sequence.NamedLayers, input_shape: Shape, itemsize: int = 4) -> list[dict[str, Any]]:
    """One dictionary a layer: name, type, output_shape without N, parameters, multiply_adds, bytes of output.

    And inputs, where these are not the layer before it.
    """
    return [
        {
            "name": name,
            "type": type(layer).__name__,
            **({"inputs": list(layer.inputs)} if layer.inputs else {}),
            "output_shape": list(out),
            "parameters": sum(prod(s) for s in layer.parameter_shapes().values()),
            "multiply_adds": layer.multiply_adds(shape),
            "bytes": prod(out) * itemsize,
        }
        for name, layer, shape, out in sequence.shapes(layers, input_shape)
    ]


def table(rows: list[dict[str, Any]], input_shape: Shape, itemsize: int = 4) -> str:
    """Return rows as text, with a line of totals; memory is the layer's output for one image."""
    parameters, work, size = (sum(row[key] for row in rows) for key in ("parameters", "multiply_adds", "bytes"))
    cells = [("name", "layer", "output", "parameters", "multiply-adds", "memory")]
    cells += [("input", "", _times(input_shape), "", "", _kib(prod(input_shape) * itemsize))]
    cells += [
        (
            row["name"],
            row["type"] + (f"({', '.join(row['inputs'])})" if "inputs" in row else ""),
            _times(row["output_shape"]),
            f"{row['parameters']:,}" if row["parameters"] else "",
            f"{row['multiply_adds']:,}" if row["multiply_adds"] else "",
            _kib(row["bytes"]),
        )
        for row in rows
    ]
    cells += [("total", f"{len(rows)} layers", "", f"{parameters:,}", f"{work:,}", _kib(size))]
    widths = [max(len(row[i]) for row in cells) for i in range(6)]
    lines = [
        # words to the left, numbers to the right
        "  ".join(c.ljust(w) if i < 3 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in cells
    ]
    rule = "-" * max(len(line) for line in lines)
    return "\n".join(line.rstrip() for line in [lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _times(shape: Sequence[int]) -> str:
    return " x ".join(str(n) for n in shape)


def _kib(size: int) -> str:
    return f"{size / 1024:,.1f} KiB"
