"""What a .prototxt says, whatever its age: the layers of the deployed net, in order, under today's names.

A field counts as known once somebody has asked for it (``fields.integer("stride", 1)``); one that nobody asked for
is refused by its name, unless ``HARMLESS`` names it.
"""

from __future__ import annotations

from typing import NamedTuple

from minicnn.errors import WeightsError
from minicnn.formats.caffe.text import Fields
from minicnn.formats.containers.files import escape
from minicnn.formats.fields import describe_unread

__all__ = ["LayerParameter", "list_layers", "read_input_dims"]

MAX_LAYERS = 5000

# fields that change no answer of ours, whatever they say, of messages of every kind: how and on which device it is
# computed, what only training has (first values, rates, losses), stages that a rule excludes, as there are none,
# and where data come from
HARMLESS = frozenset(
    """
    engine cudnn_math_override force_nd_im2col stable_prod_grad debug_info
    scale_filler shift_filler slope_filler momentum frozen
    weight_filler bias_filler filler lr_mult decay_mult blobs_lr weight_decay share_mode blob_share_mode
    propagate_down loss_weight loss_param force_backward moving_average_fraction phase
    not_stage
    source batchsize batch_size mean_file meanfile mirror rand_skip data_param
    image_data_param hdf5_data_param window_data_param dummy_data_param
    """.split()
)

# V1's enumeration in today's names, where they differ by more than capitals
_V1 = {
    **{name: name for name in ("BN", "BNLL", "LRN", "MVN")},
    **{"ABSVAL": "AbsVal", "ARGMAX": "ArgMax", "RELU": "ReLU", "TANH": "TanH", "SOFTMAX_LOSS": "SoftmaxWithLoss"},
    **{"IMAGE_DATA": "ImageData", "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output"},
}
_V0 = {
    **{name: name.capitalize() for name in "accuracy concat data dropout flatten padding sigmoid".split()},
    **{"softmax": "Softmax", "split": "Split"},
    **{"conv": "Convolution", "pool": "Pooling", "innerproduct": "InnerProduct", "lrn": "LRN"},
    **{"relu": "ReLU", "tanh": "TanH", "softmax_loss": "SoftmaxWithLoss"},
    **{"images": "ImageData", "window_data": "WindowData", "hdf5_data": "HDF5Data"},
}
# V0's fields, all of one message: the message and the name that each has today
_V0_FIELDS = {
    "Convolution": ("convolution_param", "num_output biasterm:bias_term pad kernelsize:kernel_size group stride"),
    "Pooling": ("pooling_param", "pool pad kernelsize:kernel_size stride"),
    "LRN": ("lrn_param", "local_size alpha beta k"),
    "InnerProduct": ("inner_product_param", "num_output biasterm:bias_term"),
    "Dropout": ("dropout_param", "dropout_ratio"),
    "Concat": ("concat_param", "concat_dim"),
    "Padding": ("padding_param", "pad"),
    "Data": ("transform_param", "cropsize:crop_size scale"),
    "ImageData": ("transform_param", "cropsize:crop_size scale"),
}


class LayerParameter(NamedTuple):
    """One layer: its name, its type, the blobs that it reads and writes, and its parameters."""

    name: str
    kind: str
    bottoms: list[str]
    tops: list[str]
    fields: Fields

    def param(self, name: str) -> Fields:
        """Return a message of parameters, an empty one where there is none."""
        return self.fields.message(name)

    def parameter_names(self) -> list[str]:
        """Return the names under which the layer shares its blobs with others, an empty one for none."""
        # V1 has the name alone
        given = self.fields.values("param")
        return [p.text("name") if isinstance(p, Fields) else str(p) for p in given]

    def check_read(self) -> None:
        """Raise for a field of the layer, or of its parameters, that nobody asked for, unless it is harmless."""
        unread = self.fields.unread(HARMLESS)
        if unread:
            raise self.error(describe_unread(unread))

    def error(self, what: str) -> WeightsError:
        """Return an error that names the layer."""
        return self.fields.error(f"layer {escape(self.name)!r} ({escape(self.kind)}): {what}")


def list_layers(net: Fields) -> list[LayerParameter]:
    """Return the layers that run when the net is deployed (phase TEST, no stage)."""
    entries = net.messages("layer") or net.messages("layers")
    if not entries:
        raise net.error("no layers; expected the description of a Caffe net")
    if len(entries) > MAX_LAYERS:
        raise net.error(f"{len(entries)} layers, more than {MAX_LAYERS}")
    state = net.message("state")
    if state.choice("phase", ("TRAIN", "TEST"), "TEST") != "TEST" or state.integer("level") or "stage" in state:
        raise state.error("state: expected the phase TEST, level 0 and no stage, in which a net is deployed")
    return [_describe_layer(fields) for fields in entries if _is_deployed(fields)]


def _is_deployed(fields: Fields) -> bool:
    include, exclude = ([_holds(rule) for rule in fields.messages(name)] for name in ("include", "exclude"))
    return any(include) if include else not any(exclude)


def _holds(rule: Fields) -> bool:
    """Return whether a rule holds in the phase TEST at level 0 with no stage."""
    phase = "phase" not in rule or rule.choice("phase", ("TRAIN", "TEST")) == "TEST"
    lowest, highest, stages = rule.integer("min_level", 0), rule.integer("max_level", 0), rule.texts("stage")
    return phase and lowest <= 0 <= highest and not stages


def _describe_layer(fields: Fields) -> LayerParameter:
    if "layer" in fields:
        return _upgrade_v0(fields)
    kind = fields.text("type")
    # types in capitals are those of V1, apart from a few of today's
    if kind.isupper() and len(kind) > 1 and kind not in ("ELU", "LSTM", "RNN", "SPP"):
        kind = _V1.get(kind) or "".join(word.capitalize() for word in kind.split("_"))
    return LayerParameter(fields.text("name"), kind, fields.texts("bottom"), fields.texts("top"), fields)


def _upgrade_v0(fields: Fields) -> LayerParameter:
    old = fields.message("layer")
    name, word = old.text("name"), old.text("type")
    kind = _V0.get(word, word)
    upgraded = Fields(old.where)
    if kind in _V0_FIELDS:
        message, names = _V0_FIELDS[kind]
        inner = Fields(old.where)
        for pair in names.split():
            theirs, _, ours = pair.partition(":")
            for value in old.values(theirs):
                inner.add(ours or theirs, value)
        upgraded.add(message, inner)
    # what has no name of today: refused unless it is harmless
    for field in old.unread(()):
        for value in old.values(field):
            upgraded.add(field, value)
    return LayerParameter(name, kind, fields.texts("bottom"), fields.texts("top"), upgraded)


def read_input_dims(net: Fields) -> dict[str, list[int]]:
    """Return the dimensions of the inputs that the net declares outside of layers, by name."""
    names, shapes, dims = net.texts("input"), net.messages("input_shape"), net.integers("input_dim")
    if shapes and dims:
        raise net.error("has input_shape and input_dim; expected one of them")
    if shapes:
        given = [shape.integers("dim") for shape in shapes]
    else:
        # input_dim lists N, C, H, W of one input after the other
        given = [dims[i : i + 4] for i in range(0, len(dims), 4)]
    if len(given) != len(names):
        raise net.error(f"{len(names)} inputs with {len(given)} shapes")
    return dict(zip(names, given, strict=True))
