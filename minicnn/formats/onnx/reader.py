"""From an ONNX file to a network: node after node to layers, then the graph to a list."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import MinicnnError, WeightsError
from minicnn.formats.containers.files import escape
from minicnn.formats.ends import ONLY, Ends
from minicnn.formats.fields import Fields
from minicnn.formats.graph import flatten_scores, list_layers
from minicnn.formats.onnx.lowering import BATCH, MAX_VALUES, Lowering
from minicnn.formats.onnx.maps.gathers import gather_behind_batch
from minicnn.formats.onnx.model import Model, Node, ValueInfo, open_model
from minicnn.formats.onnx.pointwise.formulas import merge_formulas
from minicnn.formats.onnx.tensors import KINDS, Filled
from minicnn.images import Preprocess
from minicnn.layers.base import Shape
from minicnn.network import Network

__all__ = ["FRONT", "LABELS", "PREPROCESS", "PRODUCER", "SIZES", "read"]

# our writer's name, and the keys of the metadata where it keeps what ONNX has no place for
PRODUCER = "minicnn"
LABELS, PREPROCESS = "minicnn.labels", "minicnn.preprocess"
# what is done with an image whose channels come last, before they are put first
FRONT = ("Add", "Sub", "Mul", "Div", "Neg", "Cast", "Clip", "Identity", "Gather", "Slice", "Pad", "Resize")
FLOATS = (1, 10, 11, 16)
# stand-ins for sizes that the file leaves open, twice: primes
SIZES = (1009, 1013, 1019, 1021), (1031, 1033, 1039, 1049)


def read(path: PathLike, ends: Ends = ONLY) -> Network:
    """Read a network from an ONNX file, opset 6 or newer; weights in the file or in files beside it.

    Layers are called as their nodes are, or as the nodes' outputs where those have no name; a layer that stands
    for several nodes has the last one's name.  Scores of shape (N, K, 1, 1) come out as (N, K).  A transposition
    from N x H x W x C that begins the graph is left out: inputs are N x C x H x W here; if arithmetic comes before
    it, the channels are first put last.  What an input means is
    not in the file: ``preprocess`` and ``labels`` are None unless minicnn wrote it.  ``ends`` chooses among
    several inputs and outputs.

    Raises
    ------
    WeightsError
        If the file is damaged, or an operator has no layer; the operator and its node are named.

    """
    model = open_model(path)
    target = _find_target(model, ends)
    nodes = _prune_nodes(model.nodes, target)
    nodes = _prune_nodes(merge_formulas(nodes, model), target)
    _check_not_quantised(nodes)
    info = _find_input(model, nodes, ends)
    nodes = _prune_nodes(gather_behind_batch(nodes, model, (info.dims or (None,))[0]), target)
    source = _describe_input(model, info, nodes)
    shapes = _standin_shapes(source)
    batch = source.dims[0] or BATCH
    name, channels_last = source.name, source.channels_last
    if source.has_steps:
        (name, transposition), channels_last = _channels_first(source, model.path), False
        nodes = [transposition, *nodes]
    lowering = Lowering(model, nodes, name, target, batch, shapes, channels_last)
    if target not in lowering.shapes or (target in lowering.squares and target not in lowering.graph):
        raise WeightsError(f"{path}: the output {escape(target)!r} does not come from the input through layers")
    try:
        layers = list_layers(lowering.graph, name, target)
        chain = flatten_scores(layers, lowering.shapes[target][0], shapes[0])
        preprocess, labels = _parse_metadata(model)
        input_shape = None if lowering.open else shapes[0]
        return Network(chain, input_shape, preprocess, labels, name=model.path.stem)
    except MinicnnError as error:
        raise WeightsError(f"{path}: {error}") from None


def _find_target(model: Model, ends: Ends) -> str:
    """Return the value that is read: an output, or whatever other value was asked for by its name."""
    outputs = [info.name for info in model.outputs]
    inner = ends.output not in outputs and any(ends.output in node.outputs for node in model.nodes)
    return ends.output if inner and ends.output else ends.find_output(outputs, model.path)


def _check_not_quantised(nodes: Iterable[Node]) -> None:
    for node in nodes:
        if re.search("QuantizeLinear|^QLinear|Integer$", node.op_type):
            raise node.error("belongs to a quantised network; load the one in float32 from which it was made")


class _Input(NamedTuple):
    """The input: its name, its dimensions with the channels first, None where open, and whether they were last.

    ``has_steps`` says that the file computes with the channels last before it puts them first.
    """

    name: str
    dims: tuple[int | None, ...]
    channels_last: bool
    has_steps: bool


def _find_input(model: Model, nodes: list[Node], ends: Ends) -> ValueInfo:
    """Return the image among the inputs that are needed; what the others are given becomes constants."""
    read = {name for node in nodes for name in node.reads}
    infos = {info.name: info for info in model.inputs}
    # an input that the output does not depend on, such as a loss's labels, needs no choice
    name = ends.find_input([n for n in infos if n in read] or list(infos), model.path)
    for constant, value in ends.constants.items():
        kind = KINDS.get(infos[constant].kind)
        if kind is None or infos[constant].dims is None:
            raise WeightsError(f"{model.path}: input {escape(constant)!r}: neither numbers nor of a known shape")
        dims = [n or 1 for n in infos[constant].dims or ()]
        model.constants[constant] = Filled(constant, np.full(dims, value, kind.code.replace("bf16", "f4")))
    return infos[name]


def _prune_nodes(nodes: list[Node], target: str) -> list[Node]:
    """Return the nodes that the output depends on, in order."""
    # nodes come in order, so that one pass from the end finds all that the output needs
    needed, live = {target}, []
    for node in reversed(nodes):
        if any(name in needed for name in node.outputs):
            needed.update(name for name in node.reads if name)
            live.append(node)
    return live[::-1]


def _describe_input(model: Model, info: ValueInfo, nodes: list[Node]) -> _Input:
    where = f"{model.path}: input {escape(info.name)!r}"
    if info.kind not in FLOATS or info.dims is None or not 2 <= len(info.dims) <= 5:
        raise WeightsError(
            f"{where}: element type {info.kind}, dimensions {info.dims}; expected floating-point numbers "
            "of shape N x C x H x W"
        )
    # minicnn's own files mean what they say
    steps = _steps_before_transposition(info.name, nodes)
    channels_last = len(info.dims) == 4 and model.producer != PRODUCER and steps is not None
    dims = tuple(info.dims[i] for i in (0, 3, 1, 2)) if channels_last else info.dims
    if dims[1] is None or any(n is not None and n > MAX_VALUES for n in dims):
        raise WeightsError(f"{where}: its channels are not said, or too many; export the model with a fixed size")
    return _Input(info.name, dims, channels_last, bool(channels_last and steps))


def _steps_before_transposition(name: str, nodes: list[Node]) -> int | None:
    """Return how many steps lie between the input and the one transposition that puts its channels first.

    None if it has other readers, or what is done with it first is no change of its values or its border.
    """
    for steps in range(len(nodes)):
        readers = [node for node in nodes if name in node.reads]
        if len(readers) == 1 and readers[0].op_type == "Transpose":
            return steps if readers[0].attributes.get("perm") == [0, 3, 1, 2] else None
        if len(readers) != 1 or readers[0].op_type not in FRONT:
            return None
        name = readers[0].outputs[0]
    return None


def _channels_first(source: _Input, path: Path) -> tuple[str, Node]:
    """Return a name for the image with its channels first, and the transposition that puts them last."""
    name, perm = f"{source.name}, channels first", Fields({"perm": [0, 2, 3, 1]})
    return name, Node("Transpose", "channels_last", (name,), (source.name,), perm, path)


def _standin_shapes(source: _Input) -> tuple[Shape, Shape]:
    """Return the input's shape for one image with the first stand-ins and with the others."""
    # an open height or width gets two stand-ins: a later shape depends on it if its two versions differ
    first, second = (
        tuple(n or standin for n, standin in zip(source.dims[1:], (0, *sizes), strict=False)) for sizes in SIZES
    )
    return first, second


def _parse_metadata(model: Model) -> tuple[Preprocess | None, list[str] | None]:
    try:
        texts = {key: json.loads(model.metadata[key]) for key in (PREPROCESS, LABELS) if key in model.metadata}
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"its metadata are damaged: {escape(str(error))}") from None
    labels = texts.get(LABELS)
    if labels is not None and not (isinstance(labels, list) and all(isinstance(n, str) for n in labels)):
        raise WeightsError(f"{LABELS}: expected a list of names")
    return Preprocess.from_dict(texts[PREPROCESS]) if PREPROCESS in texts else None, labels
