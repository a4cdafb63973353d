"""Errors of float32 against float64: scores, and input gradients with and without the decisions of rectifiers.

    python benchmarks/accuracy.py [--net vgg16] [--images 3] [--json FILE]

A gradient in float32 differs from float64's for two reasons: rounding, and rectifiers and pools whose inputs
lie so close together that rounding turns their decision.  The second is as large as a weight, in whatever
engine.  So the gradient is also taken with the decisions of float64's pass, which leaves rounding alone.
"""

from __future__ import annotations

import argparse

import measure
import numpy as np
from peers import Work, input_shape, inputs, network, scores_of, torch_module

from minicnn.network import Tape

DEVICES = ("cpu", "reference")
AIM = 2e-3  # of the largest gradient


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", default="vgg16", help="a name of minicnn.zoo (default: %(default)s)")
    parser.add_argument("--images", type=int, default=3, help="random inputs (default: %(default)s)")
    parser.add_argument("--json", help="file to write the figures to")
    arguments = parser.parse_args()
    rows = rows_of(Work(arguments.net, "gradient", arguments.images))
    results = {"machine": measure.machine(0), "net": arguments.net, "images": arguments.images, "rows": rows}
    print(f"{arguments.net}, {arguments.images} random inputs, random weights: largest errors\n\n{printed(rows)}")
    if arguments.json:
        measure.write_json(arguments.json, results)


def rows_of(work: Work) -> dict[str, dict[str, float]]:
    """Errors of each engine, the largest over the images."""
    net = network(work)
    x, targets = inputs(work, scores_of(net, input_shape(work)))
    result: dict[str, list[dict[str, float]]] = {}
    for image, target in zip(x[:, None], targets, strict=True):
        exact = net.to("cpu").trace(image.astype(np.float64))
        for device in DEVICES:
            result.setdefault(f"minicnn, {device}", []).append(_ours(net.to(device), image, target, exact))
        result.setdefault("torch", []).append(_torch(net, work, image, target, exact))
    return {name: {key: max(row[key] for row in rows) for key in rows[0]} for name, rows in result.items()}


def _ours(net, image, target, exact) -> dict[str, float]:
    y, tape = net.trace(image)
    dy = net.cotangent(y, target)
    wide = exact if net.device == "cpu" else net.trace(image.astype(np.float64))
    decided = net.backward(Tape(tape.layers, wide[1].saved), dy)
    errors = _errors(net, y, net.backward(tape, dy), target, exact)
    truth = _truth(net, target, exact)
    return {**errors, "decided": float(np.abs(decided - truth).max() / np.abs(truth).max())}


def _torch(net, work, image, target, exact) -> dict[str, float]:
    import torch

    module, x = torch_module(net.named_layers, input_shape(work)).eval(), torch.from_numpy(image)
    x.requires_grad_(True)
    y = module(x)
    (dx,) = torch.autograd.grad(y[0, int(target)], x)
    return {**_errors(net, y.detach().numpy(), dx.numpy(), target, exact), "decided": np.nan}


def _truth(net, target, exact):
    y, tape = exact
    return net.to("cpu").backward(tape, net.cotangent(y, target))


def _errors(net, y, dx, target, exact) -> dict[str, float]:
    truth = _truth(net, target, exact)
    difference = np.abs(dx - truth) / np.abs(truth).max()
    return {
        "scores": float(np.abs(y - exact[0]).max() / np.ptp(exact[0])),
        "largest": float(difference.max()),
        "median": float(np.median(difference)),
        "beyond": float((difference > AIM).mean()),
    }


def printed(rows: dict[str, dict[str, float]]) -> str:
    """Return the table."""
    head = [
        "float32 against float64",
        "scores, of their range",
        "input gradient, of its largest value",
        "its median",
        f"pixels beyond {AIM:g}",
        "with float64's decisions",
    ]
    lines = []
    for name, row in rows.items():
        errors = (f"{row[key]:.1e}" for key in ("scores", "largest", "median"))
        decided = "" if np.isnan(row["decided"]) else f"{row['decided']:.1e}"
        lines.append([name, *errors, f"{row['beyond']:.1%}", decided])
    return measure.table(head, lines)


if __name__ == "__main__":
    main()
