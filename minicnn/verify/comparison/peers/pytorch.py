"""PyTorch as a peer: any module.

The module runs as it stands.  Each output is kept and a copy of it passed on, so that what later works in place,
``ReLU(inplace=True)`` or ``x.relu_()``, changes the copy; functions that are no modules, such as
``torch.nn.functional.relu``, are seen where torch dispatches them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.network import Network
from minicnn.verify.comparison.peers.base import Peer, require_package
from minicnn.verify.probe import Norm, Value

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
    **dict.fromkeys(("silu", "silu_"), "SiLU"),
    **dict.fromkeys(("hardswish", "hardswish_"), "Hardswish"),
    **dict.fromkeys(("hardsigmoid", "hardsigmoid_"), "Hardsigmoid"),
    **dict.fromkeys(("sigmoid", "sigmoid_"), "Sigmoid"),
    **dict.fromkeys(("elu", "elu_"), "ELU"),
    "gelu": "GELU",
    "selu": "SELU",
    "celu": "CELU",
    "mish": "Mish",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "layer_norm": "LayerNorm",
    "group_norm": "GroupNorm",
    "instance_norm": "InstanceNorm2d",
    "rms_norm": "RMSNorm",
}


_POSTERIORS = ("Softmax", "LogSoftmax", "Sigmoid")


class _Output(NamedTuple):
    """The output of a module, or of a function, which has no name: the tensor, and a copy of its values."""

    name: str
    kind: str
    tensor: Any
    values: Any
    norm: Norm | None
    given: Any = None  # the tensor that it was made of


class _Run(NamedTuple):
    """The outputs in order, the input that the gradient is taken of, and the first tensor that was returned."""

    outputs: list[_Output]
    x: Any
    y: Any
    returned: int


def from_network(net: Network) -> Peer:
    """Return the peer that runs ``net`` translated into torch."""
    require_package("torch", "comparing with torch")
    from minicnn.verify.comparison.peers.to_torch import to_torch  # imports torch

    return replace(from_module(to_torch(net), net, "torch"), repeatable=True)


def from_module(module: Any, net: Network, name: str = "") -> Peer:
    """Return the peer of a torch module: every module's output, what it returns and, in float64, its gradient.

    It runs in its own precision, and in eval mode.  The gradient is of what it returns, or of what its softmax or
    sigmoid at the end reads where ``net`` ends in one too.
    """
    torch = require_package("torch", "comparing with a torch module")
    floats = [p.dtype for p in module.parameters() if p.is_floating_point()]
    own = str(floats[0] if floats else torch.float32).removeprefix("torch.")
    training = any(part.training for part in module.modules())
    remarks = ["the module is in training mode, and was compared in eval mode"] if training else []

    def values(x: np.ndarray) -> list[Value]:
        run = _run(module, x, own)
        outputs = [Value(o.name, o.kind, _to_numpy(o.values), norm=o.norm) for o in run.outputs]
        if run.returned > 1 and len(remarks) == training:
            remarks.append(f"of the {run.returned} tensors that it returns the first is compared")
        # what follows the last module, such as an argmax, is in no module's output
        same = bool(run.outputs) and torch.equal(run.outputs[-1].values, run.y)
        return outputs if same else [*outputs, Value("", "", _to_numpy(run.y))]

    def gradient(x: np.ndarray, target: int) -> dict[str, np.ndarray]:
        run = _run(module, x, "float64")
        if not run.y.requires_grad:
            return {}
        # the sum over the batch: no image reads another, so that each gets its own gradient
        scores = _before_posterior(run) if net.names and net.layers[-1].is_posterior else run.y
        scores.reshape(len(run.y), -1)[:, target].sum().backward()
        named = [
            *((output.name, output.tensor.grad) for output in run.outputs if output.name),
            ("input", run.x.grad),
        ]
        # a module that detaches its input gives it none
        return {n: grad.cpu().numpy() for n, grad in named if grad is not None}

    name, precision = name or f"torch module {type(module).__name__}", own if own == "bfloat16" else ""
    return Peer(name, values, gradient, float64=True, dtype=own, precision=precision, remarks=remarks)


def _to_numpy(tensor: Any) -> np.ndarray:
    tensor = tensor.detach().cpu()
    # NumPy has no bfloat16
    array: np.ndarray = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    return array


def _before_posterior(run: _Run) -> Any:
    """Return the scores: what a softmax or sigmoid at the end was given, or the output."""
    import torch

    def is_answer(values: Any) -> bool:
        return torch.equal(values.reshape(-1), run.y.reshape(-1))

    last = None
    for output in reversed(run.outputs):
        # nothing but copies of its output may come after it
        if not is_answer(output.values):
            break
        last = output if output.kind in _POSTERIORS else last
    return run.y if last is None or last.given is None else last.given


def _run(module: Any, x: np.ndarray, dtype: str) -> _Run:
    """Run a copy of the module in a precision and keep what every module and function gives."""
    import torch

    # a copy, as hooks and the precision would stay with the caller's module
    module = copy.deepcopy(module).to(getattr(torch, dtype)).eval()
    leaf = torch.from_numpy(np.array(x)).to(getattr(torch, dtype)).requires_grad_()
    recorder = _Recorder()
    for name, part in module.named_modules():
        part.register_forward_pre_hook(recorder.enter)
        # our names have dots where torch allows none
        part.register_forward_hook(recorder.leave(name.replace("/", ".")))

    class KeepFunctions(torch.overrides.TorchFunctionMode):  # type: ignore[misc]  # torch has no types here
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            return recorder.keep_function(function, function(*args, **kwargs), (*args, *kwargs.values()))

    with torch.enable_grad(), KeepFunctions():
        # a clone: a first layer that works in place may not write into a leaf
        y = module(leaf.clone())
    tensors = _list_tensors(y)
    if not tensors:
        raise MinicnnError(f"torch module {type(module).__name__}: returns {type(y).__name__}, which is no tensor")
    return _Run(recorder.outputs, leaf, tensors[0], len(tensors))


def _list_tensors(y: Any) -> list[Any]:
    """Return the tensors of what a module returns: itself, or those of a tuple, a list, a mapping."""
    import torch

    if isinstance(y, torch.Tensor):
        return [y]
    parts = y.values() if isinstance(y, Mapping) else y if isinstance(y, tuple | list) else ()
    return [tensor for part in parts for tensor in _list_tensors(part)]


class _Recorder:
    """Keeps what modules and functions give, while they run."""

    def __init__(self) -> None:
        self.outputs: list[_Output] = []
        self.running: list[Any] = []  # the modules that are being called, innermost last

    def enter(self, module: Any, _: Any) -> None:
        self.running.append(module)

    def leave(self, name: str) -> Callable[[Any, Any, Any], Any]:
        """Return the hook that keeps the output of a module, and passes on a copy."""

        def hook(module: Any, given: Any, y: Any) -> Any:
            kept = self._keep(name, type(module).__name__, y, given) if _is_float(y) else None
            self.running.pop()
            return kept

        return hook

    def keep_function(self, function: Any, y: Any, given: Any) -> Any:
        """Keep what a function gives if it stands for a layer; return it, or a copy of it."""
        kind = _FUNCTIONS.get(getattr(function, "__name__", ""))
        # what a module of torch.nn calls is that module's own business
        inside = self.running and type(self.running[-1]).__module__.startswith("torch.nn.modules")
        return self._keep("", kind, y, given) if kind and not inside and _is_float(y) and y.requires_grad else y

    def _keep(self, name: str, kind: str, y: Any, given: Any) -> Any:
        if y.requires_grad:
            y.retain_grad()  # torch drops the gradients of all but leaves
        calls = sum(other.name.partition(" ")[0] == name for other in self.outputs) if name else 0
        # a module may be called twice
        # a module may keep its output, and write into it when it is called again
        name = f"{name} ({calls + 1})" if calls else name
        norm = _read_norm(self.running[-1]) if self.running else None
        self.outputs.append(_Output(name, kind, y, y.detach().clone(), norm, next(iter(given), None)))
        # what works in place on the copy leaves the kept value alone
        return y.clone()


def _read_norm(module: Any) -> Norm | None:
    """Return what a module of batch normalisation computes with; None for any other."""
    var, eps = getattr(module, "running_var", None), getattr(module, "eps", None)
    if var is None or eps is None:
        return None
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    weight = var.new_ones(len(var)) if weight is None else weight
    bias = var.new_zeros(len(var)) if bias is None else bias
    return Norm(_to_numpy(weight), _to_numpy(bias), _to_numpy(var), float(eps))


def _is_float(y: Any) -> bool:
    import torch

    return isinstance(y, torch.Tensor) and y.is_floating_point() and y.ndim > 1
