"""Time from the start of a process to its first saliency map, with and without compiled kernels in the cache.

    python benchmarks/startup.py [--net vgg16] [--threads 2] [--rounds 7] [--json FILE]

A first process with an empty cache compiles; the next ones find what it compiled.  Making the random weights,
which stands where others read theirs, is not counted.  The peers start with the same weights, image and target.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import measure
import numpy as np
import peers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", default="vgg16", help="a name of minicnn.zoo (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each engine (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="processes of each kind (default: %(default)s)")
    parser.add_argument("--json", help="file to write the figures to")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(CHILDREN[arguments.child](arguments)))
        return
    with tempfile.TemporaryDirectory() as cache:
        first = in_child("minicnn", arguments, cache)
        rounds = [
            {child: in_child(child, arguments, cache) for child in CHILDREN} for _ in range(arguments.rounds)
        ]
    results = {
        "machine": measure.machine(arguments.threads),
        "net": arguments.net,
        "first": first,
        "rounds": rounds,
    }
    print(f"{measure.described(results['machine'])}\n\n{printed(results)}")
    if arguments.json:
        measure.write_json(arguments.json, results)


def in_child(child: str, arguments: argparse.Namespace, cache: str) -> dict:
    """Start this file again, and return when it did what, in seconds from its start."""
    variables = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MINICNN_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = os.environ | dict.fromkeys(variables, str(arguments.threads)) | {"MINICNN_CACHE_DIR": cache}
    command = [sys.executable, __file__, "--child", child, "--net", arguments.net]
    start = time.time()
    done = subprocess.run(
        [*command, "--threads", str(arguments.threads)],
        env=environment | {"STARTED": repr(start)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def since_start() -> float:
    """Seconds since the parent started this process."""
    return time.time() - float(os.environ["STARTED"])


def network(name: str):
    """Build a net with weights of about the right size, quickly; return it and the seconds that took."""
    from minicnn import Network, zoo
    from minicnn.layers import sequence

    start = time.time()
    result = zoo.architecture(name)
    values = np.random.default_rng(0).standard_normal(1 << 20, dtype=np.float32)
    arrays = {}
    for key, shape in sequence.parameter_shapes(sequence.name_layers(result.layers)).items():
        scale = np.float32((2 / max(1, np.prod(shape[1:]))) ** 0.5)
        arrays[key] = np.resize(values * scale, shape)
        if key.endswith("running_var"):
            arrays[key] = np.abs(arrays[key]) + 1
    net = Network.from_state_dict(result.layers, arrays, result.input_shape).fold_batch_norm()
    return net, time.time() - start


def minicnn(arguments) -> dict:
    """Import, load or compile the kernels, compute one map, and one more."""
    import minicnn.zoo  # noqa: F401
    from minicnn.kernels.cpu.runtime import jit

    stages = {"imported": since_start()}
    net, making = network(arguments.net)
    seconds, compiling = {}, jit.Kernel._compile

    def timed(self):
        start = time.perf_counter()
        try:
            return compiling(self)
        finally:
            seconds[self.name] = time.perf_counter() - start

    jit.Kernel._compile = timed
    _first_maps(stages, peers.minicnn_run(net.to("cpu"), peers.Work(arguments.net, "gradient", 1)), making)
    return stages | {"kernels": seconds}


def torch(arguments) -> dict:
    """Import, compute one map, and one more."""
    import torch

    stages = {"imported": since_start()}
    torch.set_num_threads(arguments.threads)
    net, making = network(arguments.net)
    _first_maps(stages, peers.torch_run(net, peers.Work(arguments.net, "gradient", 1)), making)
    return stages


def _first_maps(stages: dict, run, making: float) -> None:
    run()
    stages["first map"] = since_start() - making
    start = time.perf_counter()
    run()
    stages["one more"] = time.perf_counter() - start


def digits(arguments) -> dict:
    """Compute the map of one digit on NumPy alone, weights read: what a first answer takes."""
    import minicnn as package

    net = package.load("digits")
    run = peers.minicnn_run(net, peers.Work("digits", "gradient", 1))
    stages = {"imported": since_start()}
    _first_maps(stages, run, 0.0)
    return stages | {"compiler loaded": "numba" in sys.modules}


CHILDREN = {"minicnn": minicnn, "torch": torch, "digits": digits}


def printed(result: dict) -> str:
    """Table of the stages, medians of the rounds, and what each kernel took to compile and to load."""
    head = ["seconds from the start", "libraries imported", "first map", "one more"]
    first, rounds, net = result["first"], result["rounds"], result["net"]
    stages = ("imported", "first map", "one more")
    body = [[f"{net}, empty cache", *(f"{first[stage]:.2f}" for stage in stages)]]
    titles = {"minicnn": f"{net}, kernels cached", "torch": f"{net}, torch", "digits": "digits, on NumPy alone"}
    for child, title in titles.items():
        medians = [np.median([turn[child][stage] for turn in rounds]) for stage in stages]
        body.append([title, *(f"{seconds:.3f}" for seconds in medians)])
    loads = [r["minicnn"]["kernels"] for r in rounds]
    kernels = [
        [name, f"{seconds:.2f}", f"{np.median([load[name] for load in loads]):.3f}"]
        for name, seconds in sorted(first["kernels"].items(), key=lambda item: -item[1])
    ]
    total = sum(first["kernels"].values()), np.median([sum(load.values()) for load in loads])
    kernels.append(["all", f"{total[0]:.2f}", f"{total[1]:.3f}"])
    return f"{measure.table(head, body)}\n\n{measure.table(['kernel', 'compiled, s', 'loaded, s'], kernels)}"


if __name__ == "__main__":
    main()
