"""How time grows with the batch (1 to 32) and with the size of the image (112 to 448).

    python benchmarks/scaling.py [--rounds 7] [--threads 2] [--kind forward] [--json FILE] [--plot FILE]

Milliseconds an image, of each engine; a flat line is perfect scaling over the batch.  Over the size, milliseconds
a megapixel.  With ``--json`` each row is written as soon as it is measured, and rows that the file has already are
not measured again, so that a long run may be cut off and goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import measure
import numpy as np
from peers import ENGINES, Engine, Work, can

BATCHES = (1, 2, 4, 8, 16, 32)
SIZES = (112, 160, 224, 320, 448)
BATCH_NETS = ("alexnet", "efficientnet-lite0")
SIZE_NETS = ("vgg16/trunk", "efficientnet-lite0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="runs of each engine (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each engine (default: %(default)s)")
    parser.add_argument("--kind", default="gradient", choices=("forward", "gradient", "training"))
    parser.add_argument("--engines", nargs="+", default=ENGINES, choices=ENGINES)
    parser.add_argument("--most", type=int, default=max(BATCHES), help="largest batch (default: %(default)s)")
    parser.add_argument("--json", help="file to write the figures to")
    parser.add_argument("--plot", help="file to draw the curves to")
    arguments = parser.parse_args()
    works = [
        Work(net, arguments.kind, batch) for net in BATCH_NETS for batch in BATCHES if batch <= arguments.most
    ]
    works += [Work(net, arguments.kind, 1, size) for net in SIZE_NETS for size in SIZES]
    settings = {"rounds": arguments.rounds, "threads": arguments.threads, "engines": list(arguments.engines)}
    rows = kept(arguments.json, settings)
    engines = [Engine(name, arguments.threads) for name in arguments.engines]
    for work in works:
        if any(all(row[key] == value for key, value in work._asdict().items()) for row in rows):
            continue
        rows.append({**work._asdict(), "engines": measured(engines, work, arguments.rounds)})
        print(
            work, {name: f"{result['median']:.1f} ms" for name, result in rows[-1]["engines"].items()}, flush=True
        )
        if arguments.json:
            written = {"machine": measure.machine(arguments.threads), "settings": settings, "rows": rows}
            measure.write_json(arguments.json, written)
    for engine in engines:
        engine.close()
    rows = [row for row in rows if row["kind"] == arguments.kind]
    print(f"\n{measure.described(measure.machine(arguments.threads))}\n\n{printed(rows)}")
    if arguments.plot:
        plot(rows, arguments.plot)


def measured(engines: list[Engine], work: Work, rounds: int) -> dict[str, dict[str, float]]:
    """Spread of the times of each engine that can do the work."""
    able = [engine for engine in engines if can(engine.name, work)]
    for engine in able:
        engine.prepare(work)
    seconds = measure.interleaved({engine.name: engine.run for engine in able}, rounds)
    return {name: measure.spread(times) for name, times in seconds.items()}


def kept(path: str | None, settings: dict) -> list[dict]:
    """Rows that an earlier run with the same settings left in the file."""
    if path is None or not Path(path).exists():
        return []
    record = json.loads(Path(path).read_text())
    if record["settings"] != settings:
        raise SystemExit(f"{path} was measured with other settings, {record['settings']}; name another file")
    return record["rows"]


def printed(rows: list[dict]) -> str:
    """Two tables: over the batch, over the size."""
    batch, size = ([row for row in rows if (row["size"] is None) == over_batch] for over_batch in (True, False))
    head = ["net", "images", *(f"{name}, ms an image" for name in ENGINES)]
    first = measure.table(head, [[row["net"], str(row["batch"]), *_cells(row, row["batch"])] for row in batch])
    head = ["net", "pixels", *(f"{name}, ms" for name in ENGINES)]
    return (
        first + "\n\n" + measure.table(head, [[row["net"], f"{row['size']}^2", *_cells(row, 1)] for row in size])
    )


def _cells(row, images):
    result = (row["engines"].get(name) for name in ENGINES)
    return [f"{times['median'] / images:.1f}" if times else "" for times in result]


def plot(rows: list[dict], path: str) -> None:
    """One panel a net and variable: ms an image over the batch, ms a megapixel over the size."""
    plt = measure.pyplot()
    panels = [(net, True) for net in BATCH_NETS] + [(net, False) for net in SIZE_NETS]
    figure, axes = plt.subplots(1, len(panels), figsize=(4 * len(panels), 3.5), layout="constrained")
    for (net, over_batch), ax in zip(panels, axes, strict=True):
        own = [row for row in rows if row["net"] == net and (row["size"] is None) == over_batch]
        for name in ENGINES:
            points = [_point(row, name, over_batch) for row in own if name in row["engines"]]
            if points:
                ax.plot(*np.transpose(points), marker="o", label=name)
        ax.set_xscale("log", base=2)
        ticks = BATCHES if over_batch else SIZES
        ax.set_xticks(ticks, ticks)
        ax.set_ylim(bottom=0)
        ax.set_title(net)
        ax.set_xlabel("images in the batch" if over_batch else "pixels a side")
        ax.set_ylabel("ms an image" if over_batch else "ms a megapixel")
    axes[0].legend()
    figure.savefig(path, dpi=120)


def _point(row, name, over_batch):
    median = row["engines"][name]["median"]
    return (row["batch"], median / row["batch"]) if over_batch else (row["size"], median / row["size"] ** 2 * 1e6)


if __name__ == "__main__":
    main()
