"""The first thing to run where there is a GPU: conformance, and times against PyTorch and the plan.

    python benchmarks/cuda.py [--rounds 20] [--nets vgg16 alexnet] [--batches 1 32] [--cases 50]

Runs the conformance cases on the real device and stops at the first difference; then times every layer, forward
and input gradient, with events on the stream, beside PyTorch (float32, tensor cores off) and the plan of
``cuda_plan.py``, then whole steps of training (``--train``), and writes what it measured into
``docs/measurements/cuda.md``.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from pathlib import Path

import cuda_plan  # which takes this folder off the path: this file is named as a package that Numba loads
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "measurements" / "cuda.md"
MEASURED, TABLES = "\n## Measured\n", "\n### "  # where on the page the first begins, and the plan's tables
AIM = 1.5  # times PyTorch's, of VGG-16 at batch 32


def conformance(cases: int) -> int:
    """Hold every operation against the reference on random settings; return how many were compared."""
    from tests.cuda import check
    from tests.helpers.kernel_settings import CONVOLUTIONS, SETTINGS, drawn

    if cases < 1:
        return 0
    chosen = [(operation, setting) for operation in SETTINGS for setting in drawn(operation, cases)]
    chosen += [("conv2d", setting) for setting in CONVOLUTIONS.values()]
    for operation, setting in chosen:
        check.check(operation, setting)
    return len(chosen)


def median(run, rounds: int, event) -> float:
    """Return the median milliseconds of ``run`` on the GPU, by events on the stream that it works on."""
    for _ in range(3):
        run()
    times = []
    for _ in range(rounds):
        begin, end = event(), event()
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return float(np.median(times))


def ours(step, x, rounds: int) -> tuple[float, float]:
    """Milliseconds of a layer forward and back, everything on the device."""
    from numba import cuda

    from minicnn.kernels import on, send
    from minicnn.layers import Keep
    from minicnn.rules import GRADIENT

    kernels, x = on("cuda"), send(x, "cuda")
    y, saved = step.forward(x, kernels, Keep.MASKS)
    dy = send(np.ones(y.shape, np.float32), "cuda")
    runs = lambda: step.forward(x, kernels, Keep.MASKS), lambda: step.backward(dy, saved, kernels, GRADIENT)
    return tuple(median(run, rounds, cuda.event) for run in runs)


def theirs(layer, x, rounds: int) -> tuple[float, float]:
    """Milliseconds of PyTorch forward and for the input gradient; NaN where it, or its GPU, is missing."""
    try:
        import torch
    except ImportError:
        return np.nan, np.nan
    if not torch.cuda.is_available():
        return np.nan, np.nan
    from minicnn import Network
    from minicnn.verify.comparison.peers.to_torch import to_torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    module = to_torch(Network([layer], input_shape=x.shape[1:])).cuda().eval()
    x = torch.from_numpy(x).cuda().requires_grad_()
    y = module(x)
    dy = torch.ones_like(y)
    runs = lambda: module(x), lambda: torch.autograd.grad(y, x, dy, retain_graph=True)
    event = lambda: torch.cuda.Event(enable_timing=True)  # noqa: E731
    return tuple(median(run, rounds, event) for run in runs)


def layers(name: str, n: int, rounds: int) -> dict[str, tuple[float, ...]]:
    """Milliseconds of each layer that costs something: ours and PyTorch's forward, ours and PyTorch's gradient."""
    from minicnn import zoo
    from minicnn.layers import sequence
    from minicnn.layers.transforms.fuse import fuse

    net, times = zoo.build(name), {}
    planned = {layer for layer, *_ in cuda_plan.rows(name, n)}
    steps = dict(fuse(net.named_layers))
    for place, (layer_name, layer, shape, _) in enumerate(sequence.shapes(net.named_layers, net.input_shape)):
        if layer_name in planned:
            step = steps.get(layer_name) or steps[net.names[place + 1]]  # with the rectifier behind it
            x = np.random.default_rng(0).standard_normal((n, *shape), dtype=np.float32)
            (forward, back), (forward2, back2) = ours(step, x, rounds), theirs(layer, x, rounds)
            times[layer_name] = forward, forward2, back, back2
            print(name, n, layer_name, *(f"{ms:.4f}" for ms in times[layer_name]), flush=True)
    return times


def training_step(name: str, n: int, rounds: int) -> tuple[float, float]:
    """Milliseconds of a step of training, batches sent and SGD with momentum included: ours and PyTorch's."""
    from numba import cuda

    from minicnn import zoo
    from minicnn.layers import sequence
    from minicnn.training import Recipe
    from minicnn.training.data.loader import Batch
    from minicnn.training.step import Trainer

    net, rng = zoo.build(name), np.random.default_rng(0)
    x = rng.standard_normal((n, *net.input_shape), dtype=np.float32)
    (num_classes,) = sequence.output_shape(net.named_layers, net.input_shape)
    classes = rng.integers(0, num_classes, n)
    batch = Batch(x, np.eye(num_classes)[classes], classes, np.arange(n))
    trainer = Trainer(net.to("cuda"), Recipe())
    own = median(lambda: trainer.step([batch], 1e-3, [np.random.default_rng(0)]), rounds, cuda.event)
    try:
        import torch
    except ImportError:
        return own, np.nan
    if not torch.cuda.is_available():
        return own, np.nan
    from minicnn.verify.comparison.peers.to_torch import to_torch

    module, loss = to_torch(net).cuda().train(), torch.nn.CrossEntropyLoss()
    optimiser = torch.optim.SGD(module.parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        optimiser.zero_grad()
        loss(module(torch.from_numpy(x).cuda()), torch.from_numpy(classes).cuda()).backward()
        optimiser.step()

    return own, median(step, rounds, lambda: torch.cuda.Event(enable_timing=True))


def summary(
    measured: dict[tuple[str, int], dict], cases: int, steps: dict[tuple[str, int], tuple[float, float]]
) -> str:
    """Return what the page says under "Measured"."""
    from minicnn.kernels import cuda_availability

    device = next((gpu.name for gpu in cuda_availability.list_gpus()), "Numba's simulator: no times of a GPU")
    lines = [
        f"{datetime.date.today()}, {device}: {cases} cases as the reference. Sums over layers, milliseconds:",
        "",
    ]
    for (name, n), rows in measured.items():
        forward, forward2, back, back2 = (sum(column) for column in zip(*rows.values(), strict=True))
        ratio = (forward + back) / (forward2 + back2)
        words = "" if ratio != ratio else f"; {ratio:.2f} times PyTorch's {forward2:.3f} and {back2:.3f}"
        aim = (
            f" (aim {AIM}: {'met' if ratio <= AIM else 'missed'})" if (name, n) == ("vgg16", 32) and words else ""
        )
        lines.append(f"- {name}, batch {n}: forward {forward:.3f}, gradient {back:.3f}{words}{aim}")
    for (name, n), (own, other) in steps.items():
        words = "" if other != other else f"; {own / other:.2f} times PyTorch's {other:.3f}"
        lines.append(f"- {name}, batch {n}: a step of training {own:.3f}{words}")
    return "\n".join(lines)


def page(text: str, words: str, tables: list[str]) -> str:
    """Return the page with what was measured in the place of what stood there."""
    head, rest = text.split(MEASURED)
    following = rest[rest.index("\n## ") :]
    return f"{head}{MEASURED}\n{words}\n{following[: following.index(TABLES)]}\n" + "\n\n".join(tables) + "\n"


def main():
    """Check, time, write."""
    from minicnn.errors import DeviceError
    from minicnn.kernels import on

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, help="runs of each layer (default: %(default)s)")
    parser.add_argument("--nets", nargs="*", default=["vgg16", "alexnet"])
    parser.add_argument("--batches", nargs="*", type=int, default=[1, 32])
    parser.add_argument("--train", nargs="*", default=["lenet5", "fashion"], help="networks whose steps are timed")
    parser.add_argument("--train-batch", type=int, default=128, help="images of a step (default: %(default)s)")
    parser.add_argument("--cases", type=int, default=50, help="random settings of each operation; 0 for none")
    parser.add_argument(
        "--page", type=Path, default=PAGE, help="what is written (default: docs/measurements/cuda.md)"
    )
    arguments = parser.parse_args()
    try:
        on("cuda")
    except DeviceError as error:
        sys.exit(f"nothing to measure: {error}")
    if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":  # no times of a GPU, but all that is timed runs
        from tests.cuda import simulator

        simulator.install()
    cases = conformance(arguments.cases)
    print(f"{cases} cases as the reference", flush=True)
    works = [(name, n) for name in arguments.nets for n in arguments.batches]
    measured = {(name, n): layers(name, n, arguments.rounds) for name, n in works}
    steps = {}
    for name in arguments.train:
        times = training_step(name, arguments.train_batch, arguments.rounds)
        steps[name, arguments.train_batch] = times
        print(name, arguments.train_batch, "training step", *(f"{ms:.4f}" for ms in times), flush=True)
    tables = [cuda_plan.table(name, n, measured[name, n]) for name, n in works]
    beside = arguments.page.with_suffix(".part")
    beside.write_text(page(PAGE.read_text(), summary(measured, cases, steps), tables))
    os.replace(beside, arguments.page)


if __name__ == "__main__":
    main()
