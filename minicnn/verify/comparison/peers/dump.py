"""Activations frozen in a file: for frameworks that can't be installed beside minicnn.

A dump is an .npz of ``numpy.savez``: "input" of shape (N, C, H, W), then every value in the order of the
computation under its layer's name, or "name@kind" with the kind in the words of torch.nn; the last is the scores.
"gradient" is that of the class ``target``'s score with respect to the input.  A few lines that need only the
framework write it: ``DUMPERS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.formats.containers import npz
from minicnn.verify.comparison.peers.registry import Peer
from minicnn.verify.probe import Value

__all__ = ["DUMPERS", "peer", "read", "write"]

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


def read(path: str | Path) -> Peer:
    """Return the peer of a dump; WeightsError if the file is damaged, MinicnnError if it is none."""
    arrays, _ = npz.read(path)
    return peer(arrays, Path(path).name)


def peer(arrays: Mapping[str, np.ndarray], name: str) -> Peer:
    """Return the peer of a dump's arrays.

    Raises
    ------
    MinicnnError
        If there are no scores, or the gradient has not the input's shape or has no class.

    """
    rest = {key: np.asarray(a) for key, a in arrays.items() if key not in ("input", "gradient", "target")}
    values = [Value(*_named(key), a) for key, a in rest.items() if a.dtype.kind == "f" and a.ndim > 1]
    x, gradient, target = (arrays.get(key) for key in ("input", "gradient", "target"))
    if not values:
        raise MinicnnError(f"{name}: a dump holds float arrays of shape (N, ...), such as scores; found none")
    if x is not None and (np.asarray(x).dtype.kind not in "fiu" or np.ndim(x) < 2):
        raise MinicnnError(f"{name}: 'input' should be numbers of shape (N, C, H, W), is {_shown(x)}")
    if target is not None and (np.asarray(target).dtype.kind not in "iu" or np.size(target) != 1):
        raise MinicnnError(f"{name}: 'target' should be the number of one class, is {_shown(target)}")
    if gradient is not None and (x is None or target is None or np.shape(gradient) != np.shape(x)):
        raise MinicnnError(f"{name}: 'gradient' needs 'input', of its shape, and the class 'target' beside it")

    def gradients(_: np.ndarray, asked: int) -> dict[str, np.ndarray]:
        return (
            {"input": np.asarray(gradient)}
            if gradient is not None and int(np.reshape(target, ())) == asked
            else {}
        )

    kept = None if x is None else np.array(x, np.float64 if np.asarray(x).dtype == np.float64 else np.float32)
    return Peer(
        f"dump {name}",
        lambda _: values,
        gradients,
        x=kept,
        target=None if target is None else int(np.reshape(target, ())),
    )


def write(path: str | Path, x: np.ndarray, values: list[Value]) -> None:
    """Write a dump of an input and the values that came of it."""
    arrays = {"input": x}
    for value in values:
        key = f"{value.name or 'value'}@{value.kind}"
        arrays[f"{key}.{len(arrays)}" if key in arrays else key] = value.array
    npz.write(path, arrays)


def _shown(array: np.ndarray) -> str:
    return f"{np.asarray(array).dtype} of shape {np.shape(array)}"


def _named(key: str) -> tuple[str, str]:
    name, _, kind = key.partition("@")
    return name, kind.partition(".")[0]
