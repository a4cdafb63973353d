"""The layers of a MatConvNet file, of SimpleNN and DagNN alike, before they are converted.

A field counts as known once a layer's function has asked for it (``block.pair("stride")``); one that nobody asked
for is refused by its name, unless ``HARMLESS`` has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import WeightsError
from minicnn.formats.containers.files import escape
from minicnn.formats.fields import Fields, describe_unread

__all__ = ["INPUT", "NET_FIELDS", "Block", "decode_blocks", "first_numbers"]

MAX_LAYERS = 2_000
INPUT = "the input"
_LOSSES = ("loss", "softmaxloss")
# fields that change no answer of ours, whatever they say: what is read elsewhere, of training and of memory, and
# the epsilon of a normalisation, which the moments of a file hold already
HARMLESS = frozenset(
    """
    type name weights filters biases hasBias size numChannels numInputs inputSizes
    learningRate weightDecay momentum precious rememberOutput frozen rate probabilities
    net layerIndex exBackprop useShortCircuit epsilon
    """.split()
)
# of a network, and of its meta: what is read, and how it was trained and ran
NET_FIELDS = frozenset(
    """
    layers params vars meta name classes normalization inputSize inputs
    trainOpts augmentation mode device holdOn numPendingVarRefs numPendingParamRefs
    accumulateParamDers conserveMemory parameterServer state stats info description
    """.split()
)
# likewise of a DagNN's layer, beside its block, and among the options of a function
_DAG_FIELDS = frozenset(
    """
    name type kind inputs outputs params block
    inputIndexes outputIndexes paramIndexes forwardTime backwardTime
    """.split()
)
_OPTIONS = ("cudnn", "nocudnn", "cudnnworkspacelimit", "verbose", "epsilon")


class Block(NamedTuple):
    """One layer of the file, of either kind of network; ``type`` in SimpleNN's words."""

    name: str
    type: str
    inputs: tuple[str, ...]
    output: str
    fields: Fields
    weights: list[np.ndarray]

    def check_read(self) -> None:
        """Raise for a field or an option that nobody asked for, unless it is harmless."""
        known = (*_OPTIONS, "leak") if self.type == "relu" else _OPTIONS
        names = (option for option in self.options() if isinstance(option, str))
        unread = [*self.fields.unread(HARMLESS), *(name for name in names if name.lower() not in known)]
        if unread:
            raise self.error(describe_unread(unread))

    def error(self, why: str) -> WeightsError:
        """Return an error that names the layer."""
        return WeightsError(f"layer {escape(self.name)!r} ({escape(self.type)}): {why}")

    def options(self) -> list[Any]:
        """Return the options that go to MatConvNet's function: names, most of them followed by a value."""
        options = self.fields.get("opts", [])
        return options if isinstance(options, list) else [options]

    def numbers(self, key: str, default: float) -> list[int]:
        """Return a field of one or more whole numbers: kernel sizes, strides, padding."""
        values = first_numbers(self.fields.get(key, default))
        if not 1 <= len(values) <= 4 or any(not 0 <= v < 1 << 16 or v != int(v) for v in values):
            raise self.error(f"{key}: expected whole numbers, found {escape(values)}")
        return [int(v) for v in values]

    def pair(self, key: str, default: int = 1) -> tuple[int, int]:
        """Return a field of one number, or two: vertical, horizontal."""
        values = self.numbers(key, default)
        if len(values) > 2:
            raise self.error(f"{key}: expected one number or two, found {values}")
        return values[0], values[-1]

    def sides(self, key: str) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return a field of one number, or [top bottom left right], as ((top, bottom), (left, right))."""
        values = self.numbers(key, 0)
        if len(values) not in (1, 4):
            raise self.error(f"{key}: expected one number or four sides, found {values}")
        # MATLAB's order is [top bottom left right]
        top, bottom, left, right = values * 4 if len(values) == 1 else values
        return (top, bottom), (left, right)


def decode_blocks(net: Mapping[str, Any]) -> list[Block]:
    """Return the blocks of a network, those that only training needs left out."""
    layers = _to_structures(net["layers"], "layers")
    is_dag = "params" in net and all("block" in layer for layer in layers)
    return list(_decode_dag(layers, _to_structures(net["params"], "params")) if is_dag else _decode_simple(layers))


def _decode_simple(layers: list[Mapping[str, Any]]) -> Iterator[Block]:
    """Yield the blocks of a SimpleNN: each reads what the one before gives."""
    previous = INPUT
    for i, layer in enumerate(layers):
        name, kind = layer.get("name"), str(layer.get("type"))
        name = name if isinstance(name, str) and name else f"layer{i + 1}"
        # older files keep the two arrays in fields of their own
        weights = layer.get("weights", [layer.get("filters"), layer.get("biases")])
        if kind not in _LOSSES:
            # values have no names in a chain: each is called by its layer's number
            yield Block(name, kind, (previous,), f"{i}", Fields(layer), _to_arrays(weights))
            previous = f"{i}"


def _decode_dag(layers: list[Mapping[str, Any]], params: list[Mapping[str, Any]]) -> Iterator[Block]:
    """Yield the blocks of a DagNN, whose values have names; the one that no layer gives is the input."""
    values = {str(p.get("name")): p.get("value") for p in params}
    kinds = [_DAG_TYPES.get(kind := str(layer.get("type")).removeprefix("dagnn."), kind) for layer in layers]
    # losses go first, as their inputs, such as the labels, are no inputs of the network
    layers = [{**layer, "kind": kind} for layer, kind in zip(layers, kinds, strict=True) if kind not in _LOSSES]
    given = {name for layer in layers for name in _to_names(layer.get("outputs"))}
    free = {name for layer in layers for name in _to_names(layer.get("inputs"))} - given
    if len(free) != 1:
        raise WeightsError(f"expected a network with one input, found {len(free)}: {escape(sorted(free))}")
    used: set[str] = set()
    for layer in layers:
        fields = Fields(layer["block"] if isinstance(layer.get("block"), dict) else {})
        inputs = tuple(name if name in given else INPUT for name in _to_names(layer.get("inputs")))
        outputs = _to_names(layer.get("outputs"))
        own = _to_names(layer.get("params"))
        arrays = _to_arrays([values.get(name) for name in own])
        # a block is wired by name and finds its arrays among the network's, in the order of its parameters
        block = Block(str(layer.get("name")), layer["kind"], inputs, "".join(outputs[:1]), fields, arrays)
        unknown = [name for name in layer if name not in _DAG_FIELDS]
        if unknown:
            raise block.error(describe_unread(unknown))
        if len(outputs) != 1 or not used.isdisjoint(own):
            raise block.error("gives several values or shares parameters; expected one value, and its own")
        used.update(own)
        yield block


_DAG_TYPES = {
    **{name: name.lower() for name in "Conv ReLU Sigmoid LRN DropOut SoftMax Loss Sum Concat".split()},
    **{"ConvTranspose": "convt", "Pooling": "pool", "BatchNorm": "bnorm"},
}


def _to_structures(value: Any, what: str) -> list[Mapping[str, Any]]:
    items = [value] if isinstance(value, dict) else value
    if not isinstance(items, list) or len(items) > MAX_LAYERS or not all(isinstance(i, dict) for i in items):
        raise WeightsError(f"{what}: expected up to {MAX_LAYERS} structures")
    return items


def _to_names(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(v) for v in value] if isinstance(value, list) else []


def _to_arrays(values: Any) -> list[np.ndarray]:
    values = values if isinstance(values, list) else [values]
    return [v.astype(np.float32, copy=False) for v in values if isinstance(v, np.ndarray)]


def first_numbers(value: Any) -> list[float]:
    """Return the first numbers of an array or a number, at most five; none of anything else."""
    values = np.asarray(value if isinstance(value, np.ndarray | int | float) else [])
    return values.ravel(order="F")[:5].astype(float).tolist()
