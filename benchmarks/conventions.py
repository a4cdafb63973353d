"""What a net's file does not say, decided by accuracy on photographs of known class: ways to make the input.

    python benchmarks/conventions.py DATA [--net squeezenet1_1] [--json FILE]

DATA is a folder that minicnn.evaluate.read_dataset reads; several may be given.  Each row changes one thing of
the net as it is loaded.  Top-1 and top-5 have Wilson's 95 % intervals, which are wide on few pictures; the third
column tells more, as it compares the same pictures: the log-probability of the right class less the first row's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import sqrt

import measure
import numpy as np

import minicnn
from minicnn.evaluate import read_dataset
from minicnn.evaluate.confidence import Estimate, bootstrap_mean
from minicnn.evaluate.dataset import Example
from minicnn.layers import Conv2d, MaxPool2d
from minicnn.network import Network
from minicnn.zoo.inputs import VGG_MEAN

Z = 1.959964  # of a normal variable, 2.5 % are above
TORCHVISION = {"scale": 1 / 255, "mean": (0.406, 0.456, 0.485), "std": (0.225, 0.224, 0.229)}


def with_input(**changes) -> Callable[[Network], Network]:
    """Return what changes a net's preprocessing."""

    def change(net: Network) -> Network:
        preprocess = replace(net.preprocess, **changes)
        return Network(net.named_layers, (3, *preprocess.size), preprocess, net.labels, name=net.name)

    return change


def with_padding(net: Network) -> Network:
    """Pad the first convolution, as TensorFlow's SAME does."""
    (name, first), *others = net.named_layers
    assert isinstance(first, Conv2d)
    return net.with_layers([(name, replace(first, padding="same")), *others])


def with_floor(net: Network) -> Network:
    """Drop the last columns and rows that fill no whole window of a pool."""
    return net.with_layers(
        [(n, replace(p, ceil_mode=False) if isinstance(p, MaxPool2d) else p) for n, p in net.named_layers]
    )


def alternatives(net: Network) -> dict[str, Callable[[Network], Network]]:
    """Return the changes by their descriptions; the first is none."""
    preprocess = net.preprocess
    other = "RGB" if preprocess.channels == "BGR" else "BGR"
    side = preprocess.size[0]
    smaller = with_input(size=(224, 224))
    return {
        "as it is shipped": lambda net: net,
        f"channels {other}": with_input(channels=other, mean=preprocess.mean[::-1], std=preprocess.std[::-1]),
        "mean of VGG, 103.939, 116.779, 123.68": with_input(mean=VGG_MEAN),
        "no mean": with_input(mean=(0, 0, 0)),
        "values -1 to 1": with_input(mean=(1, 1, 1), scale=1 / 127.5),
        "torchvision's scale, mean and deviation": with_input(**TORCHVISION),
        "bicubic": with_input(interpolation="bicubic"),
        "short side 256": with_input(resize=256),
        f"short side {side}": with_input(resize=side),
        "the whole picture, warped": with_input(resize=None),
        "input 224 x 224": smaller,
        "first layer padded": with_padding,
        "first layer padded, input 224 x 224": lambda net: with_padding(smaller(net)),
        "pools round down": with_floor,
        "first layer padded, pools round down, input 224 x 224": lambda net: with_floor(
            with_padding(smaller(net))
        ),
    }


def answers(net: Network, examples: Sequence[Example]) -> np.ndarray:
    """Rank of the best of each picture's classes, from 0, and the log of their probability: (2, pictures)."""
    rows = []
    for example in examples:
        scores = net(net.preprocess(example.image))[0].astype(np.float64)
        logs = scores - scores.max() - np.log(np.exp(scores - scores.max()).sum())
        right = list(example.classes)
        rows.append(((scores > scores[right].max()).sum(), np.logaddexp.reduce(logs[right])))
    return np.array(rows).T


def wilson(successes: int, trials: int) -> Estimate:
    """Return a share with Wilson's 95 % interval (Wilson 1927), which stays within 0 and 1."""
    share, z = successes / trials, Z * Z / trials
    centre = (share + z / 2) / (1 + z)
    half = sqrt(z * share * (1 - share) + z * z / 4) / (1 + z)
    return Estimate(share, centre - half, centre + half)


def rows_of(net: Network, examples: Sequence[Example]) -> dict[str, dict[str, Estimate]]:
    """Return the estimates of each row."""
    rows, groups, first = {}, np.arange(len(examples)), None
    for name, change in alternatives(net).items():
        ranks, logs = answers(change(net).to("auto"), examples)
        first = logs if first is None else first
        rows[name] = {
            "top1": wilson(int((ranks < 1).sum()), len(ranks)),
            "top5": wilson(int((ranks < 5).sum()), len(ranks)),
            "logs": bootstrap_mean(logs - first, groups),
        }
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", help="folders of photographs of known class")
    parser.add_argument("--net", default="squeezenet1_1", help="name or file (default: %(default)s)")
    parser.add_argument("--json", help="file to write the figures to")
    arguments = parser.parse_args()
    pictures = {e.image: e for folder in arguments.data for e in read_dataset(folder)}
    rows = rows_of(minicnn.load(arguments.net), list(pictures.values()))
    print(f"{arguments.net}, {len(pictures)} photographs\n")
    head = ["input", "top-1", "top-5", "log-probability of the right class, against the first row"]
    print(
        measure.table(
            head, [[n, r["top1"].text(True), r["top5"].text(True), r["logs"].text()] for n, r in rows.items()]
        )
    )
    if arguments.json:
        measure.write_json(arguments.json, {n: {k: vars(e) for k, e in r.items()} for n, r in rows.items()})


if __name__ == "__main__":
    main()
