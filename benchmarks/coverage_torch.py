"""torchvision's and timm's nets with random weights, what torch's two exporters write of them, their answers."""

from __future__ import annotations

import contextlib
import gc
import importlib
import inspect
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from coverage_nets import SEGMENTATION, TRANSFORMERS
from torch.overrides import TorchFunctionMode

LARGE = 400_000_000  # parameters of which float64 fills the memory of the usual machine


def torchvision():
    """Return torchvision, without its compiled operators where they were built for another torch."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError:
        for operator in (
            "nms(Tensor a, Tensor b, float c) -> Tensor",
            "qnms(Tensor a, Tensor b, float c) -> Tensor",
        ):
            torch.library.define("torchvision::" + operator.partition("(")[0], "(" + operator.partition("(")[2])
        return importlib.import_module("torchvision")


def torchvision_files(name: str, folder: Path) -> Iterator[tuple[str, Path | Exception, dict]]:
    torch.manual_seed(0)
    yield from torch_files(build_torchvision(name), name, folder)


def timm_files(name: str, folder: Path) -> Iterator[tuple[str, Path | Exception, dict]]:
    torch.manual_seed(0)
    yield from torch_files(importlib.import_module("timm").create_model(name, pretrained=False), name, folder)


def torch_files(module, name: str, folder: Path) -> Iterator[tuple[str, Path | Exception, dict]]:
    """Yield what each exporter writes of a module, or why it does not, and the module's own answers."""
    torch.set_num_threads(1)
    x = fitting_input(module, name)
    settle(module, x)
    if sum(value.numel() for value in module.parameters()) > LARGE:
        keep_on_disk(module, folder)
    module = module.double().eval()
    peer = torch_peer(module, x[:1].double())
    for file, dynamo in (("ONNX, dynamo=False", False), ("ONNX, dynamo=True", True)):
        path: Path | Exception = folder / f"{name}-{dynamo}.onnx"
        try:
            with contextlib.redirect_stdout(open(os.devnull, "w")):
                # the older exporter writes weights of more than 2 GB beside a path that is a string
                torch.onnx.export(module, (x[:1].double(),), str(path), dynamo=dynamo)
        except Exception as error:  # exporters fail in many ways, and that is a result
            path = error
        gc.collect()
        yield file, path, peer


def keep_on_disk(module, folder: Path) -> None:
    """Move a module's parameters, as float64, into files that the system maps and can page out."""
    for i, value in enumerate(module.parameters()):
        file = str(folder / f"parameter-{i}")
        kept = torch.from_file(file, shared=True, size=value.numel(), dtype=torch.float64).view(value.shape)
        value.data = kept.copy_(value.data)


def build_torchvision(name: str):
    """Return a net whose only output is its scores or maps."""
    models = torchvision().models
    segmentation = name in SEGMENTATION
    builder = getattr(models.segmentation if segmentation else models, name)
    options = {"weights": None} | ({"weights_backbone": None} if segmentation else {})
    if "init_weights" in inspect.signature(inspect.unwrap(builder)).parameters or name in (
        "googlenet",
        "inception_v3",
    ):
        options |= {"init_weights": False, "aux_logits": False}
    module = builder(**options)

    class Maps(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.module = module

        def forward(self, x):
            return self.module(x)["out"]

    return Maps() if segmentation else module


def fitting_input(module, name: str):
    """Return four inputs of the smallest size that the net takes; its own where a pool depends on it."""
    own = getattr(module, "default_cfg", {}).get("input_size", (3, 224, 224))[-1]
    fixed = name.startswith(("vgg", "alexnet", *TRANSFORMERS))
    for size in [own] if fixed else [64, 96, 128, own]:
        x = torch.randn(4 if size < 200 else 2, 3, size, size)
        with contextlib.suppress(Exception), torch.no_grad():
            module.eval()(x)
            return x
    raise RuntimeError(f"{name}: no input size that fits")


def settle(module, x) -> None:
    """Draw what starts as 0 or 1 and let batch normalisation measure the maps: activations keep their range."""
    norms = [part for part in module.modules() if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)]
    for name, value in module.named_parameters():
        if value.ndim == 1 or "scale" in name or "gamma" in name:
            start = value.data.flatten()
            if bool((start == start[0]).all()):
                small = (
                    abs(start[0]) < 0.5 and not name.endswith("bias") and "norm" not in name and "bn" not in name
                )
                low, high = (-0.2, 0.2) if name.endswith("bias") else (0.2, 0.5) if small else (0.5, 1.5)
                torch.nn.init.uniform_(value.data, low, high)
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()
    module.train()
    for part in module.modules():
        if "drop" in type(part).__name__.lower() or "stochasticdepth" in type(part).__name__.lower():
            part.eval()
    with torch.no_grad(), contextlib.suppress(ValueError):
        module(x)
    for norm in norms:
        norm.running_var.clamp_(min=1e-3)


def torch_peer(module, x) -> dict:
    """Return input, scores, a cotangent, and the gradient and guided map that it gives."""
    seen: set[str] = set()

    class GuidedReLU(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, top):
            ctx.save_for_backward((x > 0) & (x < top))
            return x.clamp(0, top)

        @staticmethod
        def backward(ctx, dy):
            return dy.clamp(min=0) * ctx.saved_tensors[0], None

    class Guided(TorchFunctionMode):
        """Rectifiers, wherever they are called, go back by the guided rule."""

        def __torch_function__(self, function, types, args=(), kwargs=None):
            name = getattr(function, "__name__", "")
            if name in ("relu", "relu_", "relu6", "hardtanh", "hardtanh_"):
                limits = [*args[1:3], *(kwargs or {}).values()]
                if name.startswith("relu") or [v for v in limits if not isinstance(v, bool)] == [0.0, 6.0]:
                    seen.add("relu")
                    return GuidedReLU.apply(
                        args[0], 6.0 if name in ("relu6", "hardtanh", "hardtanh_") else torch.inf
                    )
            if name in BENDS:
                seen.add(name)
            return function(*args, **(kwargs or {}))

    x = x.detach().requires_grad_()
    y = module(x)
    dy = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(y, x, dy)
    with Guided():
        (guided,) = torch.autograd.grad(module(x), x, dy)
    shown = guided.numpy() if seen == {"relu"} else f"has {', '.join(sorted(seen)) or 'no rectifier'}"
    arrays = {"x": x, "y": y, "dy": dy, "gradient": gradient}
    return {key: value.detach().numpy() for key, value in arrays.items()} | {"guided": shown}


# activations beside which a guided map by ReLU's rule alone is not defined
BENDS = {
    "silu",
    "silu_",
    "hardswish",
    "hardswish_",
    "gelu",
    "elu",
    "selu",
    "mish",
    "leaky_relu",
    "leaky_relu_",
    "prelu",
}
