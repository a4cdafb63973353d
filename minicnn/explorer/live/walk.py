"""A walk along the gradient: where the linear model of a score breaks, and which rectifiers and pools switch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.explorer.cells.backwards import is_rectifier
from minicnn.explorer.passes import Pass
from minicnn.explorer.sessions import Session, randomise
from minicnn.explorer.starts import Start
from minicnn.layers import MaxPool2d
from minicnn.network.linear_piece import piecewise_linear_layers
from minicnn.verify.linearise import linearise

__all__ = ["walk"]

PLACES = 40


def walk(
    session: Session, target: int, reach: float, drawn: str, stop: threading.Event
) -> Iterator[dict[str, Any]]:
    """Yield the score and its linear model at places along the gradient, in float64.

    The direction is that of ``minicnn.verify.validity``: a step of t changes the pixel that changes most by t grey
    levels.  The first record has how far the score is linear each way.

    Raises
    ------
    MinicnnError
        If the network is nowhere linear, there is no such class, or its gradient is zero.

    """
    net = randomise(session.net, drawn).to("reference")
    layers = piecewise_linear_layers(net, "walk")
    x = session.x.astype(np.float64)
    here = Pass(net, x, stop)
    start = Start("score", (target,))
    w = here.back(start, "gradient", stop).by_name["input"]
    assert net.preprocess is not None
    per_level = np.abs(net.preprocess.scale / np.asarray(net.preprocess.std))[:, None, None]
    v = w * per_level
    if not v.any():
        raise MinicnnError(f"the gradient of class {target} is zero at this picture")
    step = v / np.abs(v).max() * per_level
    lines = [linearise(layers, x, sign * step[None], ahead=True).all_distances() for sign in (1, -1)]
    ends = [float(line.min(initial=np.inf)) for line in lines]
    beyond = [float(line[line > 0].min(initial=np.inf)) for line in lines]
    score, slope = float(here.scores[target]), float((w * step).sum())
    yield {
        "uphill": ends[0],
        "downhill": ends[1],
        "ties": int((lines[0] == 0).sum()),
        "beyond": beyond,
        "score": score,
        "slope": slope,
        "reach": reach,
    }
    for t in np.linspace(-reach, reach, 2 * PLACES + 1):
        there = Pass(net, x + t * step, stop)
        yield {
            "t": float(t),
            "score": float(there.scores[target]),
            "linear": score + float(t) * slope,
            "best": int(there.scores.argmax()),
            "flips": {name: n for name, n in _flips(here, there) if n},
        }


def _flips(here: Pass, there: Pass) -> Iterator[tuple[str, int]]:
    """Yield how many rectifiers of each layer are on at one place and off at the other, or switches elsewhere."""
    for name, node in here.graph.nodes.items():
        if is_rectifier(node.layer):
            yield name, int(np.count_nonzero(here.log.saved[name] != there.log.saved[name]))
        elif isinstance(node.layer, MaxPool2d):
            yield name, int(np.count_nonzero(here.log.saved[name][1] != there.log.saved[name][1]))
