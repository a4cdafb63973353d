"""What the page is told: of the network, of a picture's pass, and of maps as bytes."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import numpy as np

from minicnn.explorer.nodes import INPUT, graph_of, node_record
from minicnn.explorer.passes import RULE_NAMES, Pass
from minicnn.explorer.sessions import Session
from minicnn.explorer.starts import Start
from minicnn.layers import sequence
from minicnn.layers.sequence import NamedLayers
from minicnn.network import Network
from minicnn.report.palettes import palette

__all__ = ["encode", "map_bytes", "net_record", "pass_record", "png"]

COLOURS = ("heat", "grey", "signed")


def encode(values: np.ndarray) -> str:
    """Return float32 numbers in base64."""
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()


def png(pixels: np.ndarray) -> str:
    """Return a picture as the source of an image."""
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def net_record(net: Network) -> dict[str, Any]:
    """Return what is known of a network before any picture."""
    graph = graph_of(net)
    shapes = _shapes(net)
    nodes = [node_record(node, shapes[name]) for name, node in graph.nodes.items()]
    return {
        "name": net.name,
        "device": net.device,
        "input_shape": list(net.input_shape or ()),
        "labels": net.labels,
        "nodes": nodes,
        "aliases": graph.aliases,
        "colours": {name: palette(name).tolist() for name in COLOURS},
    }


def _shapes(net: Network) -> dict[str, tuple[int, ...]]:
    """Return the output shape of each node, by dotted name."""
    shape = net.input_shape or (0,)
    all_shapes: dict[str, tuple[int, ...]] = {}

    def add(layers: NamedLayers, before: Any, prefix: str) -> None:
        for name, layer, own, after in sequence.shapes(layers, before):
            all_shapes[prefix + name] = after
            for branch in layer.branches():
                add(branch, own, f"{prefix}{name}.")

    add(sequence.before_softmax(net.named_layers), shape, "")
    return all_shapes


def pass_record(session: Session, run: Pass) -> dict[str, Any]:
    """Return what the page shows of a picture at once: its input, classes, and the range of every layer."""
    start = run.default_start()
    preprocess = run.net.preprocess
    picture = None if preprocess is None else png(preprocess.to_image(run.x[0]))
    return {
        "picture": picture,
        "size": list(session.view.image_size),
        "box": list(session.view.box),
        "predictions": run.predictions(),
        "start": _write_start(start),
        "ranges": {name: _range(run.value(name)) for name in (INPUT, *run.graph.nodes)},
        "strongest": {name: strongest(run.value(name)) for name in run.graph.nodes},
    }


def _write_start(start: Start) -> str:
    return f"unit:{start.layer}@{start.cell}" if start.kind == "unit" else f"{start.kind}:{start.classes[0]}"


def _range(values: np.ndarray) -> list[float]:
    return [float(values.min()), float(values.max())]


def strongest(values: np.ndarray, count: int = 8) -> list[int]:
    """Return the channels of maps with the largest values, best first; of others none.

    Examples
    --------
    >>> strongest(np.array([[[1.0]], [[3.0]], [[2.0]]]), 2)
    [1, 2]

    """
    if values.ndim != 3:
        return []
    peaks = np.abs(values).reshape(len(values), -1).max(axis=1)
    return [int(c) for c in np.argsort(-peaks, kind="stable")[:count]]


def map_bytes(run: Pass, name: str, what: str, start: Start) -> bytes:
    """Return a layer's output, or its gradient by a rule, as little-endian float32; NaN behind the start."""
    values = run.value(name)
    if what in RULE_NAMES:
        gradient = run.back(start, what)
        values = gradient.by_name.get(name, np.full(values.shape, np.nan, np.float32))
    return np.ascontiguousarray(values, "<f4").tobytes()
