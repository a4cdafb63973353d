"""What can be compared with: a module, a function, a dump, a file, a device, or the name of one of them."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from minicnn._utils.raised import describe_error
from minicnn.errors import MinicnnError
from minicnn.kernels import DEVICES
from minicnn.network import Network
from minicnn.verify.comparison.inputs import fix_shape
from minicnn.verify.comparison.peers import dump, keras_model, onnx_runtime, pytorch
from minicnn.verify.comparison.peers.base import Peer
from minicnn.verify.comparison.peers.device import from_device
from minicnn.verify.comparison.peers.function import from_function

__all__ = ["as_peer"]

FILES = (".onnx", ".npz", ".keras", ".h5", ".hdf5")
FRAMEWORKS = ("torch", "onnxruntime", "jax")  # that the extra [verify] installs


def as_peer(source: Any, net: Network, **ends: Any) -> Peer:
    """Return the Peer that ``source`` means.

    Parameters
    ----------
    source : Peer, module of torch, Keras model, function of an array, mapping or text
        A text is "torch" or "onnxruntime" (``net`` itself, translated), a device of ours, the path of an .onnx,
        .keras or .h5 file or of a dump (.npz), or "module:function".
    net : Network
    ends : input, output
        Of an ONNX file with several, as ``minicnn.load`` takes them.

    Raises
    ------
    MinicnnError
        If it means none, or what it needs is not installed.

    """
    if isinstance(source, Peer):
        return source
    if isinstance(source, Path) or (isinstance(source, str) and source.lower().endswith(FILES)):
        return _from_path(Path(source), net, ends)
    if isinstance(source, str):
        return _from_name(source, net)
    if isinstance(source, Mapping):
        return dump.from_arrays(source, "dump")
    if keras_model.is_model(source):
        return keras_model.from_model(source, net)
    if hasattr(source, "register_forward_hook"):
        return pytorch.from_module(source, net)
    if callable(source):
        return from_function(source)
    raise MinicnnError(
        f"a peer is a torch module, a function, a dump, a path or a name; got {type(source).__name__}"
    )


def _from_path(path: Path, net: Network, ends: Mapping[str, Any]) -> Peer:
    if not path.exists():
        raise MinicnnError(f"{path}: no such file to compare with")
    if path.suffix.lower() in (".keras", ".h5", ".hdf5"):
        return keras_model.from_file(path, net)
    return dump.read(path) if path.suffix == ".npz" else onnx_runtime.from_file(path, net, **ends)


def _from_name(name: str, net: Network) -> Peer:
    if name == "torch":
        return pytorch.from_network(fix_shape(net))
    if name == "onnxruntime":
        return onnx_runtime.from_network(net)
    if name in DEVICES:
        return from_device(net, name)
    if ":" in name:
        return as_peer(_import_object(name), net)
    known = ("torch", "onnxruntime", *DEVICES, "FILE.onnx", "FILE.keras", "DUMP.npz", "module:function")
    raise MinicnnError(f"can't compare with {name!r}; expected one of {', '.join(known)}")


def _import_object(name: str) -> Any:
    """Import ``module:function``; a function of no arguments, such as a class of modules, is called first."""
    module, _, path = name.partition(":")
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        value: Any = import_module(module)
        for part in path.split("."):
            value = getattr(value, part)
        is_module = hasattr(value, "register_forward_hook") and not inspect.isclass(value)
        return value if is_module or _takes_input(value) else value()
    except Exception as error:  # of whatever kind: it is somebody else's program
        missing = isinstance(error, ModuleNotFoundError) and error.name in FRAMEWORKS
        remedy = "; pip install 'minicnn-engine[verify]'" if missing else ""
        reason = f"{describe_error(error)}{remedy}"
        raise MinicnnError(f"{name}: can't be imported from here: {reason}") from None
    finally:
        sys.path.remove(folder)


def _takes_input(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)
