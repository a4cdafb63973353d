"""From an ONNX file to a network: node after node to layers, then the graph to a list."""

from __future__ import annotations

import json
from typing import NamedTuple

from minicnn._utils.types import PathLike
from minicnn.errors import MinicnnError, WeightsError
from minicnn.formats.containers.files import escape
from minicnn.formats.graph import chain_of, flat_scores
from minicnn.formats.onnx import model
from minicnn.formats.onnx.lowering import BATCH, MAX_VALUES, Lowering
from minicnn.formats.onnx.model import Model, Node, Port
from minicnn.images import Preprocess
from minicnn.layers.base import Shape
from minicnn.network import Network

__all__ = ["LABELS", "PREPROCESS", "PRODUCER", "SIZES", "read"]

# our writer's name, and the keys of the metadata where it keeps what ONNX has no place for
PRODUCER = "minicnn"
LABELS, PREPROCESS = "minicnn.labels", "minicnn.preprocess"
FLOATS = (1, 10, 11, 16)
# stand-ins for sizes that the file leaves open, twice: primes
SIZES = (1009, 1013, 1019, 1021), (1031, 1033, 1039, 1049)


def read(path: PathLike) -> Network:
    """Read a network from an ONNX file, opset 6 or newer; weights in the file or in files beside it.

    Layers are called as their nodes are, or as the nodes' outputs where those have no name; a layer that stands
    for several nodes has the last one's name.  Scores of shape (N, K, 1, 1) come out as (N, K).  A transposition
    from N x H x W x C that begins the graph is left out: inputs are N x C x H x W here.  What an input means is
    not in the file: ``preprocess`` and ``labels`` are None unless minicnn wrote it.

    Raises
    ------
    WeightsError
        If the file is damaged, an operator has no layer, or the graph is no list of layers and blocks; the
        operator and its node are named.

    """
    found = model.opened(path)
    port, target = _ends(found)
    nodes = _live(found.nodes, target)
    entry = _entry(found, port, nodes)
    shapes = _shapes(entry)
    batch = entry.dims[0] or BATCH
    lowered = Lowering(found, nodes, entry.name, target, batch, shapes, entry.channels_last)
    if target not in lowered.shapes or target in lowered.squares:
        raise WeightsError(f"{path}: the output {escape(target)!r} does not come from the input through layers")
    try:
        chain = flat_scores(chain_of(lowered.steps, entry.name, target), lowered.shapes[target][0])
        preprocess, labels = _metadata(found)
        input_shape = None if lowered.open else shapes[0]
        return Network(chain, input_shape, preprocess, labels, name=found.path.stem)
    except MinicnnError as error:
        raise WeightsError(f"{path}: {error}") from None


class _Entry(NamedTuple):
    """The input: its name, its dimensions with the channels first, None where open, and whether they were last."""

    name: str
    dims: tuple[int | None, ...]
    channels_last: bool


def _ends(found: Model) -> tuple[Port, str]:
    """Return the one input and the name of the one output."""
    for what, ports in (("input", found.inputs), ("output", found.outputs)):
        if len(ports) != 1:
            names = ", ".join(escape(port.name) for port in ports[:8])
            raise WeightsError(
                f"{found.path}: {len(ports)} {what}s ({names}); expected one, "
                "cut the part you need out with onnx.utils.extract_model"
            )
    return found.inputs[0], found.outputs[0].name


def _live(nodes: list[Node], target: str) -> list[Node]:
    """Return the nodes that the output depends on, in order."""
    needed, found = {target}, []
    for node in reversed(nodes):
        if any(name in needed for name in node.outputs):
            needed.update(name for name in node.reads if name)
            found.append(node)
    return found[::-1]


def _entry(found: Model, port: Port, nodes: list[Node]) -> _Entry:
    where = f"{found.path}: input {escape(port.name)!r}"
    if port.kind not in FLOATS or port.dims is None or not 2 <= len(port.dims) <= 5:
        raise WeightsError(
            f"{where}: element type {port.kind}, dimensions {port.dims}; expected floating-point numbers "
            "of shape N x C x H x W"
        )
    readers = [node for node in nodes if port.name in node.reads]
    channels_last = (
        len(port.dims) == 4
        and found.producer != PRODUCER  # who means what it says
        and len(readers) == 1
        and readers[0].op == "Transpose"
        and readers[0].attributes.get("perm") == [0, 3, 1, 2]
    )
    dims = tuple(port.dims[i] for i in (0, 3, 1, 2)) if channels_last else port.dims
    if dims[1] is None or any(n is not None and n > MAX_VALUES for n in dims):
        raise WeightsError(f"{where}: its channels are not said, or too many; export the model with a fixed size")
    return _Entry(port.name, dims, channels_last)


def _shapes(entry: _Entry) -> tuple[Shape, Shape]:
    """Return the input's shape for one image with the first stand-ins and with the others."""
    first, second = (
        tuple(n or spare for n, spare in zip(entry.dims[1:], (0, *sizes), strict=False)) for sizes in SIZES
    )
    return first, second


def _metadata(found: Model) -> tuple[Preprocess | None, list[str] | None]:
    try:
        texts = {key: json.loads(found.metadata[key]) for key in (PREPROCESS, LABELS) if key in found.metadata}
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"its metadata are damaged: {escape(str(error))}") from None
    labels = texts.get(LABELS)
    if labels is not None and not (isinstance(labels, list) and all(isinstance(n, str) for n in labels)):
        raise WeightsError(f"{LABELS}: expected a list of names")
    return Preprocess.from_dict(texts[PREPROCESS]) if PREPROCESS in texts else None, labels
