"""Images a second of ``minicnn batch`` from JPEG files, beside plain loops of ONNX Runtime and of torch.

    python benchmarks/batch_throughput.py PHOTOGRAPHS [--images N] [--rounds N] [--splits] [--sizes 1 4 8 16]

PHOTOGRAPHS is a folder of JPEG files, repeated until there are N.  EfficientNet-Lite0, the same weights in all:

- ``predict``: by two processes of one thread, by one, and by a loop that opens each file with Pillow, resizes it,
  and asks ONNX Runtime, with two threads, for its scores;
- ``saliency``: the same beside a loop of torch, of two threads: forward, input gradient, largest channel.

``--splits`` measures instead two processes of one thread, one of them, and this process with two threads (0), each
with passes of several sizes.

All take turns, each in a process of its own.  Start-up is not counted: a batch's clock starts when each of its
workers has done a shard, a loop's after its third image.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure
import numpy as np

NET = "efficientnet-lite0"
WARM = 3  # images of a loop before its clock starts
SHARD = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--splits", action="store_true", help="processes, threads and images of a pass")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1, 4, 8, 16], help="images of a pass, for --splits"
    )
    parser.add_argument("--tasks", nargs="+", default=["predict", "saliency"])
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    files = sorted(map(str, arguments.photographs.glob("*.jpg")))
    files = [files[i % len(files)] for i in range(arguments.images)]
    if arguments.child:
        print(CHILDREN[arguments.child.split()[0]](files, *arguments.child.split()[1:]))
        return
    print(measure.described(measure.machine(2)), flush=True)
    for task in arguments.tasks:
        peer = {"predict": ["onnxruntime"], "saliency": ["torch"]}.get(task, [])
        works = [f"batch {task} 2 8", f"batch {task} 1 8", *peer]
        if arguments.splits:
            works = [
                f"batch {task} {processes} {size}" for size in arguments.sizes for processes in (2, 1, 0)
            ] + peer
        report(task, measured(works, arguments))


def measured(works: list[str], arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Return the images a second of each work, in turns."""
    rates: dict[str, list[float]] = {work: [] for work in works}
    typed = [sys.executable, __file__, str(arguments.photographs), "--images", str(arguments.images)]
    for n in range(arguments.rounds):
        for work in works[n % len(works) :] + works[: n % len(works)]:
            done = subprocess.run([*typed, "--child", work], check=True, capture_output=True, text=True)
            rates[work].append(float(done.stdout.split()[-1]))
    return rates


def report(task: str, rates: dict[str, list[float]]) -> None:
    """Print medians, quartiles, and the first one's ratio to each, of runs of one round."""
    first = next(iter(rates.values()))
    rows = []
    for work, own in rates.items():
        low, median, high = np.percentile(own, (25, 50, 75))
        ratios = np.percentile(np.divide(first, own), (25, 50, 75))
        rows.append(
            [work, f"{median:.1f} ({low:.1f} to {high:.1f})", "{1:.2f} ({0:.2f} to {2:.2f})".format(*ratios)]
        )
    print(
        f"\n{task}\n\n{measure.table(['work', 'images a second', 'the first, relative to it'], rows)}", flush=True
    )


def run_batch(files: list[str], task: str, processes: str, size: str) -> float:
    """Images a second of a batch, from the first shards of its workers to the last."""
    import minicnn
    from minicnn import batch

    net = minicnn.load(NET).to("cpu")
    workers, moments = int(processes), []
    images = [batch.Input(f"{i}/{name}", name) for i, name in enumerate(files)]
    job = batch.Job(task, shard_size=SHARD, batch_size=int(size))
    with tempfile.TemporaryDirectory() as folder:
        batch.run_batch(
            net,
            images,
            folder,
            job,
            workers=workers,
            on_shard=lambda seen, *_: moments.append((seen, time.perf_counter())),
        )
    (begun, start), (ended, end) = moments[max(workers, 1)], moments[-1]
    return (ended - begun) / (end - start)


def run_onnxruntime(files: list[str]) -> float:
    """Images a second of a plain loop."""
    import onnxruntime

    import minicnn
    from minicnn.formats import onnx

    net = minicnn.load(NET)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = 2, 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        onnx.write(path, net)
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def answer(path: str) -> list[int]:
        scores = session.run(None, {name: opened(net.preprocess, path)})[0][0]
        powers = np.exp(scores - scores.max())
        return np.argsort(-powers / powers.sum())[:5].tolist()

    return loop(files, answer)


def run_torch(files: list[str]) -> float:
    """Images a second of a plain loop; each map goes to a file of its own."""
    import peers
    import torch

    import minicnn

    torch.set_num_threads(2)
    net = minicnn.load(NET)
    module = peers.torch_module(net.fold_batch_norm().named_layers, net.input_shape).eval().requires_grad_(False)

    with tempfile.TemporaryDirectory() as folder:

        def answer(path: str) -> None:
            x = torch.from_numpy(opened(net.preprocess, path)).requires_grad_(True)
            scores = module(x)
            (dx,) = torch.autograd.grad(scores[0, scores[0].argmax()], x)
            np.save(f"{folder}/map.npy", dx[0].abs().amax(dim=0).numpy())

        return loop(files, answer)


def opened(preprocess: object, path: str) -> np.ndarray:
    """Return a file as the net's input, as a page of a tutorial would write it."""
    from PIL import Image

    with Image.open(path) as image:
        picture = image.convert("RGB")
    size, (height, width) = preprocess.resize, preprocess.size
    scale = size / min(picture.size)
    picture = picture.resize(
        (round(picture.width * scale), round(picture.height * scale)),
        Image.Resampling[preprocess.interpolation.upper()],
    )
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    pixels = np.asarray(picture.crop((left, top, left + width, top + height)), np.float32)
    x = (pixels * np.float32(preprocess.scale) - np.float32(preprocess.mean)) / np.float32(preprocess.std)
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None])


def loop(files: list[str], answer) -> float:
    """Images a second of calls, after the first few."""
    for path in files[:WARM]:
        answer(path)
    start = time.perf_counter()
    for path in files[WARM:]:
        answer(path)
    return (len(files) - WARM) / (time.perf_counter() - start)


CHILDREN = {"batch": run_batch, "onnxruntime": run_onnxruntime, "torch": run_torch}

if __name__ == "__main__":
    main()
