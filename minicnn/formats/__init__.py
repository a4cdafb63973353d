"""Weight files, one format a file: arrays in our layout, and the architecture where the file holds one.

Each format is imported when it is first asked for, as ``formats.onnx``: some are large.
"""

from importlib import import_module
from types import ModuleType

_FORMATS = "caffe keras matconvnet native numpy_pickle onnx pytorch safetensors shards".split()


def __getattr__(name: str) -> ModuleType:
    if name not in _FORMATS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
