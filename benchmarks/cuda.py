"""The first thing to run where there is a GPU: conformance, and times against PyTorch and the plan.

    python benchmarks/cuda.py [--rounds 20]

Runs the conformance cases on the real device and stops at the first difference; then times every layer of VGG-16
and AlexNet at batch 1 and 32, forward and input gradient, with events on the stream, beside PyTorch (float32,
tensor cores off) and the plan of ``cuda_plan.py``; prints Markdown for ``benchmarks/CUDA.md``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
# this file is named as the package that Numba's compiler loads, so its folder comes last
sys.path[:] = [str(ROOT), str(ROOT / "tests"), *sys.path[1:], str(ROOT / "benchmarks")]


def conformance() -> int:
    """Hold every operation against the reference on random settings; return how many calls were compared."""
    import cuda_check
    from kernel_settings import CONVOLUTIONS, SETTINGS, drawn

    count = 0
    for operation in SETTINGS:
        for setting in drawn(operation, 50):
            cuda_check.check(operation, setting)
            count += 1
    for setting in CONVOLUTIONS.values():
        cuda_check.check("conv2d", setting)
        count += 1
    return count


def milliseconds(run, rounds: int) -> float:
    """Return the median time of ``run`` on the GPU, by events on the stream it works on."""
    from numba import cuda

    for _ in range(3):
        run()
    times = []
    for _ in range(rounds):
        begin, end = cuda.event(), cuda.event()
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(cuda.event_elapsed_time(begin, end))
    return float(np.median(times))


def torch_milliseconds(module, x, rounds: int) -> tuple[float, float]:
    """Return PyTorch's median times forward and for the input gradient; NaN without it."""
    try:
        import torch
    except ImportError:
        return float("nan"), float("nan")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    module, x = module.cuda().eval(), torch.from_numpy(x).cuda().requires_grad_()
    dy = torch.ones_like(module(x))
    y = module(x)
    runs = lambda: module(x), lambda: torch.autograd.grad(y, x, dy, retain_graph=True)
    return tuple(_torch_median(run, rounds) for run in runs)


def _torch_median(run, rounds: int) -> float:
    import torch

    for _ in range(3):
        run()
    times = []
    for _ in range(rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return float(np.median(times))


def layers(name: str, n: int, rounds: int) -> list[str]:
    """Return the lines of one net's table."""
    import cuda_plan

    from minicnn import zoo
    from minicnn.kernels import on, send
    from minicnn.layers import Keep
    from minicnn.layers.fused import fused
    from minicnn.rules import GRADIENT
    from minicnn.verify import torch_peer

    kernels, net = on("cuda"), zoo.build(name)
    plan = {layer: (forward, back) for layer, _, forward, back in cuda_plan.rows(name, n)}
    lines, shape = [], net.input_shape
    steps = dict(zip((fused_name for fused_name, _ in fused(net._chain)), fused(net._chain), strict=True))
    for layer_name, layer in net.named_layers:
        out = layer.output_shape(shape)
        if layer_name in plan:
            following = net.names[net.names.index(layer_name) + 1 :][:1]
            _, step = steps.get(layer_name) or steps[following[0]]
            host = np.random.default_rng(0).standard_normal((n, *shape)).astype(np.float32)
            x = send(host, "cuda")
            y, saved = step.forward(x, kernels, Keep.MASKS)
            dy = send(np.ones(y.shape, np.float32), "cuda")
            forward = milliseconds(lambda s=step, x=x: s.forward(x, kernels, Keep.MASKS), rounds)
            back = milliseconds(lambda s=step, d=dy, v=saved: s.backward(d, v, kernels, GRADIENT), rounds)
            from minicnn import Network

            twin = torch_peer.twin(Network([(layer_name, layer)], input_shape=shape))
            theirs = torch_milliseconds(twin, host, rounds)
            planned = [cost.expected * 1e3 for cost in plan[layer_name]]
            lines.append(
                f"| {name} | {n} | {layer_name} | {planned[0]:.4f} | {forward:.4f} | {theirs[0]:.4f} "
                f"| {planned[1]:.4f} | {back:.4f} | {theirs[1]:.4f} |"
            )
        shape = out
    return lines


def main():
    """Check, then time."""
    from minicnn.errors import DeviceError
    from minicnn.kernels import gpu, on

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    try:
        on("cuda")
    except DeviceError as error:
        sys.exit(f"nothing to measure: {error}")
    print(f"{conformance()} cases as the reference on {gpu.gpus()[0].name}\n")
    print("| net | batch | layer | plan ms | forward ms | PyTorch | plan back ms | gradient ms | PyTorch |")
    print("|---|---:|---|---:|---:|---:|---:|---:|---:|")
    for name in ("vgg16", "alexnet"):
        for n in (1, 32):
            print("\n".join(layers(name, n, arguments.rounds)), flush=True)


if __name__ == "__main__":
    main()
