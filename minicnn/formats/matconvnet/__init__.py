"""MatConvNet's networks, SimpleNN and DagNN, in the .mat files that MATLAB's ``save`` makes of them.

What differs from here: maps are H x W x C x N and filters H x W x C x K; padding is [top bottom left right]; an
average pool does not count padding; alpha of the response normalisation is not divided by the window; batch
normalisation keeps deviations, epsilon included, in place of variances; groups are not named but follow from the
filters' depth; a full layer is a convolution as large as its maps, after which the scores are flattened here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from minicnn._utils.types import PathLike
from minicnn.errors import MinicnnError, WeightsError
from minicnn.formats.containers import matlab
from minicnn.formats.containers.files import escape
from minicnn.formats.fields import describe_unread
from minicnn.formats.graph import GraphNode, flatten_scores, list_layers
from minicnn.formats.matconvnet.blocks import INPUT, NET_FIELDS, Block, decode_blocks, first_numbers
from minicnn.formats.matconvnet.layers import convert_block
from minicnn.formats.matconvnet.meta import read_input_shape, read_labels, read_preprocess
from minicnn.layers import Add, Cat, Layer, sequence
from minicnn.network import Network

__all__ = ["read"]

JOINS: dict[str, Layer] = {"sum": Add(), "concat": Cat()}


def read(path: PathLike) -> Network:
    """Read a network that MatConvNet saved, SimpleNN or DagNN, with its preprocessing and class names.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    net : Network
        Layer names are the file's.  Losses at the end are left out; class scores are (N, K).

    Raises
    ------
    WeightsError
        If the file is missing or damaged, holds no such network, or a layer that minicnn does not have.

    """
    variables = matlab.read(path)
    net = variables.get("net", variables)
    if not isinstance(net, dict) or not isinstance(net.get("layers"), list | dict):
        names = ", ".join(escape(name) for name in list(variables)[:8])
        raise WeightsError(f"{path}: expected a MatConvNet network, found a MATLAB file with {names or 'nothing'}")
    try:
        return _build_network(net, Path(path).stem)
    except (MinicnnError, OverflowError) as error:
        raise WeightsError(f"{path}: {error}") from None


def _build_network(net: Mapping[str, Any], name: str) -> Network:
    # old files have what is in meta beside the layers
    meta = net["meta"] if isinstance(net.get("meta"), dict) else net
    unknown = [name for part in (net, meta) for name in part if name not in NET_FIELDS]
    if unknown:
        raise WeightsError(describe_unread(unknown))
    input_shape = read_input_shape(meta)
    target, nodes = _build_nodes(decode_blocks(net), input_shape[0] if input_shape else None)
    layers = list_layers(nodes, INPUT, target)
    # where the size of the input is open, the scores are taken for maps of one pixel
    shape = sequence.output_shape(layers, input_shape) if input_shape else (0, 1, 1)
    layers = flatten_scores(layers, shape, input_shape)
    scores = sequence.output_shape(layers, input_shape) if input_shape else None
    return Network(layers, input_shape, read_preprocess(meta), read_labels(meta, scores), name=name)


def _build_nodes(blocks: list[Block], channels: int | None) -> tuple[str, dict[str, GraphNode]]:
    """Return the name of the scores, and how each value comes about.

    ``channels`` are the input's, as far as they are known.
    """
    channels_of: dict[str, int | None] = {INPUT: channels}
    nodes: dict[str, GraphNode] = {}
    for block in _sort_blocks(blocks):
        layers: tuple[Layer, ...]
        if block.type in JOINS:  # of one value it is the value itself
            layers = (JOINS[block.type],) if len(block.inputs) > 1 else ()
        elif len(block.inputs) != 1:
            raise block.error(f"reads {len(block.inputs)} values, expected one")
        else:
            layers = (convert_block(block, channels_of[block.inputs[0]]),)
        # the depth of each value, by which a later convolution knows its groups
        channels_of[block.output] = _output_channels(block, layers, [channels_of[name] for name in block.inputs])
        block.check_read()
        nodes[block.output] = GraphNode(block.name, block.inputs, layers)
    used = {name for block in blocks for name in block.inputs}
    ends = [name for name in nodes if name not in used]
    if len(ends) != 1:
        raise WeightsError(f"expected a network with one output, found {len(ends)}: {escape(ends)}")
    return ends[0], nodes


def _sort_blocks(blocks: list[Block]) -> Iterator[Block]:
    """Yield the blocks, each after those whose outputs it reads."""
    outputs = [block.output for block in blocks]
    if len(set(outputs)) < len(outputs) or INPUT in outputs:
        raise WeightsError("two layers write to one variable; expected each to have its own")
    computed, pending = {INPUT}, blocks
    while pending:
        ready = []
        # a block may read what one before it in the same round has given
        for block in pending:
            if block.inputs and computed.issuperset(block.inputs):
                computed.add(block.output)
                ready.append(block)
        if not ready:
            raise pending[0].error("reads what no layer before it gives; the network has a cycle or a gap")
        yield from ready
        pending = [block for block in pending if block.output not in computed]


def _output_channels(block: Block, layers: tuple[Layer, ...], depths: list[int | None]) -> int | None:
    if block.type == "concat":
        if first_numbers(block.fields.get("dim", 3)) != [3]:
            raise block.error("concatenates along another axis than the channels")
        known = [n for n in depths if n is not None]
        return sum(known) if len(known) == len(depths) else None
    return getattr(layers[0], "out_channels", depths[0]) if layers else depths[0]
