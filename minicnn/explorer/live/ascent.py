"""A class model that grows: the paper's gradient ascent, step by step."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.explain.gradient_ascent import Ascent, Objective, gradient_ascent
from minicnn.explain.outputs.classifier import as_classifier
from minicnn.explain.prediction import class_index, mean_probabilities
from minicnn.explorer.answers import encode, png
from minicnn.explorer.live.steps import Tell, steps_of
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

    def run(tell: Tell) -> None:
        def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
            y, tape = net.trace(x)
            tell((x, y))
            return float(y[0, c]), net.backward(tape, net.cotangent(y, c))

        unit = input_unit(preprocess)
        gradient_ascent(Objective(value_and_gradient, zero, input_limits(preprocess), False, unit), settings, 0)

    every, scores = max(1, settings.steps // 20), []
    for x, y in steps_of(run, stop):
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
