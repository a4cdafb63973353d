"""Saliency of the ten crops, averaged one by one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn.explain.attribution_maps import max_abs_over_channels
from minicnn.explain.outputs.classifier import as_classifier
from minicnn.explorer.answers import encode
from minicnn.explorer.recorder import Log, recorded
from minicnn.explorer.sessions import Session, randomise
from minicnn.images import PlacedMaps

__all__ = ["ten_crops"]

LONGEST = 224  # pixels of a map's longer side


def map_size(image_size: tuple[int, int], longest: int = LONGEST) -> tuple[int, int]:
    """Return a size of the same aspect whose longer side is at most ``longest``.

    Examples
    --------
    >>> map_size((400, 600), 300)
    (200, 300)

    """
    factor = min(1.0, longest / max(image_size))
    return max(1, round(image_size[0] * factor)), max(1, round(image_size[1] * factor))


def ten_crops(
    session: Session, target: int, rule: str, drawn: str, stop: threading.Event
) -> Iterator[dict[str, Any]]:
    """Yield the mean of the first one, two, ..., ten maps; the last is ``saliency``'s own.

    Parameters
    ----------
    session : Session
    target : int, the class
    rule : str
    drawn : str, layers drawn anew
    stop : event

    """
    net = recorded(as_classifier(randomise(session.net, drawn)), None, Log(stop=stop))
    x, views = session.ten_views()
    maps: list[np.ndarray] = []
    scores: list[float] = []
    for view, where in zip(x, views, strict=True):
        y, tape = net.trace(view[None])
        gradient = net.backward(tape, net.cotangent(y, target), rule)
        maps.append(max_abs_over_channels(gradient)[0])
        scores.append(float(y[0, target]))
        placed = PlacedMaps(np.stack(maps), views[: len(maps)])
        size = map_size(placed.image_size)
        yield {
            "done": len(maps),
            "of": len(x),
            "score": float(np.mean(scores)),
            "box": list(where.box),
            "mirrored": where.mirrored,
            "size": list(size),
            "map": encode(placed.at(size)),
        }
