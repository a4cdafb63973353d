"""A class model that grows: the paper's gradient ascent, step by step."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.explain.gradient_ascent import Ascent, Objective, gradient_ascent
from minicnn.explain.outputs.classifier import as_classifier
from minicnn.explain.prediction import class_index, mean_probabilities
from minicnn.explorer.answers import encode, png
from minicnn.explorer.recorder import Stopped
from minicnn.images.contrast import stretch_contrast
from minicnn.images.input_range import input_limits, input_unit
from minicnn.network import Network

__all__ = ["grow"]


def grow(net: Network, target: int, settings: Ascent, stop: threading.Event) -> Iterator[dict[str, Any]]:
    """Yield the image and its score on the way to ``class_model``'s, some twenty times a run.

    Raises
    ------
    MinicnnError
        If there is no such class, or no direction of ascent.

    """
    net = as_classifier(net)
    preprocess = net.preprocess
    if net.input_shape is None or preprocess is None:
        raise MinicnnError(
            f"{net.name}: has no input_shape or preprocess, so that there is no image to begin with"
        )
    zero = np.zeros((1, *net.input_shape), np.float32)
    c = class_index(net, target, net(zero).shape[1])
    settings = settings.in_units(net.input_shape, input_unit(preprocess))
    steps: queue.Queue[Any] = queue.Queue(maxsize=1)

    def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        y, tape = net.trace(x)
        _put(steps, (x, y), stop)
        return float(y[0, c]), net.backward(tape, net.cotangent(y, c))

    def run() -> None:
        objective = Objective(value_and_gradient, zero, input_limits(preprocess), False, input_unit(preprocess))
        try:
            gradient_ascent(objective, settings, 0)
            _put(steps, None, stop)
        except MinicnnError as error:
            _put(steps, error, stop)
        except Stopped:
            pass

    threading.Thread(target=run, name="minicnn-ascent", daemon=True).start()
    every, scores = max(1, settings.steps // 20), []
    while (step := _get(steps, stop)) is not None:
        if isinstance(step, MinicnnError):
            raise step
        x, y = step
        scores.append(float(y[0, c]))
        k = len(scores) - 1
        if k % every == 0 or k == settings.steps:
            shown = stretch_contrast(preprocess, x[0])
            yield {
                "step": k,
                "of": settings.steps,
                "scores": scores[:],
                "probability": float(mean_probabilities(net, y)[c]),
                "picture": png(shown[0]),
                "shown": list(shown[1]) if shown[1] else None,
                "x": encode(x[0]) if k == settings.steps and x.size < 1 << 14 else None,
            }


def _put(steps: queue.Queue[Any], item: Any, stop: threading.Event) -> None:
    while True:
        if stop.is_set():
            raise Stopped
        try:
            return steps.put(item, timeout=0.5)
        except queue.Full:
            continue


def _get(steps: queue.Queue[Any], stop: threading.Event) -> Any:
    while True:
        if stop.is_set():
            raise Stopped
        try:
            return steps.get(timeout=0.5)
        except queue.Empty:
            continue
