"""Fields added to right files, taken out of them and put in another order; and what may come of it.

Silence is the fault: a field that is added, and the network is the same, though nobody says that the field is
harmless.
"""

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from minicnn.errors import WeightsError
from minicnn.formats.caffe import describe
from minicnn.formats.keras import fields
from minicnn.formats.matconvnet import blocks
from minicnn.formats.onnx import operators
from tests.helpers.field_files import FieldFile, signature

__all__ = [
    "NAMES",
    "VALUES",
    "Outcome",
    "add_field",
    "find_silence",
    "is_field_message",
    "messages",
    "reorder",
    "try_file",
]

# names that mean something to one format or another, and one that means nothing
NAMES = (
    "unheard_of ceil_mode round_mode stride strides pad pads padding dilation dilations dilation_rate "
    "group groups axis alpha beta eps epsilon mode negative_slope scale shift bias_term use_bias "
    "data_format keepdims noise_shape interpolation renorm storage_order count_include_pad auto_pad "
    "momentum training_mode spatial transA transB perm threshold max_value activation leak dim opts "
    "numGroups output_padding kernel_h pad_h hole size_h use_global_stats scale_train coeff operation "
    "end_axis num_axes transpose center registered_name module trainable dtype seed shared_object_id "
    "include exclude phase stage level mirror crop_size normalize value saturate output_shape rate "
    "constant_value kernel_size pool_size size target_shape clip_value engine name precious weight_filler "
    "lr_mult is_test consumed_inputs broadcast domain overload noop_with_empty_axes batch_input_shape "
    "ragged sparse fused "
).split()
# two values of each kind, so that one of them is no default
VALUES = [(0, 1), (2, 3), (0.125, 0.75), (True, False), ("VALID", "SAME_LOWER"), ([2, 2], [3, 1])]


_HARMLESS = {
    "onnx": {name for names in operators.HARMLESS.values() for name in names},
    "caffe": describe.HARMLESS,
    "keras": {*fields.COMMON, *(name for names in fields.HARMLESS.values() for name in names), "dtype"}
    | fields.ENTRY,
    "matconvnet": {*blocks.HARMLESS, *blocks.NET_FIELDS, "opts"},
    "native": set(),
}


class Outcome(NamedTuple):
    """What a reader made of a file: the network's signature, or the sentence that refused it."""

    signature: str | None
    error: str


def try_file(file: FieldFile, tree: dict[str, Any], folder: Path) -> Outcome:
    """Write a tree and load it; anything but a WeightsError is an error of ours."""
    try:
        return Outcome(signature(file.load(tree, folder)), "")
    except WeightsError as error:
        return Outcome(None, str(error))


def messages(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every dictionary of a tree."""
    if isinstance(tree, dict):
        yield tree
    for inner in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from messages(inner)


def add_field(tree: dict[str, Any], at: int, name: str, value: Any) -> dict[str, Any] | None:
    """Return the tree with a field in its message number ``at``; None if there is one of that name."""
    changed = copy.deepcopy(tree)
    message = list(messages(changed))[at]
    if name in message:
        return None
    message[name] = value
    return changed


def reorder(tree: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Return the tree with the fields of every message in another order; lists keep theirs."""
    changed = copy.deepcopy(tree)
    for message in list(messages(changed)):
        items = list(message.items())
        rng.shuffle(items)
        message.clear()
        message.update(items)
    return changed


def is_field_message(file: FieldFile, message: dict[str, Any]) -> bool:
    """Return whether a dictionary's entries are fields: not the bare lists that the helpers make a file of."""
    # what first values are drawn from is harmless as a whole
    return not (file.name == "onnx" and ("op" in message or "nodes" in message)) and message != {
        "type": '"xavier"'
    }


def find_silence(file: FieldFile, at: int, name: str, values: tuple[Any, Any], folder: Path) -> str | None:
    """Add a field with one value and with another; return what was added if neither changed anything."""
    right = try_file(file, file.tree, folder).signature
    for value in values:
        tree = add_field(file.tree, at, name, value)
        if tree is None or try_file(file, tree, folder).signature != right:
            return None
    message = list(messages(file.tree))[at]
    harmless = name in _HARMLESS[file.name] or (file.name == "caffe" and "global_pooling" in message)
    return None if harmless else f"{file.name}: {name} = {values} added to {message}"
