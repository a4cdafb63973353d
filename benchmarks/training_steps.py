"""A step of training beside PyTorch's: the same network, batch, threads and optimiser, taking turns.

    python benchmarks/training_steps.py [--rounds 15] [--threads 2] [--only lenet5] [--json FILE]

A step is forward, cross-entropy, backward to every weight that trains, and SGD with momentum.  torch is measured
twice, with its usual layout and with channels last; the ratio is to the faster one.  Fine-tuning of the last layer
is measured in the first epoch, in which the frozen layers are computed, and in the later ones, in which minicnn
has kept what they gave: torch computes it anew, as its usual loop does, and is also given what was kept.
Prints medians in milliseconds, and the ratio beside the one that was aimed for.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

AIM = 0.8
CLASSES = 10


class Row(NamedTuple):
    """What is measured: a title, the network, images of a batch, and which steps of fine-tuning, if it is that."""

    title: str
    net: str
    batch: int
    fine_tuning: str = ""


ROWS = (
    Row("LeNet-5, batch 64", "lenet5", 64),
    Row("digits net, batch 64", "digits", 64),
    Row("Fashion net, batch 128", "fashion", 128),
    Row("Lite0, last layer, batch 32, first epoch", "efficientnet-lite0", 32, "computed"),
    Row("Lite0, last layer, batch 32, later epochs", "efficientnet-lite0", 32, "kept"),
    Row("Lite0, last layer, batch 32, both given features", "efficientnet-lite0", 32, "given"),
)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="steps of each engine (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each engine (default: %(default)s)")
    parser.add_argument("--only", default="", help="only titles or networks that hold this")
    parser.add_argument("--json", help="file to write the figures to")
    arguments = parser.parse_args()
    for library in ("NUMBA", "OPENBLAS", "OMP"):
        os.environ[f"{library}_NUM_THREADS"] = str(arguments.threads)
    import measure  # with NumPy, which asks for the number of threads when it is loaded

    print("| step | minicnn | torch | torch, channels last | ratio (quartiles) | aim |\n|---|---|---|---|---|---|")
    table = {}
    for row in ROWS:
        if arguments.only not in row.title and arguments.only not in row.net:
            continue
        seconds = measure.interleaved(engines(row, arguments.threads), arguments.rounds)
        medians = {name: measure.spread(each)["median"] for name, each in seconds.items()}
        best = min((name for name in seconds if name != "minicnn"), key=medians.__getitem__)
        ratio = measure.ratio(seconds["minicnn"], seconds[best])
        table[row.title] = {"milliseconds": medians, "ratio": ratio}
        print(
            f"| {row.title} | {' | '.join(f'{ms:.2f} ms' for ms in medians.values())} | {ratio['of_medians']:.2f} "
            f"({ratio['low']:.2f} to {ratio['high']:.2f}) | {AIM} |",
            flush=True,
        )
    about = measure.machine(arguments.threads)
    print(f"\n{about['date']}, {about['processor']}, {arguments.threads} threads, load {about['load'][0]:.1f}")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"machine": about, "steps": table}, indent=1))


def engines(row: Row, threads: int) -> dict[str, Callable[[], float]]:
    """Return what makes a step, and returns its seconds, by engine; each has made two."""
    import numpy as np
    import torch

    from minicnn import load, zoo
    from minicnn.training import replace_head

    torch.set_num_threads(threads)
    if row.fine_tuning:
        net = replace_head(load(row.net), [str(k) for k in range(CLASSES)]).to("cpu")
    else:
        net = zoo.build(row.net).to("cpu")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((row.batch, *net.input_shape), np.float32)
    classes = rng.integers(0, CLASSES, row.batch)
    steps = {
        "minicnn": minicnn_step(net, x, classes, row.fine_tuning),
        "torch": torch_step(net, x, classes, row.fine_tuning, torch.contiguous_format),
        "torch, channels last": torch_step(net, x, classes, row.fine_tuning, torch.channels_last),
    }
    for step in [*steps.values()] * 2:
        step()
    return {name: lambda step=step: timed(step) for name, step in steps.items()}


def timed(step: Callable[[], object]) -> float:
    """Return the seconds of a step."""
    start = perf_counter()
    step()
    return perf_counter() - start


def minicnn_step(net, x, classes, fine_tuning: str) -> Callable[[], object]:
    """Return a step of minicnn."""
    import numpy as np

    from minicnn.training import Recipe, freeze_below_head
    from minicnn.training.data.loader import Batch
    from minicnn.training.frozen import cut_below_training
    from minicnn.training.step import Trainer

    recipe = Recipe(freeze=freeze_below_head(net) if fine_tuning else ())
    cut = cut_below_training(net, recipe)
    trainer = Trainer(net, recipe) if cut is None else Trainer(cut.tail, cut.recipe)
    computed = x if fine_tuning in ("", "computed") else cut.trunk(x)
    targets = np.eye(CLASSES)[classes]

    def step() -> None:
        features = cut.trunk(computed) if fine_tuning == "computed" else computed
        batch = Batch(features, targets, classes, np.arange(len(x)))
        trainer.step([batch], 1e-3, [np.random.default_rng(0)])

    return step


def torch_step(net, x, classes, fine_tuning: str, layout) -> Callable[[], object]:
    """Return a step of torch; of fine-tuning, frozen layers run without gradients."""
    import torch

    from minicnn.verify.comparison.peers.to_torch import to_torch

    module = to_torch(net).to(memory_format=layout)
    x, classes = torch.from_numpy(x).contiguous(memory_format=layout), torch.from_numpy(classes)
    loss = torch.nn.CrossEntropyLoss()
    trunk, head = None, module.train()
    if fine_tuning:
        *below, head = module.children()
        trunk = torch.nn.Sequential(*below).eval()
        if fine_tuning == "given":
            with torch.no_grad():
                x = trunk(x)
            trunk = None
    optimiser = torch.optim.SGD(head.parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        features = x
        if trunk is not None:
            with torch.no_grad():
                features = trunk(x)
        optimiser.zero_grad()
        loss(head(features), classes).backward()
        optimiser.step()

    return step


if __name__ == "__main__":
    main()
