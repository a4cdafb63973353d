"""Other programs that run the same network: one small description of what each of them can say."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.kernels import DEVICES
from minicnn.network import Network
from minicnn.verify import probe
from minicnn.verify.probe import Value

__all__ = ["Peer", "as_peer", "needed", "rounding_of"]

FRAMEWORKS = ("torch", "onnxruntime", "jax")  # that the extra [verify] brings


@dataclass(frozen=True)
class Peer:
    """Another program's view of a network.

    Attributes
    ----------
    name : what to call it
    values : function of x, (N, C, H, W), that returns the layers' outputs in order, the scores last
    gradient : function of (x, class) that returns the gradient of the class score with respect to the input, as
        "input", and to the layers' outputs by name; None where the program has none
    wide : whether the gradient can be had in float64
    rounding : how many times larger its algorithms' rounding errors are than those of plain sums
    x, target : the input that the values are of, and the class that the gradient is of, where they are fixed

    """

    name: str
    values: Callable[[np.ndarray], list[Value]]
    gradient: Callable[[np.ndarray, int], dict[str, np.ndarray]] | None = None
    wide: bool = False
    rounding: float = 1.0
    x: np.ndarray | None = None
    target: int | None = None


def as_peer(found: Any, net: Network) -> Peer:
    """Return the Peer that ``found`` means.

    Parameters
    ----------
    found : Peer, module of torch, function of an array, mapping or text
        A text is "torch" or "onnxruntime" (``net`` itself, translated), a device of ours, the path of an .onnx
        file or of a dump (.npz), or "module:function".
    net : Network

    Raises
    ------
    MinicnnError
        If it means none, or what it needs is not installed.

    """
    if isinstance(found, Peer):
        return found
    if isinstance(found, Path) or (isinstance(found, str) and found.endswith((".onnx", ".npz"))):
        return _file(Path(found), net)
    if isinstance(found, str):
        return _named(found, net)
    if isinstance(found, Mapping):
        from minicnn.verify.comparison.peers import dump

        return dump.peer(found, "dump")
    if hasattr(found, "register_forward_hook"):
        from minicnn.verify.comparison.peers import pytorch

        return pytorch.peer(found)
    if callable(found):
        return _function(found)
    raise MinicnnError(
        f"a peer is a torch module, a function, a dump, a path or a name; got {type(found).__name__}"
    )


def needed(package: str, what: str) -> Any:
    """Return a package; MinicnnError naming the extra that installs it where it is missing."""
    try:
        return import_module(package)
    except ImportError:
        raise MinicnnError(
            f"{what} needs {package}, which is not installed; pip install 'minicnn-engine[verify]'"
        ) from None


def _file(path: Path, net: Network) -> Peer:
    if not path.exists():
        raise MinicnnError(f"{path}: no such file to compare with")
    if path.suffix == ".npz":
        from minicnn.verify.comparison.peers import dump

        return dump.read(path)
    from minicnn.verify.comparison.peers import onnx_runtime

    return onnx_runtime.peer(path)


def _named(name: str, net: Network) -> Peer:
    if name == "torch":
        needed("torch", "comparing with torch")
        from minicnn.verify.comparison.peers import pytorch, to_torch

        return pytorch.peer(to_torch.twin(net), "torch")
    if name == "onnxruntime":
        from minicnn.verify.comparison.peers import onnx_runtime

        return onnx_runtime.of_network(net)
    if name in DEVICES:
        return _device(net, name)
    if ":" in name:
        return as_peer(_attribute(name), net)
    known = ("torch", "onnxruntime", *DEVICES, "FILE.onnx", "DUMP.npz", "module:function")
    raise MinicnnError(f"can't compare with {name!r}; expected one of {', '.join(known)}")


def _attribute(name: str) -> Any:
    """Import ``module:function``; a function of no arguments, such as a class of modules, is called first."""
    module, _, path = name.partition(":")
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        found = import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
        ready = hasattr(found, "register_forward_hook") and not inspect.isclass(found)
        return found if ready or _takes_input(found) else found()
    except Exception as error:  # of whatever kind: it is somebody else's program
        missing = isinstance(error, ModuleNotFoundError) and error.name in FRAMEWORKS
        remedy = "; pip install 'minicnn-engine[verify]'" if missing else ""
        raise MinicnnError(f"{name}: can't be imported from here: {_said(error)}{remedy}") from None
    finally:
        sys.path.remove(here)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"


def _takes_input(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)


def _device(net: Network, device: str) -> Peer:
    def gradient(x: np.ndarray, target: int) -> dict[str, np.ndarray]:
        return probe.run(net, x, device=device, target=target).gradients

    def values(x: np.ndarray) -> list[Value]:
        return list(probe.run(net, x, device=device).values.values())

    return Peer(f"device {device!r}", values, gradient, rounding=rounding_of(device))


def rounding_of(device: str) -> float:
    """Return how many times larger a device's rounding errors are than those of plain sums."""
    # Winograd's transforms add and subtract large values: four times the error of sums, as measured on VGG-16
    return 1.0 if device == "reference" else 4.0


def _function(function: Callable) -> Peer:
    """Return the peer of a function of an array; if it computes in JAX, with JAX's gradient."""
    name = getattr(function, "__name__", type(function).__name__)

    def called(function: Callable, *arguments: Any) -> np.ndarray:
        try:
            return np.asarray(function(*arguments), np.result_type(np.float32, arguments[0].dtype))
        except Exception as error:  # of whatever kind: it is somebody else's program
            raise MinicnnError(f"function {name!r}: {_said(error)}") from None

    def values(x: np.ndarray) -> list[Value]:
        return [Value("scores", "", called(function, x))]

    def gradient(x: np.ndarray, target: int) -> dict[str, np.ndarray]:
        own = getattr(function, "gradient", None)
        if own is not None:
            return {"input": called(own, x, target)}
        jax = sys.modules.get("jax")
        if jax is None or not isinstance(y := function(x), jax.Array):
            return {}
        dx = jax.grad(lambda x: function(x).reshape(len(y), -1)[:, target].sum())(x)
        return {"input": np.asarray(dx)}

    return Peer(f"function {name!r}", values, gradient)
