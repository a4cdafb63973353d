"""ONNX Runtime as a peer: a file, or a network of ours exported, with every value in between made an output."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.formats import onnx
from minicnn.network import Network
from minicnn.verify.comparison.peers.registry import Peer, needed
from minicnn.verify.probe import Value

__all__ = ["of_network", "peer"]


def of_network(net: Network) -> Peer:
    """Return the peer that runs ``net`` as our own ONNX file says it; the writer is compared too."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        onnx.write(path, net)
        return peer(path, "onnxruntime")


def peer(path: Path, name: str = "") -> Peer:
    """Return the peer of an ONNX file; it has no gradient.

    Raises
    ------
    MinicnnError
        If onnx or onnxruntime is not installed, or can't read the file.

    """
    what = "comparing with an ONNX file"
    package, runtime = needed("onnx", what), needed("onnxruntime", what)
    try:
        model = package.load(str(path))
    except Exception as error:  # protobuf's and the file system's: there is no common class
        raise MinicnnError(f"{path}: onnx can't read it: {str(error)[:200]}") from None
    operators = _with_all_outputs(model, package)
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL  # a step a node
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise MinicnnError(f"{path}: onnxruntime can't run it: {str(error)[:200]}") from None

    def values(x: np.ndarray) -> list[Value]:
        names = [name for name, _ in operators]
        try:
            arrays = session.run(names, {session.get_inputs()[0].name: x.astype(np.float32)})
        except Exception as error:
            raise MinicnnError(f"{path}: onnxruntime: {str(error)[:200]}") from None
        found = zip(operators, arrays, strict=True)
        return [Value(n, kind, a) for (n, kind), a in found if a.dtype.kind == "f" and a.ndim > 1]

    return Peer(name or f"onnxruntime, {path.name}", values)


def _with_all_outputs(model: Any, package: Any) -> list[tuple[str, str]]:
    """Make each node's first output one of the graph; return (name, operator) in the graph's order."""
    nodes = [node for node in model.graph.node if node.output and node.op_type != "Constant"]
    known = {output.name for output in model.graph.output}
    added = [node.output[0] for node in nodes if node.output[0] not in known]
    model.graph.output.extend(package.ValueInfoProto(name=name) for name in added)
    return [(node.output[0], node.op_type) for node in nodes]
