"""ONNX Runtime as a peer: a file, or a network of ours exported, with every value in between made an output."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.formats import onnx
from minicnn.network import Network
from minicnn.verify.comparison.peers.base import Peer, message, require_package
from minicnn.verify.probe import Value

__all__ = ["from_file", "from_network"]


class _Output(NamedTuple):
    """A node's first output: its name, and the node's operator."""

    name: str
    operator: str


def from_network(net: Network) -> Peer:
    """Return the peer that runs ``net`` as our own ONNX file says it; the writer is compared too."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        onnx.write(path, net)
        return from_file(path, "onnxruntime")


def from_file(path: Path, name: str = "") -> Peer:
    """Return the peer of an ONNX file; it has no gradient.

    Raises
    ------
    MinicnnError
        If onnx or onnxruntime is not installed, or can't read the file.

    """
    what = "comparing with an ONNX file"
    package, runtime = require_package("onnx", what), require_package("onnxruntime", what)
    try:
        model = package.load(str(path))
    except Exception as error:  # protobuf's and the file system's: there is no common class
        raise MinicnnError(f"{path}: onnx can't read it: {message(error)}") from None
    outputs = _expose_outputs(model, package)
    session = _open_session(model, runtime, path)

    def values(x: np.ndarray) -> list[Value]:
        names = [output.name for output in outputs]
        try:
            arrays = session.run(names, {session.get_inputs()[0].name: x.astype(np.float32)})
        except Exception as error:
            raise MinicnnError(f"{path}: onnxruntime: {message(error)}") from None
        pairs = zip(outputs, arrays, strict=True)
        return [Value(*output, array) for output, array in pairs if array.dtype.kind == "f" and array.ndim > 1]

    return Peer(name or f"onnxruntime, {path.name}", values)


def _expose_outputs(model: Any, package: Any) -> list[_Output]:
    """Make each node's first output one of the graph, and return them in the graph's order."""
    # constants are no steps of the computation
    nodes = [node for node in model.graph.node if node.output and node.op_type != "Constant"]
    known = {output.name for output in model.graph.output}
    added = [node.output[0] for node in nodes if node.output[0] not in known]
    # without a type: the runtime infers it
    model.graph.output.extend(package.ValueInfoProto(name=name) for name in added)
    return [_Output(node.output[0], node.op_type) for node in nodes]


def _open_session(model: Any, runtime: Any, path: Path) -> Any:
    options = runtime.SessionOptions()
    # one step a node: what is optimised away could not be compared
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise MinicnnError(f"{path}: onnxruntime can't run it: {message(error)}") from None
