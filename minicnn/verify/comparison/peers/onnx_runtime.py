"""ONNX Runtime as a peer: a file, or a network of ours exported, with every value in between made an output."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn._utils.raised import message
from minicnn.errors import MinicnnError
from minicnn.formats import onnx
from minicnn.network import Network
from minicnn.verify.comparison.peers.base import Peer, require_package
from minicnn.verify.comparison.peers.onnx_input import Feed, describe_feed
from minicnn.verify.probe import Norm, Value

__all__ = ["from_file", "from_network"]


class _Output(NamedTuple):
    """A value of the graph that is compared: its name, and the operator that gives it."""

    name: str
    operator: str
    norm: Norm | None = None


def from_network(net: Network) -> Peer:
    """Return the peer that runs ``net`` as our own ONNX file says it; the writer is compared too."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        onnx.write(path, net)
        return from_file(path, net, "onnxruntime")


def from_file(
    path: Path,
    net: Network,
    name: str = "",
    *,
    input: str | Mapping[str, float | None] | None = None,
    output: str | None = None,
    layers: bool = True,
) -> Peer:
    """Return the peer of an ONNX file; it has no gradient.

    The file gets inputs as it asks for them: in its dtype, with the channels last, as many images at once as it
    takes.  ``input`` and ``output`` choose of several, as in ``minicnn.load``; by default it is the first output.
    Without ``layers`` only that is computed, as the runtime would for anybody, in merged steps.

    Raises
    ------
    MinicnnError
        If onnx or onnxruntime is not installed, or can't read the file, or it takes no image of ``net``'s.

    """
    what = "comparing with an ONNX file"
    package, runtime = require_package("onnx", what), require_package("onnxruntime", what)
    try:
        model = package.load(str(path))
    except Exception as error:  # protobuf's and the file system's: there is no common class
        raise MinicnnError(f"{path}: onnx can't read it: {message(error)}") from None
    answer, remark = _choose_output(model, output, path)
    if output is not None:
        _keep_only(model, output, package)
    outputs = _expose_outputs(model, answer, package) if layers else [answer]
    session = _open_session(model, runtime, path, merge_steps=not layers)
    given = {input: None} if isinstance(input, str) else dict(input or {})
    feed = describe_feed(session, model, net, path, given)

    def values(x: np.ndarray) -> list[Value]:
        arrays = _run(session, [output.name for output in outputs], feed, x)
        *before, last = [
            Value(output.name, output.operator, array, norm=output.norm)
            for output, array in zip(outputs, arrays, strict=True)
        ]
        return [value for value in before if value.array.dtype.kind == "f" and value.array.ndim > 1] + [last]

    return Peer(
        name or f"onnxruntime, {path.name}",
        values,
        dtype=feed.dtype,
        input_shape=feed.shape,
        remarks=(*feed.remarks, *([remark] if remark else [])),
    )


def _run(session: Any, names: Sequence[str], feed: Feed, x: np.ndarray) -> list[np.ndarray]:
    """Return the values of a batch, computed in as many images at once as the file takes."""
    parts = [[np.asarray(a) for a in session.run(names, fed)] for fed in feed.batches(x)]
    batches = [np.concatenate(arrays) if np.ndim(arrays[0]) else arrays[0] for arrays in zip(*parts, strict=True)]
    # what fills a batch up is no image of ours
    return [array[: len(x)] if feed.batch is not None and array.ndim else array for array in batches]


def _choose_output(model: Any, wanted: str | None, path: Path) -> tuple[_Output, str]:
    """Return the output that is the answer, and a remark on others."""
    names = [output.name for output in model.graph.output]
    operators = {given: node.op_type for node in model.graph.node for given in node.output}
    if not names or (wanted is not None and wanted not in (*names, *operators)):
        raise MinicnnError(f"{path}: has no output {wanted!r}; expected one of {', '.join(names)}")
    name = wanted or names[0]
    others = [other for other in names if other != name]
    remark = f"of its {len(names)} outputs {name} is compared, {', '.join(others)} not" if others else ""
    return _Output(name, operators.get(name, "")), remark


def _keep_only(model: Any, output: str, package: Any) -> None:
    """Leave out of a model what an output, or a value in between, does not depend on."""
    needed, live = {output}, []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            inner = [name for a in node.attribute for n in a.g.node for name in n.input]
            needed.update([*node.input, *inner])
            live.append(node)
    # copies, as those in the list go with it
    nodes = [package.NodeProto.FromString(node.SerializeToString()) for node in reversed(live)]
    outputs = [info for info in model.graph.output if info.name == output] or [package.ValueInfoProto(name=output)]
    kept = [package.ValueInfoProto.FromString(info.SerializeToString()) for info in outputs]
    del model.graph.node[:], model.graph.output[:]
    model.graph.node.extend(nodes)
    model.graph.output.extend(kept)


def _expose_outputs(model: Any, answer: _Output, package: Any) -> list[_Output]:
    """Make each node's first output one of the graph, and return them in the graph's order, the answer last."""
    # constants are no steps of the computation
    nodes = [node for node in model.graph.node if node.output and node.op_type != "Constant"]
    known = {output.name for output in model.graph.output}
    added = [
        name for name in dict.fromkeys((*(node.output[0] for node in nodes), answer.name)) if name not in known
    ]
    # without a type: the runtime infers it
    model.graph.output.extend(package.ValueInfoProto(name=name) for name in added)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    steps = [_Output(node.output[0], node.op_type, _read_norm(node, stored, package)) for node in nodes]
    return [step for step in steps if step.name != answer.name] + [answer]


def _read_norm(node: Any, stored: Mapping[str, Any], package: Any) -> Norm | None:
    """Return what a batch normalisation computes with, if the file stores it; None for any other node."""
    names = (node.input[1], node.input[2], node.input[4]) if node.op_type == "BatchNormalization" else ()
    if not names or any(name not in stored for name in names):
        return None
    weight, bias, var = (package.numpy_helper.to_array(stored[name]) for name in names)
    eps = next((attribute.f for attribute in node.attribute if attribute.name == "epsilon"), 1e-5)
    # a file holds it in float32
    return Norm(weight, bias, var, float(f"{eps:.6g}"))


def _open_session(model: Any, runtime: Any, path: Path, merge_steps: bool) -> Any:
    options, levels = runtime.SessionOptions(), runtime.GraphOptimizationLevel
    # one step a node: what is optimised away could not be compared
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if merge_steps else levels.ORT_DISABLE_ALL
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise MinicnnError(f"{path}: onnxruntime can't run it: {message(error)}") from None
