"""One picture through a network, with every number kept, and back again from any scalar."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.explain.prediction import class_label, mean_probabilities
from minicnn.explorer.nodes import INPUT, graph_of
from minicnn.explorer.recorder import Log, recorded
from minicnn.explorer.starts import Start
from minicnn.network import Network
from minicnn.rules import RULES

__all__ = ["Gradients", "Pass"]

KEPT = 12  # passes backwards, three of which are one answer
RULE_NAMES = tuple(rule.name for rule in RULES)


class Gradients(NamedTuple):
    """What a pass backwards gave.

    Attributes
    ----------
    by_name : {node: array of the shape of its output}, "input" among them; nodes behind the start are missing
    refusal : str, why there is none: a layer that the rule is not defined for

    """

    by_name: dict[str, np.ndarray]
    refusal: str = ""


class Pass:
    """A picture's way through a network.

    Parameters
    ----------
    net : Network
    x : float32 array of shape (1, C, H, W)
    stop : event, optional, that ends the work

    Attributes
    ----------
    graph : Graph, the network's layers up to the scores
    log : Log, every array
    scores : array, without the batch axis

    """

    def __init__(self, net: Network, x: np.ndarray, stop: threading.Event | None = None):
        self.net, self.x, self.graph = net, x, graph_of(net)
        self.log = Log(stop=stop)
        self._recorded = recorded(net, None, self.log)
        y, self._tape = self._recorded.trace(x)
        self.scores, self._y = y[0], y
        self._kept: OrderedDict[tuple[Start, str], Gradients] = OrderedDict()

    @property
    def size(self) -> int:
        """Bytes that it holds, about: outputs, and gradients at most."""
        return sum(y.nbytes for y in self.log.outputs.values()) * (2 + len(self._kept))

    def value(self, name: str) -> np.ndarray:
        """Return a node's output, or the input, without the batch axis; MinicnnError if there is no such node."""
        if name == INPUT:
            return self.x[0]
        if name not in self.graph.nodes:
            raise MinicnnError(f"no layer {name[:80]!r}; the page's own list has the names")
        return self.log.outputs[name]

    def predictions(self, count: int = 5) -> list[dict[str, Any]]:
        """Return the most probable classes; none if the scores are not one a class."""
        if self._y.ndim != 2:
            return []
        probability = mean_probabilities(self.net, self._y)
        best = np.argsort(-probability, kind="stable")[:count]
        # of one score there are two classes
        scores = (
            self.scores
            if len(self.scores) == len(probability)
            else np.broadcast_to(self.scores, probability.shape)
        )
        return [
            {
                "target": int(c),
                "label": class_label(self.net, int(c)),
                "score": float(scores[c]),
                "probability": float(probability[c]),
            }
            for c in best
        ]

    def default_start(self) -> Start:
        """Return the score of the best class, or the largest unit of the last layer."""
        if self._y.ndim == 2:
            return Start("score", (int(self.scores.argmax()),))
        return Start("unit", layer=next(reversed(self.graph.nodes)), cell=int(self.scores.argmax()))

    def back(self, start: Start, rule: str, stop: threading.Event | None = None) -> Gradients:
        """Return the gradients of a scalar by a rule, with respect to every value before it."""
        if (start, rule) not in self._kept:
            self._kept[start, rule] = self._back(start, rule, stop)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end((start, rule))
        return self._kept[start, rule]

    def _back(self, start: Start, rule: str, stop: threading.Event | None) -> Gradients:
        log, net, y, tape = self.log, self._recorded, self._y, self._tape
        if start.kind == "unit":
            self.value(start.layer or "")
            log = Log(stop=stop)
            net = recorded(self.net, start.layer, log)
            y, tape = net.trace(self.x)
        log.stop, log.gradients, dy = stop, {}, start.cotangent(self.net, y)
        try:
            dx = net.backward(tape, dy, rule)
        except MinicnnError as error:
            return Gradients({}, str(error))
        return Gradients({**log.gradients, INPUT: dx[0]})
