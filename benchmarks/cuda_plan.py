"""What an H100 should need for each layer: bytes, operations, their floor, and what our kernels may expect.

    python benchmarks/cuda_plan.py            # Markdown tables: VGG-16 and AlexNet at batch 1 and 32

The floor of a layer is the larger of operations / 67 TFLOP/s (float32, no tensor cores) and bytes / 3.35 TB/s,
each array counted once.  The expectation multiplies the arithmetic by what is known to be lost before anything is
measured: tiles that stick out over the edges, the last wave of blocks that leaves multiprocessors idle, and the
design target of 70 % of peak in the inner loop; bytes move at 85 % of the memory's rate, and a launch costs 4 us.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from minicnn import zoo
from minicnn.layers import Conv2d, Flatten, Linear, MaxPool2d

PEAK, RATE, MULTIPROCESSORS = 67e12, 3.35e12, 132
INNER, MEMORY, LAUNCH = 0.70, 0.85, 4e-6
SMALL_AT_ONCE = 2  # blocks of the small tile that a multiprocessor has registers for
STEP, LEAST = 8, 32  # depth of a step, and the steps that a share of a split depth has at least
LARGE, SMALL, FEW = 128, 64, 4  # tile edges, and the images up to which a full layer is a matrix-vector product


class Cost(NamedTuple):
    """Work of one layer in one direction."""

    operations: float
    bytes: float
    efficiency: float  # share of the launched multiply-adds that are wanted, with the last wave's idle time
    launches: int

    @property
    def floor(self) -> float:
        """Seconds that no kernel can beat."""
        return max(self.operations / PEAK, self.bytes / RATE)

    @property
    def expected(self) -> float:
        """Seconds that ours should need."""
        arithmetic = self.operations / (PEAK * INNER * self.efficiency)
        return max(arithmetic, self.bytes / (RATE * MEMORY)) + self.launches * LAUNCH


def tiled(rows: int, columns: int, depth: int) -> tuple[float, int]:
    """Return the share of a launch's multiply-adds and time that is wanted, and the number of the depth's shares.

    The tile and the split are those of ``minicnn.kernels.cuda.convolution``: ``tile_for`` and ``shares``.
    """
    large = -(-rows // LARGE) * -(-columns // LARGE)
    edge, at_once = (LARGE, 1) if rows > SMALL and large >= MULTIPROCESSORS else (SMALL, SMALL_AT_ONCE)
    blocks = -(-rows // edge) * -(-columns // edge)
    steps = -(-depth // STEP)
    share = max(1, -(-steps // max(1, min(2 * MULTIPROCESSORS // blocks, steps // LEAST))))
    parts = -(-steps // share)
    slots = MULTIPROCESSORS * at_once
    waves = -(-blocks * parts // slots)
    return rows * columns * steps / (waves * slots * edge * edge * share), parts


def product(operations: float, moved: float, rows: int, columns: int, depth: int, launches: int = 1) -> Cost:
    """Return the cost of a tiled product; the shares of a split one are written and read once more."""
    efficiency, parts = tiled(rows, columns, depth)
    if parts > 1:
        moved += 8 * parts * rows * columns
        launches *= 2
    return Cost(operations, moved, efficiency, launches)


def costs(layer, shape, out, n: int) -> tuple[Cost, Cost] | None:
    """Return the costs forward and for the input gradient; None for what is fused away or free."""
    inputs, outputs = n * _size(shape), n * _size(out)
    operations = 2 * n * layer.multiply_adds(shape)
    if isinstance(layer, Conv2d):
        weights = layer.weight.size
        pixels = n * out[1] * out[2]
        s = layer.stride[0] * layer.stride[1]
        taps = layer.weight[0, 0].size
        forward = product(operations, 4 * (inputs + weights + outputs) + outputs, out[0], pixels, shape[0] * taps)
        # the rectifier's gradient is a pass of its own: dy and mask read, dy written
        moved = 4 * (inputs + weights + outputs) + 9 * outputs
        back = n * shape[1] * shape[2] // s
        # one product for each phase of the stride, each of some of the taps
        gradient = product(operations, moved, shape[0], back, -(-out[0] * taps // s), s)
        return forward, gradient._replace(launches=gradient.launches + 1)
    if isinstance(layer, Linear):
        moved = 4 * (inputs + layer.weight.size + outputs)
        if n <= FEW:
            return Cost(operations, moved, 1, 1), Cost(operations, moved, 1, 2)
        return product(operations, moved, out[0], n, shape[0]), product(operations, moved, shape[0], n, out[0])
    if isinstance(layer, MaxPool2d):
        moved = 4 * (inputs + outputs) + outputs
        return Cost(0, moved, 1, 1), Cost(0, moved, 1, 1)
    return None


def _size(shape) -> int:
    return shape[0] if len(shape) == 1 else shape[0] * shape[1] * shape[2]


def rows(name: str, n: int) -> list[tuple[str, tuple, Cost, Cost]]:
    """Return (layer, output shape, forward, input gradient) of every layer of a zoo net that costs something."""
    net = zoo.build(name)
    shape, found = net.input_shape, []
    for layer_name, layer in net.named_layers:
        out = layer.output_shape(shape)
        cost = None if isinstance(layer, Flatten) else costs(layer, shape, out, n)
        if cost is not None:
            found.append((layer_name, out, *cost))
        shape = out
    return found


def table(name: str, n: int, measured: dict[str, tuple[float, ...]] | None = None) -> str:
    """Return the plan of one net at one batch size as Markdown.

    measured : {layer: milliseconds of ours and of PyTorch forward, ours and PyTorch's gradient}
    """
    units = ("MB", "floor ms", "plan ms", "ms", "PyTorch ms")
    head = ["layer", "output", "GFLOP", *(f"{what} {unit}" for what in ("forward", "gradient") for unit in units)]
    lines = [f"### {name}, batch {n}", "", _line(head), _line(["---"] * len(head))]
    found = rows(name, n)
    for layer, out, *both in found:
        cells = [layer, " x ".join(map(str, out)), f"{both[0].operations / 1e9:.2f}"]
        times = _times(measured and measured[layer])
        for cost, own in zip(both, (times[:2], times[2:]), strict=True):
            cells += [f"{cost.bytes / 1e6:.1f}", f"{cost.floor * 1e3:.4f}", f"{cost.expected * 1e3:.4f}", *own]
        lines.append(_line(cells))
    cells = ["**all**", "", f"{sum(f.operations for *_, f, _ in found) / 1e9:.1f}"]
    times = _times(measured and [sum(column) for column in zip(*measured.values(), strict=True)])
    for costs_of, own in (([f for *_, f, _ in found], times[:2]), ([b for *_, b in found], times[2:])):
        cells += [f"{sum(c.bytes for c in costs_of) / 1e6:.0f}"]
        cells += [f"{sum(getattr(c, kind) for c in costs_of) * 1e3:.3f}" for kind in ("floor", "expected")]
        cells += own
    return "\n".join([*lines, _line(cells)])


def _times(milliseconds) -> list[str]:
    if milliseconds is None:
        return ["not measured"] * 4
    return ["not measured" if ms != ms else f"{ms:.4f}" for ms in milliseconds]


def _line(cells) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    print("\n\n".join(table(name, n) for name in ("vgg16", "alexnet") for n in (1, 32)))
