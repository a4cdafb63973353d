"""Minicnn against PyTorch and ONNX Runtime: the same weights, inputs and threads, taking turns.

    python benchmarks/compare.py [--rounds 15] [--threads 2] [--only vgg16] [--json FILE] [--plot FILE]

Prints a table of medians in milliseconds with their quartiles, and the ratio to each peer beside the ratio that
was aimed for.
"""

from __future__ import annotations

import argparse

import measure
import numpy as np
from peers import ENGINES, Engine, Work, can

# work, and the ratio to a peer that was aimed for
WORKS = {
    "VGG-16, forward": (Work("vgg16", "forward", 1), {"onnxruntime": 0.60}),
    "VGG-16, forward + input gradient": (Work("vgg16", "gradient", 1), {"torch": 0.45}),
    "AlexNet, forward": (Work("alexnet", "forward", 1), {"onnxruntime": 1.0}),
    "AlexNet, forward + input gradient": (Work("alexnet", "gradient", 1), {"torch": 0.45}),
    "EfficientNet-Lite0, forward": (
        Work("efficientnet-lite0", "forward", 1),
        {"torch": 0.8, "onnxruntime": 1.5},
    ),
    "EfficientNet-Lite0, forward + input gradient": (Work("efficientnet-lite0", "gradient", 1), {"torch": 0.5}),
    "VGG-16, forward, batch 8": (Work("vgg16", "forward", 8), {"onnxruntime": 0.60}),
    "VGG-16, forward + input gradient, batch 8": (Work("vgg16", "gradient", 8), {"torch": 0.45}),
    "AlexNet, forward, batch 8": (Work("alexnet", "forward", 8), {"onnxruntime": 1.0}),
    "AlexNet, forward + input gradient, batch 8": (Work("alexnet", "gradient", 8), {"torch": 0.45}),
    "EfficientNet-Lite0, forward, batch 8": (
        Work("efficientnet-lite0", "forward", 8),
        {"torch": 0.8, "onnxruntime": 1.5},
    ),
    "EfficientNet-Lite0, forward + input gradient, batch 8": (
        Work("efficientnet-lite0", "gradient", 8),
        {"torch": 0.5},
    ),
    "EfficientNet-Lite0, ten crops, forward + input gradient": (
        Work("efficientnet-lite0", "gradient", 10),
        {"torch": 0.6},
    ),
    "VGG-16, weight gradients, batch 4": (Work("vgg16", "training", 4), {"torch": 0.8}),
    "digits net, weight gradients, batch 64": (Work("digits", "training", 64), {"torch": 0.8}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="runs of each engine (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each engine (default: %(default)s)")
    parser.add_argument("--only", default="", help="only the work whose title holds this")
    parser.add_argument("--engines", nargs="+", default=ENGINES, choices=ENGINES)
    parser.add_argument("--json", help="file to write the figures to")
    parser.add_argument("--plot", help="file to draw the ratios to")
    arguments = parser.parse_args()
    engines = [Engine(name, arguments.threads) for name in arguments.engines]
    rows = []
    for title, (work, aims) in WORKS.items():
        if arguments.only.lower() in title.lower():
            rows.append(compared(engines, title, work, aims, arguments.rounds))
            print(line(rows[-1]), flush=True)
    for engine in engines:
        engine.close()
    results = {"machine": measure.machine(arguments.threads), "rounds": arguments.rounds, "rows": rows}
    print(f"\n{measure.described(results['machine'])}\n\n{printed(rows)}")
    if arguments.json:
        measure.write_json(arguments.json, results)
    if arguments.plot:
        plot(rows, arguments.plot)


def compared(engines: list[Engine], title: str, work: Work, aims: dict, rounds: int) -> dict:
    """Run one work on all engines that can do it; results must agree before times count."""
    able = [engine for engine in engines if can(engine.name, work)]
    results = {engine.name: engine.prepare(work) for engine in able}
    seconds = measure.interleaved({engine.name: engine.run for engine in able}, rounds)
    row = {"title": title, "engines": {}, "ratios": {}, "aims": aims}
    for name, times in seconds.items():
        row["engines"][name] = measure.spread(times)
        if name != "minicnn" and "minicnn" in seconds:
            row["ratios"][name] = measure.ratio(seconds["minicnn"], times)
            row["ratios"][name]["difference"] = difference(results["minicnn"], results[name])
    return row


def difference(result: np.ndarray, other: np.ndarray) -> float:
    """Largest difference, relative to the largest value."""
    return float(np.abs(result - other).max() / np.abs(other).max())


def line(row: dict) -> str:
    times = ", ".join(f"{name} {spread['median']:.1f} ms" for name, spread in row["engines"].items())
    return f"{row['title']}: {times}"


def printed(rows: list[dict]) -> str:
    head = ["work", *(f"{name}, ms" for name in ENGINES), "to torch", "to onnxruntime", "aim", "difference"]
    return measure.table(head, [_cells(row) for row in rows])


def _cells(row):
    def time(name):
        spread = row["engines"].get(name)
        return f"{spread['median']:.1f} ({spread['low']:.1f} to {spread['high']:.1f})" if spread else ""

    def ratio(name):
        ratio = row["ratios"].get(name)
        return f"{ratio['of_medians']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})" if ratio else ""

    aims = ", ".join(
        f"{name} {aim:g}: {'met' if row['ratios'][name]['of_medians'] <= aim else 'missed'}"
        for name, aim in row["aims"].items()
        if name in row["ratios"]
    )
    differences = [ratio["difference"] for ratio in row["ratios"].values()]
    worst = f"{max(differences):.0e}" if differences else ""
    return [row["title"], *map(time, ENGINES), ratio("torch"), ratio("onnxruntime"), aims, worst]


def plot(rows: list[dict], path: str) -> None:
    """Bars of the ratios, with the quartiles and, as a mark, what was aimed for."""
    plt = measure.pyplot()
    figure, axes = plt.subplots(figsize=(9, 0.5 * len(rows) + 1.5), layout="constrained")
    for shift, name in ((-0.2, "torch"), (0.2, "onnxruntime")):
        able = [(i, row) for i, row in enumerate(rows) if name in row["ratios"]]
        shown = [(i, row["ratios"][name], row["aims"].get(name)) for i, row in able]
        places = [i + shift for i, *_ in shown]
        axes.barh(places, [ratio["of_medians"] for _, ratio, _ in shown], height=0.38, label=f"minicnn / {name}")
        for place, (_, ratio, aim) in zip(places, shown, strict=True):
            axes.plot([ratio["low"], ratio["high"]], [place, place], color="black", linewidth=1)
            if aim is not None:
                axes.plot([aim, aim], [place - 0.19, place + 0.19], color="black", linewidth=2)
    axes.set_yticks(range(len(rows)), [row["title"] for row in rows])
    axes.invert_yaxis()
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_xlabel("time relative to the peer; thin line: quartiles, mark: aim")
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
