"""PyTorch as a peer: any module.

The module runs as it stands.  Each output is kept and a copy of it passed on, so that what later works in place,
``ReLU(inplace=True)`` or ``x.relu_()``, changes the copy; functions that are no modules, such as
``torch.nn.functional.relu``, are seen where torch dispatches them.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.verify.comparison.peers.registry import Peer, needed
from minicnn.verify.probe import Value

__all__ = ["peer"]

# functions of torch that stand for a layer, by the name under which torch dispatches them
_FUNCTIONS = {
    **dict.fromkeys(("relu", "relu_"), "ReLU"),
    **dict.fromkeys(("relu6", "hardtanh", "hardtanh_", "clamp", "clip"), "ReLU6"),
    **dict.fromkeys(("leaky_relu", "leaky_relu_"), "LeakyReLU"),
    **dict.fromkeys(("conv2d", "_conv_forward"), "Conv2d"),
    **dict.fromkeys(("add", "add_", "__add__", "__iadd__"), "Residual"),
    **dict.fromkeys(("cat", "concat"), "Concat"),
    **dict.fromkeys(("flatten", "reshape", "view"), "Flatten"),
    **dict.fromkeys(("adaptive_avg_pool2d", "mean"), "GlobalAvgPool2d"),
    **dict.fromkeys(("max_pool2d", "_max_pool2d", "boolean_dispatch"), "MaxPool2d"),
    "avg_pool2d": "AvgPool2d",
    "batch_norm": "BatchNorm2d",
    "linear": "Linear",
    "local_response_norm": "LocalResponseNorm",
    "log_softmax": "LogSoftmax",
    "permute": "Permute",
    "prelu": "PReLU",
    "softmax": "Softmax",
    "tanh": "Tanh",
}


def peer(module: Any, name: str = "") -> Peer:
    """Return the peer of a torch module: every module's output and, in float64, its gradient."""
    needed("torch", "comparing with a torch module")

    def values(x: np.ndarray) -> list[Value]:
        kept = _watched(module, x)[0]
        return [Value(n, kind, tensor.detach().cpu().numpy()) for n, kind, tensor in kept]

    def gradient(x: np.ndarray, target: int) -> dict[str, np.ndarray]:
        kept, leaf, y = _watched(module, x)
        scores = _before_softmax(kept, y)
        scores.reshape(len(y), -1)[:, target].sum().backward()
        found = {n: t.grad.cpu().numpy() for n, _, t in kept if n and t.grad is not None}
        return found | {"input": leaf.grad.cpu().numpy()}

    return Peer(name or f"torch module {type(module).__name__}", values, gradient, wide=True)


def _before_softmax(kept: list[tuple[str, str, Any]], y: Any) -> Any:
    """Return the scores: what a softmax at the end was given, or the output."""
    last = max((i for i, (_, kind, _) in enumerate(kept) if kind in ("Softmax", "LogSoftmax")), default=0)
    at_the_end = last and all((other.shape, other.sum()) == (y.shape, y.sum()) for _, _, other in kept[last:])
    return kept[last - 1][2] if at_the_end else y


def _watched(module: Any, x: np.ndarray) -> tuple[list[tuple[str, str, Any]], Any, Any]:
    """Return [(name, kind, output)] of a copy of the module in x's precision, the input leaf and the output."""
    import torch

    module = copy.deepcopy(module).to(torch.from_numpy(x).dtype).eval()
    leaf = torch.from_numpy(np.array(x)).requires_grad_()
    kept, running = [], []

    def keep(name: str, kind: str, y: Any) -> Any:
        y.retain_grad()
        calls = sum(other.partition(" ")[0] == name for other, _, _ in kept) if name else 0
        kept.append((f"{name} ({calls + 1})" if calls else name, kind, y))  # a module may be used again
        return y.clone()

    def entered(part, _):
        running.append(part)

    def left(name):
        def hook(part, _, y):
            running.pop()
            if isinstance(y, torch.Tensor) and y.is_floating_point() and y.requires_grad:
                return keep(name.replace("/", "."), type(part).__name__, y)
            return None

        return hook

    class Dispatched(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            y = function(*args, **(kwargs or {}))
            kind = _FUNCTIONS.get(getattr(function, "__name__", ""))
            inside = running and type(running[-1]).__module__.startswith("torch.nn.modules")
            if kind and not inside and isinstance(y, torch.Tensor) and y.requires_grad and y.is_floating_point():
                return keep("", kind, y)
            return y

    for name, part in module.named_modules():
        part.register_forward_pre_hook(entered)
        part.register_forward_hook(left(name))
    with torch.enable_grad(), Dispatched():
        y = module(leaf.clone())
    if not kept:
        raise MinicnnError(f"torch module {type(module).__name__}: gives no tensor of floats")
    return kept, leaf, y if isinstance(y, torch.Tensor) else kept[-1][2]
