"""PyTorch as a peer: any module.

The module runs as it stands.  Each output is kept and a copy of it passed on, so that what later works in place,
``ReLU(inplace=True)`` or ``x.relu_()``, changes the copy; functions that are no modules, such as
``torch.nn.functional.relu``, are seen where torch dispatches them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.network import Network
from minicnn.verify.comparison.peers.base import Peer, require_package
from minicnn.verify.probe import Value

__all__ = ["from_module", "from_network"]

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


class _Output(NamedTuple):
    """The output of a module, or of a function, which has no name."""

    name: str
    kind: str
    tensor: Any


class _Run(NamedTuple):
    """The outputs in order, the input that the gradient is taken of, and what the module returned."""

    outputs: list[_Output]
    x: Any
    y: Any


def from_network(net: Network) -> Peer:
    """Return the peer that runs ``net`` translated into torch."""
    require_package("torch", "comparing with torch")
    from minicnn.verify.comparison.peers.to_torch import to_torch  # imports torch

    return from_module(to_torch(net), "torch")


def from_module(module: Any, name: str = "") -> Peer:
    """Return the peer of a torch module: every module's output and, in float64, its gradient."""
    require_package("torch", "comparing with a torch module")

    def values(x: np.ndarray) -> list[Value]:
        outputs = _run(module, x).outputs
        return [Value(n, kind, tensor.detach().cpu().numpy()) for n, kind, tensor in outputs]

    def gradient(x: np.ndarray, target: int) -> dict[str, np.ndarray]:
        run = _run(module, x)
        # the sum over the batch: no image reads another, so that each gets its own gradient
        _before_softmax(run).reshape(len(run.y), -1)[:, target].sum().backward()
        named = ((output.name, output.tensor.grad) for output in run.outputs if output.name)
        gradients = {n: grad.cpu().numpy() for n, grad in named if grad is not None}
        return gradients | {"input": run.x.grad.cpu().numpy()}

    return Peer(name or f"torch module {type(module).__name__}", values, gradient, float64=True)


def _before_softmax(run: _Run) -> Any:
    """Return the scores: what a softmax at the end was given, or the output."""
    kinds = [output.kind for output in run.outputs]
    # 0 stands for no softmax, since one at the very beginning has no scores before it
    last = max((i for i, kind in enumerate(kinds) if kind in ("Softmax", "LogSoftmax")), default=0)
    # nothing but copies of its output may come after it
    copies = ((tensor.shape, tensor.sum()) == (run.y.shape, run.y.sum()) for _, _, tensor in run.outputs[last:])
    return run.outputs[last - 1].tensor if last and all(copies) else run.y


def _run(module: Any, x: np.ndarray) -> _Run:
    """Run a copy of the module in x's precision and keep what every module and function gives."""
    import torch

    # a copy, as hooks and the precision would stay with the caller's module
    module = copy.deepcopy(module).to(torch.from_numpy(x).dtype).eval()
    leaf = torch.from_numpy(np.array(x)).requires_grad_()
    recorder = _Recorder()
    for name, part in module.named_modules():
        part.register_forward_pre_hook(recorder.enter)
        # our names have dots where torch allows none
        part.register_forward_hook(recorder.leave(name.replace("/", ".")))

    class KeepFunctions(torch.overrides.TorchFunctionMode):  # type: ignore[misc]  # torch has no types here
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return recorder.keep_function(function, function(*args, **(kwargs or {})))

    with torch.enable_grad(), KeepFunctions():
        # a clone: a first layer that works in place may not write into a leaf
        y = module(leaf.clone())
    if not recorder.outputs:
        raise MinicnnError(f"torch module {type(module).__name__}: gives no tensor of floats")
    return _Run(recorder.outputs, leaf, y if isinstance(y, torch.Tensor) else recorder.outputs[-1].tensor)


class _Recorder:
    """Keeps what modules and functions give, while they run."""

    def __init__(self) -> None:
        self.outputs: list[_Output] = []
        self.running: list[Any] = []  # the modules that are being called, innermost last

    def enter(self, module: Any, _: Any) -> None:
        self.running.append(module)

    def leave(self, name: str) -> Callable[[Any, Any, Any], Any]:
        """Return the hook that keeps the output of a module, and passes on a copy."""

        def hook(module: Any, _: Any, y: Any) -> Any:
            self.running.pop()
            return self._keep(name, type(module).__name__, y) if _is_differentiable(y) else None

        return hook

    def keep_function(self, function: Any, y: Any) -> Any:
        """Keep what a function gives if it stands for a layer; return it, or a copy of it."""
        kind = _FUNCTIONS.get(getattr(function, "__name__", ""))
        # what a module of torch.nn calls is that module's own business
        inside = self.running and type(self.running[-1]).__module__.startswith("torch.nn.modules")
        return self._keep("", kind, y) if kind and not inside and _is_differentiable(y) else y

    def _keep(self, name: str, kind: str, y: Any) -> Any:
        # torch drops the gradients of all but leaves
        y.retain_grad()
        calls = sum(other.name.partition(" ")[0] == name for other in self.outputs) if name else 0
        # a module may be called twice
        self.outputs.append(_Output(f"{name} ({calls + 1})" if calls else name, kind, y))
        # what works in place on the copy leaves the kept value alone
        return y.clone()


def _is_differentiable(y: Any) -> bool:
    import torch

    return isinstance(y, torch.Tensor) and y.is_floating_point() and y.requires_grad
