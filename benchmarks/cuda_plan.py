"""What an H100 should need for each layer: bytes, operations, their floor, and what our kernels may expect.

    python benchmarks/cuda_plan.py [--page FILE]    # Markdown tables: VGG-16 and AlexNet at batch 1 and 32

The engine itself chooses the kernels: its launches are recorded (``cuda_launches``) and each is given its time, so
that the plan follows the code.  Registers and inner loops are those that the compiler made for capability 9.0,
from the tables of ``docs/measurements/cuda.md``.

The floor of a layer is the larger of operations / 67 TFLOP/s (float32, no tensor cores) and bytes / 3.35 TB/s: the
operations of the algorithm that runs, and the layer's own arrays, each counted once.  A launch may expect the
largest of three times.  Instructions: a scheduler issues one a cycle, so the loop takes its multiply-adds over
their share of it, what is around it is counted once and whole, blocks go round evenly until the last of them, and
fewer than two warps a scheduler can't hide their latency.  Memory: what the launch reads and writes, each array
once, at 85 % of the rate.  Flight: a thread of a matrix-vector product has 16 bytes on their way, for 700 ns.  And
4 us begin each launch; what Python takes to launch is not in it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from cuda_compile import occupancy  # which takes this folder, with its cuda.py, off the path
from cuda_launches import Launch, closed_over, name_of, record_launches

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "measurements" / "cuda.md"
CAPABILITY = "9.0"
PEAK, RATE, MULTIPROCESSORS, LANES = 67e12, 3.35e12, 132, 128
CLOCK = PEAK / (2 * MULTIPROCESSORS * LANES)  # cycles a second
MEMORY, LAUNCH = 0.85, 4e-6  # assumed: share of the rate, and seconds from one launch to the next
STEP = 8  # along the depth, of a tile's loop
HIDING = 8  # assumed: warps of a multiprocessor, two a scheduler, that hide each other's latency
IN_FLIGHT, LATENCY = 16, 700e-9  # assumed: bytes that a thread of these kernels waits for at a time, and how long
BY_COLUMNS = {"gemv", "_gemv_transposed", "reduce_partials", "reduce_partials_with_epilogue"}
PYTORCH = 0.80  # assumed: the share of peak that PyTorch reaches, by the operations of the direct algorithm
AIM = 1.5  # times PyTorch's, forward and gradient of VGG-16 at batch 32
LARGE, SHARE = 9e9, 0.70  # operations of a large product, and the share of peak that it should reach


class Compiled(NamedTuple):
    """A kernel as the compiler made it, and the instructions of its inner loop (0 without one) and around it."""

    threads: int
    registers: int
    shared: int
    instructions: int = 0
    multiply_adds: int = 0
    outside: int = 0

    @property
    def warps(self) -> int:
        """Warps of one block."""
        return -(-self.threads // 32)

    @property
    def at_once(self) -> int:
        """Blocks that a multiprocessor has room for."""
        return occupancy(self.threads, self.registers, self.shared, CAPABILITY)[0] * 64 // 100 // self.warps


class Cost(NamedTuple):
    """What a launch, or all of a layer's in one direction, does and should take."""

    operations: float
    bytes: float
    seconds: float


class Pass(NamedTuple):
    """A layer in one direction: the algorithm's name, the floor in seconds, the cost, and its products' own."""

    algorithm: str
    floor: float
    cost: Cost
    products: list[Cost]


class Row(NamedTuple):
    """A layer of the plan: its name, output shape, operations of the direct algorithm, and both directions."""

    layer: str
    output: tuple
    operations: float
    forward: Pass
    gradient: Pass


def compiled(page: str) -> dict[str, Compiled]:
    """Return what the tables of the page say of each kernel, by its name there."""
    kernels = {}
    for line in page.splitlines():
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        if len(cells) == 7 and cells[0].isdigit() and " / " in cells[1]:
            kernels[name] = Compiled(int(cells[0]), int(cells[1].split(" / ")[2]), int(cells[2]))
        elif len(cells) == 7 and name in kernels:
            kernels[name] = kernels[name]._replace(
                instructions=int(cells[0]), multiply_adds=int(cells[1]), outside=int(cells[3])
            )
    return kernels


def work(launch: Launch) -> tuple[float, float, float]:
    """Return a launch's operations that are wanted, the multiply-adds of each block, and the values it moves."""
    by_name = {"direct_input_grad": _direct_back, "direct": _gathered, "gather_gemm": _gathered}
    return by_name.get(launch.name, _streamed)(launch)


def _direct_back(launch: Launch) -> tuple[float, float, float]:
    b, channels = launch.named["b"], closed_over(launch.kernel)["channels"]
    images = launch.args[-1] // (b.groups * b.height * b.stride_x * b.phase_width)
    filters, taps = b.groups * b.filters, channels * b.r * b.s
    cotangents = images * filters * b.rows * b.columns
    moved = cotangents + images * b.groups * channels * b.height * b.width + filters * taps
    return 2 * cotangents * taps, launch.threads * b.filters * taps / (b.stride_x * b.stride_y), moved


def _gathered(launch: Launch) -> tuple[float, float, float]:
    a, closed = launch.named, closed_over(launch.kernel)
    g = a["g"]
    images, groups = g.pixels // (g.rows * g.columns), g.total_filters // g.filters
    outputs = g.pixels * g.total_filters * (1.25 if a["epilogue"].mask.given else 1)
    each = launch.threads * g.depth * g.filters
    if "bm" in closed:
        each = closed["bm"] * closed["bn"] * STEP * a["share"]
        outputs *= launch.grid[2] // groups  # the shares of a split depth
    moved = g.total_filters * g.depth + images * g.channels * g.height * g.width + outputs
    return 2 * g.pixels * g.total_filters * g.depth, each, moved


def _streamed(launch: Launch) -> tuple[float, float, float]:
    """Return the work of a kernel that the memory bounds; what is not listed reads and writes a value a thread."""
    a = launch.named
    size, written = a.get("size", 0), 1.25 if "epilogue" in a and a["epilogue"].mask.given else 1
    moved = {
        "reduce_partials": lambda: (a["count"] + 1) * size,
        "reduce_partials_with_epilogue": lambda: (a["count"] + written) * size,
        "_transform_inputs": lambda: np.prod(a["maps"]) + 36 * size,
        "_transform_filters": lambda: (9 + 36) * size,
        "_transform_outputs": lambda: 36 * size + np.prod(a["maps"]) * written,
        "_scaled_rectify_grad": lambda: 2.25 * size,
        "_clip": lambda: 2.25 * size,
        "_rectify_grad": lambda: 2.25 * size,
        "gemv": lambda: launch.blocks // a["images"] * a["length"] + a["images"] * a["length"],
        "_gemv_transposed": lambda: a["rows"] * a["length"] + launch.grid[1] * launch.grid[2] * a["length"],
        "_max": lambda: size / (a["g"].rows * a["g"].columns) * a["g"].height * a["g"].width + 1.25 * size,
        "_max_grad": lambda: size + 1.25 * size / (a["g"].height * a["g"].width) * a["g"].rows * a["g"].columns,
    }.get(launch.name, lambda: 2 * size)()
    operations = {
        "gemv": lambda: 2 * launch.blocks * a["length"],
        "_gemv_transposed": lambda: 2 * launch.grid[1] * a["rows"] * a["length"],
    }.get(launch.name, lambda: 0)()
    return operations, 0, moved


def cost(launch: Launch, kernels: dict[str, Compiled]) -> Cost:
    """Return what one launch should cost, by what the compiler made of its kernel."""
    made = kernels[name_of(launch.kernel, {str(getattr(a, "dtype", "")) for a in launch.args})]
    operations, multiply_adds, values = work(launch)
    moved = 4 * values
    seconds = moved / (RATE * MEMORY)
    busiest = -(-launch.blocks // MULTIPROCESSORS)  # blocks of one multiprocessor
    warps = min(busiest, made.at_once) * made.warps
    if multiply_adds:
        loop = multiply_adds * made.instructions / made.multiply_adds + made.outside * made.threads
        seconds = max(seconds, busiest * loop / LANES / CLOCK / min(1, warps / HIDING))
    if launch.name in BY_COLUMNS:
        at_once = min(launch.blocks, made.at_once * MULTIPROCESSORS) * made.threads * IN_FLIGHT
        seconds = max(seconds, moved / (at_once / LATENCY))
    return Cost(operations, moved, seconds + LAUNCH)


def rows(name: str, n: int, page: str | None = None) -> list[Row]:
    """Return the plan of a zoo net's layers that launch anything, by the compiler's tables on a page (cuda.md)."""
    from minicnn import zoo
    from minicnn.kernels import cuda
    from minicnn.kernels.cuda.arrays import empty
    from minicnn.layers import Keep, sequence
    from minicnn.layers.transforms.fuse import fuse
    from minicnn.rules import GRADIENT

    kernels, net, plan = compiled(page or PAGE.read_text()), zoo.build(name), []
    with record_launches() as launches:
        for step_name, step, shape, out in sequence.shapes(fuse(net.named_layers), net.input_shape):
            x = empty((n, *shape), np.float32)
            launches.clear()
            _, saved = step.forward(x, cuda, Keep.MASKS)
            forward = list(launches)
            launches.clear()
            step.backward(empty((n, *out), np.float32), saved, cuda, GRADIENT)
            direct = 2 * n * step.multiply_adds(shape)
            values = n * (np.prod(shape) + np.prod(out)), sum(p.size for p in _parameters(step))
            passes = [_pass(recorded, values, kernels) for recorded in (forward, list(launches))]
            if forward:
                plan.append(Row(_convolution(net, step_name, step), out, direct, *passes))
    return plan


def _parameters(step) -> list:
    layer = getattr(step, "convolution", step)
    return [p for p in (getattr(layer, "weight", None), getattr(layer, "bias", None)) if p is not None]


def _convolution(net, step_name: str, step) -> str:
    """Name of the layer that is measured: of a merged step, the convolution's."""
    inner = getattr(step, "convolution", step)
    return next(name for name, layer in net.named_layers if layer is inner or name == step_name)


def _pass(launches: list[Launch], values: tuple[int, int], kernels: dict[str, Compiled]) -> Pass:
    costs = [cost(launch, kernels) for launch in launches]
    whole = Cost(*(sum(column) for column in zip(*costs, strict=True))) if costs else Cost(0, 0, 0)
    names = [launch.name for launch in launches]
    tiles = {f"{c['bm']}" for c in map(closed_over, (x.kernel for x in launches)) if "bm" in c}
    kind = "Winograd" if "_transform_inputs" in names else "product" if tiles else ""
    split = ", split" if "reduce_partials_with_epilogue" in names else ""
    direct = "direct" if {"direct", "direct_input_grad"} & set(names) else ""
    algorithm = f"{kind} {'/'.join(sorted(tiles))}{split}" if tiles else direct
    products = [c for c, launch in zip(costs, names, strict=True) if launch == "gather_gemm"]
    return Pass(algorithm, max(whole.operations / PEAK, 4 * sum(values) / RATE), whole, products)


def table(name: str, n: int, measured: dict[str, tuple[float, ...]] | None = None, page: str | None = None) -> str:
    """Return the plan of one net at one batch size as Markdown.

    measured : {layer: milliseconds of ours and of PyTorch forward, ours and PyTorch's gradient}
    """
    units = ("by", "GFLOP", "MB", "floor ms", "plan ms", "ms", "PyTorch ms")
    head = ["layer", "output", "GFLOP", *(f"{what} {unit}" for what in ("forward", "gradient") for unit in units)]
    lines = [f"### {name}, batch {n}", "", _line(head), _line(["---"] * len(head))]
    plan = rows(name, n, page)
    for row in plan:
        cells = [row.layer, " x ".join(map(str, row.output)), f"{row.operations / 1e9:.2f}"]
        times = _times(measured and measured[row.layer])
        for each, own in ((row.forward, times[:2]), (row.gradient, times[2:])):
            cells += [each.algorithm, f"{each.cost.operations / 1e9:.2f}", f"{each.cost.bytes / 1e6:.1f}"]
            cells += [f"{each.floor * 1e3:.4f}", f"{each.cost.seconds * 1e3:.4f}", *own]
        lines.append(_line(cells))
    cells = ["**all**", "", f"{sum(row.operations for row in plan) / 1e9:.1f}"]
    times = _times(measured and [sum(column) for column in zip(*measured.values(), strict=True)])
    for passes, own in (([r.forward for r in plan], times[:2]), ([r.gradient for r in plan], times[2:])):
        cells += ["", f"{sum(p.cost.operations for p in passes) / 1e9:.1f}"]
        cells += [f"{sum(p.cost.bytes for p in passes) / 1e6:.0f}", f"{sum(p.floor for p in passes) * 1e3:.3f}"]
        cells += [f"{sum(p.cost.seconds for p in passes) * 1e3:.3f}", *own]
    return "\n".join([*lines, _line(cells)])


def aims(page: str | None = None) -> str:
    """Return where the plan of VGG-16 at batch 32 reaches the design's aims, as Markdown."""
    plan = rows("vgg16", 32, page)
    passes = [p for row in plan for p in (row.forward, row.gradient)]
    shares = [p.operations / p.seconds / PEAK for each in passes for p in each.products if p.operations >= LARGE]
    ours = sum(p.cost.seconds for p in passes)
    theirs = 2 * sum(row.operations for row in plan) / (PYTORCH * PEAK)
    words = [
        f"- Products of {LARGE / 1e9:.0f} GFLOP and more: {min(shares):.0%} to {max(shares):.0%} of peak; "
        f"{sum(s >= SHARE for s in shares)} of {len(shares)} reach {SHARE:.0%}.",
        f"- Forward and gradient: {ours * 1e3:.1f} ms. If PyTorch reaches {PYTORCH:.0%} of peak by the direct "
        f"algorithm's operations, it takes {theirs * 1e3:.1f} ms: {ours / theirs:.2f} times that (aim {AIM}).",
    ]
    return "\n".join(words)


def _times(milliseconds) -> list[str]:
    if milliseconds is None:
        return ["not measured"] * 4
    return ["not measured" if ms != ms else f"{ms:.4f}" for ms in milliseconds]


def _line(cells) -> str:
    return "| " + " | ".join(cells) + " |"


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--page",
        type=Path,
        default=PAGE,
        help="where the compiler's tables are (default: docs/measurements/cuda.md)",
    )
    page = parser.parse_args().page.read_text()
    print(aims(page), end="\n\n")
    print("\n\n".join(table(name, n, page=page) for name in ("vgg16", "alexnet") for n in (1, 32)))


if __name__ == "__main__":
    main()
