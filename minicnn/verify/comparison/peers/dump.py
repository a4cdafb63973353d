"""A dump as a peer: another program's values in a file, where it can't be installed beside minicnn.

A dump is an .npz of ``numpy.savez``: "input" of shape (N, C, H, W), then every value in the order of the
computation under its layer's name, or "name@kind" with the kind in the words of torch.nn; the last is the scores.
"gradient" is that of the class ``target``'s score with respect to the input.  A few lines that need only the
framework write it: ``DUMPERS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import MinicnnError
from minicnn.formats.containers import npz
from minicnn.verify.comparison.peers.base import Peer
from minicnn.verify.probe import Value

__all__ = ["DUMPERS", "from_arrays", "read", "write"]

_TORCH = """# net: a torch module;  x: a float tensor (N, C, H, W)
import numpy, torch
values = {"input": x.detach().numpy()}
def keep(name):
    def hook(module, _, y):
        if isinstance(y, torch.Tensor):
            values[f"{name or 'output'}@{type(module).__name__}"] = y.detach().clone().numpy()
            return y.clone()  # what works in place on it later leaves ours alone
    return hook
hooks = [module.register_forward_hook(keep(name)) for name, module in net.eval().named_modules()]
leaf = x.detach().clone().requires_grad_()
scores = net(leaf.clone())
target = int(scores[0].argmax())
scores[:, target].sum().backward()
numpy.savez("dump.npz", **values, gradient=leaf.grad.numpy(), target=target)
"""

_ONNX = """# net.onnx: any file;  x: a float32 array (N, C, H, W)
import numpy, onnx, onnxruntime
model = onnx.load("net.onnx")
steps = [(node.output[0], node.op_type) for node in model.graph.node if node.op_type != "Constant"]
known = {output.name for output in model.graph.output}
model.graph.output.extend(onnx.ValueInfoProto(name=name) for name, _ in steps if name not in known)
session = onnxruntime.InferenceSession(model.SerializeToString())
arrays = session.run([name for name, _ in steps], {session.get_inputs()[0].name: x})
values = {f"{name}@{kind}": y for (name, kind), y in zip(steps, arrays) if y.dtype.kind == "f"}
numpy.savez("dump.npz", input=x, **values)
"""

_JAX = """# f: a function of an array (N, C, H, W) that returns scores (N, K);  x: such an array
import jax, numpy
scores = f(x)
target = int(scores[0].argmax())
gradient = jax.grad(lambda x: f(x)[:, target].sum())(x)
numpy.savez("dump.npz", input=x, scores=scores, gradient=gradient, target=target)
"""

_ANY = """# any framework: x, what its layers gave in order, and the scores, as arrays
import numpy
values = {"conv1@Conv2d": conv1, "relu1@ReLU": relu1}  # or none: the scores alone are compared, too
numpy.savez("dump.npz", input=x, **values, scores=scores)
"""

DUMPERS = {"torch": _TORCH, "onnxruntime": _ONNX, "jax": _JAX, "any": _ANY}

RESERVED = ("input", "gradient", "target")  # what is no layer's output


def read(path: PathLike) -> Peer:
    """Return the peer of a dump; WeightsError if the file is damaged, MinicnnError if it is none."""
    arrays, _ = npz.read(path)
    return from_arrays(arrays, Path(path).name)


def from_arrays(arrays: Mapping[str, Any], name: str) -> Peer:
    """Return the peer of a dump's arrays.

    Raises
    ------
    MinicnnError
        If there are no scores, or the gradient has not the input's shape or has no class.

    """
    rest = {key: np.asarray(a) for key, a in arrays.items() if key not in RESERVED}
    # layers' outputs have a batch axis in front, so that single numbers and rows are none, but for the answer
    last = next(reversed(rest), None)
    kept = {key: a for key, a in rest.items() if (a.dtype.kind == "f" and a.ndim > 1) or key == last}
    values = [Value(*_split_key(key), a) for key, a in kept.items() if a.ndim and a.dtype.kind in "fiub"]
    if not values:
        raise MinicnnError(f"{name}: a dump holds float arrays of shape (N, ...), such as scores; found none")
    _check_reserved(arrays, name)
    x, gradient, target = (None if arrays.get(key) is None else np.asarray(arrays[key]) for key in RESERVED)
    label = None if target is None else int(target.reshape(()))

    def gradients(_: np.ndarray, asked: int) -> dict[str, np.ndarray]:
        # a dump holds the gradient of one class
        return {"input": gradient} if gradient is not None and label == asked else {}

    dtype = np.float64 if x is not None and x.dtype == np.float64 else np.float32
    x = None if x is None else np.array(x, dtype)
    return Peer(f"dump {name}", lambda _: values, gradients, x=x, target=label, repeatable=True)


def write(path: PathLike, x: np.ndarray, values: list[Value]) -> None:
    """Write a dump of an input and the values that came of it."""
    arrays = {"input": x}
    for value in values:
        key = f"{value.name or 'value'}@{value.kind}"
        # values of one name get a number behind the kind, which is cut off again when they are read
        arrays[f"{key}.{len(arrays)}" if key in arrays else key] = value.array
    npz.write(path, arrays)


def _check_reserved(arrays: Mapping[str, Any], name: str) -> None:
    x, gradient, target = (arrays.get(key) for key in RESERVED)
    if x is not None and (np.asarray(x).dtype.kind not in "fiu" or np.ndim(x) < 2):
        raise MinicnnError(f"{name}: 'input' should be numbers of shape (N, C, H, W), is {_describe(x)}")
    if target is not None and (np.asarray(target).dtype.kind not in "iu" or np.size(target) != 1):
        raise MinicnnError(f"{name}: 'target' should be the number of one class, is {_describe(target)}")
    if gradient is not None and (x is None or target is None or np.shape(gradient) != np.shape(x)):
        raise MinicnnError(f"{name}: 'gradient' needs 'input', of its shape, and the class 'target' beside it")


def _describe(value: Any) -> str:
    return f"{np.asarray(value).dtype} of shape {np.shape(value)}"


def _split_key(key: str) -> tuple[str, str]:
    """Return name and kind of "name@kind.number"."""
    name, _, kind = key.partition("@")
    return name, kind.partition(".")[0]
