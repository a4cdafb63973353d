"""Peak memory of a whole process that computes VGG-16's scores and input gradient for one image.

    python benchmarks/memory.py [--net vgg16] [--threads 2] [--json FILE]

Everything counts: interpreter, libraries, weights, transformed weights, activations.  Each engine has a process
of its own.  Our weights and torch's are drawn in place, so that making them leaves no peak behind; ONNX Runtime
reads its from a file, as it must, and only infers.  A second process of ours counts the arrays that NumPy makes
during a run and gives back after it: activations, masks and work buffers.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import measure
import numpy as np
import peers

MB = 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", default="vgg16", help="a name of minicnn.zoo (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each engine (default: %(default)s)")
    parser.add_argument("--json", help="file to write the figures to")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(CHILDREN[arguments.child](arguments)))
        return
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "net.onnx"
        in_child("minicnn", arguments, model)  # compiles what later processes load
        for child in CHILDREN:
            try:
                rows[child] = in_child(child, arguments, model)
            except subprocess.CalledProcessError:  # its own words are on stderr already
                print(f"{child}: left out", file=sys.stderr)
    results = {"machine": measure.machine(arguments.threads), "net": arguments.net, "megabytes": rows}
    print(f"{measure.described(results['machine'])}\n\n{printed(rows)}")
    if arguments.json:
        measure.write_json(arguments.json, results)


def in_child(child: str, arguments: argparse.Namespace, model: Path) -> dict[str, float]:
    """Run this file again as one engine, and return its figures."""
    variables = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MINICNN_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = os.environ | dict.fromkeys(variables, str(arguments.threads))
    command = [sys.executable, __file__, "--child", child, "--net", arguments.net, "--model", str(model)]
    command += ["--threads", str(arguments.threads)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def peak() -> float:
    """Most megabytes this process has had in memory."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024) / MB


def network(name: str):
    """Build a net whose weights are drawn in place: no memory is used but their own."""
    from minicnn import Network, zoo
    from minicnn.layers import sequence

    result, rng = zoo.architecture(name), np.random.default_rng(0)
    arrays = {}
    for key, shape in sequence.parameter_shapes(sequence.name_layers(result.layers)).items():
        array = arrays[key] = np.empty(shape, np.float32)
        rng.standard_normal(dtype=np.float32, out=array)
        array *= np.float32((2 / max(1, np.prod(shape[1:]))) ** 0.5)
        if key.endswith("running_var"):
            np.abs(array, out=array)
            array += 1
    return Network.from_state_dict(result.layers, arrays, result.input_shape).fold_batch_norm()


def minicnn(arguments) -> dict[str, float]:
    """Peaks of our process after its weights, after a forward pass, after an input gradient."""
    net = network(arguments.net).to("cpu")
    return _stages(arguments, lambda work: peers.minicnn_run(net, work))


def torch(arguments) -> dict[str, float]:
    """Peaks of torch's process."""
    import torch

    torch.set_num_threads(arguments.threads)
    net = network(arguments.net)
    return _stages(arguments, lambda work: peers.torch_run(net, work))


def _stages(arguments, prepare) -> dict[str, float]:
    stages = {"with weights": peak()}
    for kind, title in (("forward", "forward"), ("gradient", "forward + input gradient")):
        run = prepare(peers.Work(arguments.net, kind, 1))
        run()
        run()
        stages[title] = peak()
    return stages


def minicnn_arrays(arguments) -> dict[str, float]:
    """Peaks of what NumPy allocates during one run of ours: activations, masks, work buffers."""
    import tracemalloc

    from minicnn.kernels.cpu.runtime.allocator import empty_cache

    net = network(arguments.net).to("cpu")
    results = {}
    for kind, title in (("forward", "forward"), ("gradient", "forward + input gradient")):
        run = peers.minicnn_run(net, peers.Work(arguments.net, kind, 1))
        run()  # imports and compiles
        empty_cache()  # memory kept for the next run counts in full
        tracemalloc.start()
        run()
        results[title] = tracemalloc.get_traced_memory()[1] / MB
        tracemalloc.stop()
    return results


def write_model(arguments) -> dict[str, float]:
    """Write the net for ONNX Runtime, in a process that does not count."""
    from minicnn.formats import onnx

    onnx.write(arguments.model, network(arguments.net))
    return {}


def onnxruntime(arguments) -> dict[str, float]:
    """Peaks of ONNX Runtime's process: after loading the file, after a forward pass."""
    run = peers.onnxruntime_run(Path(arguments.model), peers.Work(arguments.net, "forward", 1), arguments.threads)
    stages = {"with weights": peak()}
    run()
    run()
    return stages | {"forward": peak()}


CHILDREN = {
    "minicnn": minicnn,
    "minicnn, arrays beyond weights": minicnn_arrays,
    "torch": torch,
    "(file for onnxruntime)": write_model,
    "onnxruntime": onnxruntime,
}


def printed(rows: dict[str, dict[str, float]]) -> str:
    """Table of megabytes, and the ratio of the whole."""
    stages = ("with weights", "forward", "forward + input gradient")
    head = ["peak, MB", *stages]
    body = [
        [name, *(f"{result[stage]:.0f}" if stage in result else "" for stage in stages)]
        for name, result in rows.items()
        if result
    ]
    text = measure.table(head, body)
    if "minicnn" in rows and "torch" in rows:
        ours, theirs = (rows[name][stages[-1]] for name in ("minicnn", "torch"))
        text += f"\n\nminicnn / torch, forward + input gradient: {ours / theirs:.2f}"
    return text


if __name__ == "__main__":
    main()
