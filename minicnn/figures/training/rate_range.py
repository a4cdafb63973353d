"""The figure and the table of a learning-rate range test."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.figures.training.curves import round_up
from minicnn.report import panels, save_png
from minicnn.report.chart import chart
from minicnn.report.files import write_atomically
from minicnn.training.rate_range import STOP, RateRange

__all__ = ["write_rate_range"]

HIGHEST = 1.5  # times the first loss, that is drawn


def write_rate_range(folder: PathLike, measured: RateRange, name: str = "network") -> list[Path]:
    """Write ``rate-range.png`` and ``rate-range.csv``, and return their paths.

    Parameters
    ----------
    folder : str or Path, that exists
    measured : RateRange
    name : str, of the network

    Raises
    ------
    ImageError
        If a file can't be written.

    """
    paths = [Path(folder) / f"rate-range.{suffix}" for suffix in ("png", "csv")]
    # what rises steeply at the end would leave a flat line of all before it
    highest = min(STOP * min(measured.smoothed), HIGHEST * measured.smoothed[0])
    curves = {
        "of each batch": np.minimum(measured.losses, highest),
        "smoothed": np.minimum(measured.smoothed, highest),
    }
    first, last = measured.rates[0], measured.rates[-1]
    marks = {
        f"{rate:.2g}{words}": float(np.log(rate / first) / np.log(last / first))
        for rate, words in ((measured.suggested, ", suggested"), (10 * measured.suggested, ", the least loss"))
        if first <= rate <= last
    }
    high = round_up(float(max(map(np.max, curves.values()))))
    picture = chart(curves, f"{first:.2g}", f"{last:.2g}", high=high, name="loss", marks=marks)
    words = f"{len(measured.rates)} steps, the learning rate of each by the same factor larger"
    save_png(panels([(picture, "loss over the learning rate")], f"Range test of {name}", words), paths[0])
    lines = ["learning_rate,loss,smoothed"]
    rows = zip(measured.rates, measured.losses, measured.smoothed, strict=True)
    lines += [",".join(f"{value:.8g}" for value in row) for row in rows]
    write_atomically(paths[1], ("\n".join(lines) + "\n").encode(), "write_rate_range")
    return paths
