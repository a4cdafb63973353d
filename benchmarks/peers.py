"""The engines that are compared, each in a process of its own, and the work they are given.

One process would not do: the engines' pools of threads spin for a while after their work and take the cores from
whoever comes next.  A parent process asks one after the other over a pipe, and gives the last one time to settle.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ENGINES = ("minicnn", "torch", "onnxruntime")
SETTLE = 0.02  # seconds in which an engine's threads stop spinning


class Work(NamedTuple):
    """What an engine is asked to do once.

    Attributes
    ----------
    net : a name of ``minicnn.zoo``; "name/trunk" ends it in a global mean after its last map, for any image size
    kind : "forward", "gradient" (forward and input gradient) or "training" (loss, weight gradients)
    batch : images
    size : height and width of the images; None is the net's own

    """

    net: str
    kind: str
    batch: int
    size: int | None = None


class Engine:
    """An engine in another process: ``prepare`` some work there, then time it again and again."""

    def __init__(self, name: str, threads: int):
        # read by libraries when they are loaded, which the child does
        for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MINICNN_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[variable] = str(threads)
        context = multiprocessing.get_context("spawn")
        self.name = name
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(name, threads, theirs), daemon=True)
        self._process.start()

    def prepare(self, work: Work) -> np.ndarray:
        """Build net and input, run once; return a vector of results to compare engines by."""
        return self._ask(work)

    def run(self) -> float:
        """Seconds that one run takes."""
        time.sleep(SETTLE)
        return self._ask("run")

    def close(self) -> None:
        """End the process."""
        self._pipe.send("stop")
        self._process.join()

    def _ask(self, message: Any) -> Any:
        self._pipe.send(message)
        answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


def can(engine: str, work: Work) -> bool:
    """Whether an engine can do the work: ONNX Runtime infers only."""
    return engine != "onnxruntime" or work.kind == "forward"


def _serve(name, threads, pipe):
    run = None
    while (message := pipe.recv()) != "stop":
        try:
            if isinstance(message, Work):
                run = None  # give the last net's memory back first
                run = PREPARE[name](message, threads)
                pipe.send(np.concatenate([np.ravel(part)[:100_000] for part in run()]))
            else:
                start = time.perf_counter()
                run()
                pipe.send(time.perf_counter() - start)
        except Exception as error:  # the parent raises it
            pipe.send(RuntimeError(f"{name}: {type(error).__name__}: {error}"))


def network(work: Work):
    """Build the net of some work: random weights, batch normalisation folded, the same in every process."""
    from minicnn import Network, zoo
    from minicnn.layers import Flatten, GlobalAvgPool2d

    name, _, trunk = work.net.partition("/")
    net = zoo.build(name)
    layers = net.named_layers
    if trunk:
        layers = [*layers[: net.names.index("flatten")], ("mean", GlobalAvgPool2d()), ("flatten", Flatten())]
    return Network(layers, input_shape(work)).fold_batch_norm()


def input_shape(work: Work) -> tuple[int, int, int]:
    """(C, H, W) of one image."""
    from minicnn import zoo

    channels, *size = zoo.architecture(work.net.partition("/")[0]).input_shape
    return (channels, *(size if work.size is None else (work.size, work.size)))


def inputs(work: Work, scores: int) -> tuple[np.ndarray, np.ndarray]:
    """Images, and a class for each."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((work.batch, *input_shape(work)), dtype=np.float32)
    return x, np.arange(work.batch) % scores


def scores_of(net, shape: tuple[int, int, int]) -> int:
    """Return the number of scores for inputs of ``shape``."""
    from minicnn.layers import sequence

    return sequence.output_shape(net.named_layers, shape)[0]


def _prepare_minicnn(work, threads):
    from minicnn.kernels.cpu.runtime.thread_pool import set_num_threads

    set_num_threads(threads)
    net = network(work).to("cpu")
    return minicnn_run(net, work)


def minicnn_run(net, work: Work):
    """Return the function that does the work once with one of our nets."""
    x, targets = inputs(work, scores_of(net, input_shape(work)))
    return {
        "forward": lambda: [net(x)],
        "gradient": lambda: [net.input_gradient(x, targets)],
        "training": lambda: list(net.loss_gradient(x, targets)[1].values()),
    }[work.kind]


def _prepare_torch(work, threads):
    import torch

    torch.set_num_threads(threads)
    return torch_run(network(work), work)


def torch_run(net, work: Work):
    """Return the function that does the work once in torch, with the parameters of one of our nets."""
    import torch

    module = torch_module(net.named_layers, input_shape(work)).eval()
    x, targets = map(torch.from_numpy, inputs(work, scores_of(net, input_shape(work))))
    parameters = list(module.parameters())
    for parameter in parameters:
        parameter.requires_grad_(work.kind == "training")

    def forward():
        with torch.inference_mode():
            return [module(x).numpy()]

    def gradient():
        image = x.detach().requires_grad_(True)
        scores = module(image)
        (dx,) = torch.autograd.grad(scores.gather(1, targets[:, None]).sum(), image)
        return [dx.numpy()]

    def training():
        loss = torch.nn.functional.cross_entropy(module(x), targets)
        return [part.numpy() for part in torch.autograd.grad(loss, parameters)]

    return {"forward": forward, "gradient": gradient, "training": training}[work.kind]


def torch_module(pairs, shape):
    """Return torch's modules for (name, layer) pairs, sharing their parameters, for inputs of ``shape``."""
    from torch import nn

    from minicnn.layers import sequence

    return nn.Sequential(*(_torch_layer(layer, given) for _, layer, given, _ in sequence.shapes(pairs, shape)))


def _torch_layer(layer, shape):
    from torch import nn

    kind = type(layer).__name__
    if kind == "Residual":
        return _torch_residual(torch_module(layer.body, shape), torch_module(layer.shortcut, shape))
    if kind == "Sequential":
        return torch_module(layer.layers, shape)
    if kind == "Conv2d":
        return _torch_conv2d(layer, layer.geometry(shape[1:]))
    if kind == "Linear":
        return _sharing(nn.Linear(layer.in_features, layer.out_features, device="meta"), layer)
    if kind == "MaxPool2d":
        (top, _), (left, _) = layer.padding
        window = layer.kernel_size, layer.stride, (top, left), layer.dilation
        return nn.MaxPool2d(*window, ceil_mode=layer.ceil_mode)
    if kind == "LocalResponseNorm":
        return nn.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k)
    plain = {"ReLU": nn.ReLU, "ReLU6": nn.ReLU6, "Flatten": nn.Flatten, "Dropout": nn.Identity}
    return nn.AdaptiveAvgPool2d(1) if kind == "GlobalAvgPool2d" else plain[kind]()


def _sharing(module, layer):
    """Return the module, made without memory of its own, with our layer's parameters."""
    import torch

    for name, array in layer.state().items():
        setattr(module, name, torch.nn.Parameter(torch.from_numpy(array)))
    return module


def _torch_conv2d(layer, geometry):
    from torch import nn

    from minicnn.shapes import sides

    (top, bottom), (left, right) = sides(geometry["padding"])
    symmetric = top == bottom and left == right
    window = layer.kernel_size, layer.stride, (top, left) if symmetric else 0, layer.dilation, layer.groups
    module = _sharing(nn.Conv2d(layer.in_channels, layer.out_channels, *window, device="meta"), layer)
    return module if symmetric else nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), module)


def _torch_residual(body, shortcut):
    from torch import nn

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.shortcut = body, shortcut

        def forward(self, x):
            return self.body(x) + self.shortcut(x)

    return Residual()


def _prepare_onnxruntime(work, threads):
    from minicnn.formats import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        onnx.write(path, network(work))
        return onnxruntime_run(path, work, threads)


def onnxruntime_run(path: Path, work: Work, threads: int):
    """Return the function that does the work once in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: inputs(work, 1)[0]}
    return lambda: session.run(None, feed)


PREPARE = {"minicnn": _prepare_minicnn, "torch": _prepare_torch, "onnxruntime": _prepare_onnxruntime}
