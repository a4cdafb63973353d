"""Says how often the check of gradients errs on layers of one's own: right ones that fail, wrong ones that pass.

    python -m benchmarks.own_layers [--configurations 5000] [--seed 0]

Each configuration draws one of the forty layers of ``tests/helpers/own_layers``, right or wrong, a shape, values
of size 0.001 to 1000, whole numbers among them, and now and then a network around it.  Whether a wrong gradient
differs from the right one at these values is known from the right formula; one that does not is not counted.
"""

from __future__ import annotations

import argparse
from collections import Counter
from time import perf_counter
from typing import Any

import numpy as np

from minicnn import Network
from minicnn.layers import Conv2d, Flatten, Layer, Linear, ReLU
from minicnn.verify import gradients
from tests.helpers import own_layers

SIZES = 10.0 ** np.arange(-3, 4)
DIFFERS = 1e-4  # share of the right gradient, from which on a wrong one must be noticed
SEEN = 1e-6  # share of the outputs' size that the difference must move them by, along x's own size


def draw_input(rng: np.random.Generator) -> np.ndarray:
    """Return maps of any shape that all of the layers take; sometimes whole numbers, which lie on kinks."""
    shape = rng.integers(1, 4), 3, rng.integers(1, 6), 2 * rng.integers(2, 5)
    x = rng.standard_normal(shape) * rng.choice(SIZES)
    return np.round(x) if rng.random() < 0.3 else x


def surround(layer: Layer, x: np.ndarray) -> Network | None:
    """Return a small network with the layer in its midst; None where its output is of no such shape."""
    shape = layer.output_shape(x.shape[1:])
    if len(shape) != 3:
        return None
    size = int(np.prod(shape))
    return Network([Conv2d(3, 3, 1), layer, ReLU(), Flatten(), Linear(size, 4)], x.shape[1:])


def differs(name: str, x: Any) -> bool:
    """Return whether the wrong gradients are off at x by more than a share of the right ones, and of y over |x|.

    A softmax that is saturated in all digits moves by nothing that a forward pass could tell.
    """
    kind, dy, pairs, least = own_layers.KIND_OF[name], None, [], 0.0
    for gradient in (None, own_layers.FAULTS[name][1]):
        layer, given = own_layers.build(kind, name, gradient, x)
        y, saved = layer.forward(given, None)
        dy = np.random.default_rng(1).standard_normal(np.shape(y)) if dy is None else dy
        dx, others = layer.backward(dy, saved, None, weights=True)
        least = SEEN * float(np.linalg.norm(y)) / np.abs(x).max(initial=0.1)
        pairs.append([*(dx if isinstance(dx, tuple) else (dx,)), *others.values()])
    return any(np.linalg.norm(a - b) > DIFFERS * np.linalg.norm(a) + least for a, b in zip(*pairs, strict=True))


def judge(rng: np.random.Generator) -> str:
    """Return what became of one configuration."""
    name, x = str(rng.choice(list(own_layers.FAULTS))), draw_input(rng)
    wrong = rng.random() < 0.5
    # at whole numbers a right formula's convention is not the only one
    if wrong and (np.array_equal(x, np.round(x)) or not differs(name, x)):
        wrong = False
    layer, given = own_layers.build(
        own_layers.KIND_OF[name], name, own_layers.FAULTS[name][1] if wrong else None, x
    )
    net = surround(layer, x) if not wrong and not isinstance(given, tuple) and rng.random() < 0.1 else None
    with np.errstate(all="ignore"):
        y, saved = layer.forward(given, None)
        if not (np.isfinite(y).all() and np.isfinite(layer.backward(np.ones_like(y), saved, None)[0]).all()):
            return "not finite"
        report = gradients(net or layer, given, directions=2, entries=8, seed=int(rng.integers(1 << 30)))
    word = "wrong" if wrong else "right in a network" if net else "right"
    if report.ok == wrong:
        print(f"FALSE: {word} {name}, {x.shape}, size {np.abs(x).max():.1e}: {report.verdict()}")
        return f"{word}, judged falsely"
    return f"{word}, {'failed' if wrong else 'passed'}"


def main() -> int:
    """Print how many configurations were judged rightly and falsely."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configurations", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    start = perf_counter()
    counts = Counter(judge(np.random.default_rng((arguments.seed, i))) for i in range(arguments.configurations))
    for word, count in sorted(counts.items()):
        print(f"{count:6} {word}")
    print(f"{perf_counter() - start:.0f} s")
    return int(any("falsely" in word for word in counts))


if __name__ == "__main__":
    raise SystemExit(main())
