"""What may stand in a Keras file and changes no answer; all else that no reader asks for is refused by its name.

A setting counts as known once a layer's function has asked for it (``spec.get("strides", 1)``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from minicnn.formats.containers.files import escape
from minicnn.formats.fields import Fields

__all__ = [
    "AUGMENTATION",
    "COMMON",
    "ENTRY",
    "HARMLESS",
    "check_entry",
    "dtype_name",
    "unread_settings",
]

# settings of layers of every class: names, first values, training; shapes follow from the input
COMMON = frozenset(
    """
    name trainable seed input_dtype build_input_shape autocast momentum noise_shape
    batch_input_shape batch_shape input_shape input_dim input_length sparse ragged
    optional init weights beta_init gamma_init
    """.split()
)
# augmentation, which does nothing at inference whatever its settings
AUGMENTATION = tuple(
    """
    RandomFlip RandomRotation RandomZoom RandomTranslation RandomShear RandomPerspective RandomContrast
    RandomBrightness RandomHue RandomSaturation RandomColorJitter RandomGrayscale RandomColorDegeneration
    RandomSharpness RandomGaussianBlur RandomInvert RandomErasing RandomElasticTransform RandomHeight
    RandomWidth RandomPosterization Solarization RandAugment AugMix MixUp CutMix
    """.split()
)
_SUFFIXES = ("_initializer", "_regularizer", "_constraint")
HARMLESS: dict[str, tuple[str, ...]] = {
    "ActivityRegularization": ("l1", "l2"),
    **dict.fromkeys(("GaussianNoise", "GaussianDropout", "AlphaDropout"), ("stddev", "sigma", "rate", "p")),
    "SpatialDropout2D": ("rate", "p"),
    "BatchNormalization": ("fused", "synchronized", "renorm", "renorm_momentum", "renorm_clipping"),
    "PReLU": ("shared_axes",),  # the slopes have the shape that follows
    # of Keras 1; products of vectors
    "Merge": ("layers", "dot_axes", "mode_type", "output_shape_type", "output_mask_type", "arguments"),
}
_FLOATS = ("float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16")
_DTYPES = (*_FLOATS, "uint8", "int32", "int64")  # whole numbers are those of inputs
# what an entry of a model's list holds beside its settings, and a model's description beside its layers
ENTRY = frozenset(("class_name", "config", "name", "inbound_nodes", "build_config", "shared_object_id"))
ENTRY |= {"module", "registered_name", "compile_config", "keras_version", "backend"}
_PACKAGES = ("keras", "tensorflow", "tf_keras", "builtins")


def unread_settings(kind: str, config: Fields) -> Iterator[str]:
    """Yield what nobody asked for of a layer's settings, but harmless ones and those that are null: not used."""
    if kind in AUGMENTATION:
        return
    for name in config.unread({*COMMON, *HARMLESS.get(kind, ())}):
        value = dict(config.items())[name]
        if name == "dtype" and dtype_name(value) in _DTYPES:
            continue
        if value is not None and not name.endswith(_SUFFIXES):
            yield name


def dtype_name(value: Any) -> Any:
    """Return the name of a type, which newer files wrap into a policy; another value as it is."""
    if isinstance(value, dict) and value.get("class_name") in ("DTypePolicy", "Policy"):
        value = value.get("config")
        value = value.get("name") if isinstance(value, dict) else value
    return value


def check_entry(entry: Mapping[str, Any]) -> str | None:
    """Return what is unknown of an entry, a layer or a function: a key, or a class that is not Keras's own."""
    unknown = [key for key, value in entry.items() if key not in ENTRY and value is not None]
    if unknown:
        return f"its field {escape(unknown[0])!r} is not known here, and may change the answer"
    module, registered = entry.get("module"), entry.get("registered_name")
    own = module is None or (isinstance(module, str) and module.partition(".")[0] in _PACKAGES)
    if not own or registered not in (None, entry.get("class_name")):
        return f"is a class of its own, {escape(registered or module)!r}, whose code is not in the file"
    return None
