"""How a network runs on its device: its layers as steps, made once, and passes, which a device may repeat."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from minicnn import rules
from minicnn.kernels import fuses_layers, keeps_parameters, on, parallel_region, pass_cache, send
from minicnn.layers import Keep, sequence
from minicnn.layers.transforms.fold_batch_norm import fold_batch_norm
from minicnn.layers.transforms.fuse import fuse, is_capturable
from minicnn.network.batching import split_on_out_of_memory

__all__ = ["Executor", "Program"]


class Program(NamedTuple):
    """What runs up to some layer.

    The layers, these merged into steps, whether parameters are float64, and whether steps may be repeated.
    """

    layers: sequence.NamedLayers
    steps: sequence.NamedLayers
    wide: bool
    capturable: bool


class Executor:
    """What runs layers on a device; arrays go there by ``send`` and come back by ``numpy.asarray``.

    Attributes
    ----------
    kernels : the device's functions, see ``minicnn.kernels``

    """

    def __init__(self, layers: sequence.NamedLayers, device: str):
        self.device, self.kernels = device, on(device)
        self._chain, self._passes = layers, pass_cache(device)
        self._plans: dict[tuple[str | None, bool], Program] = {}  # by the last layer's name, and whether widened

    def plan(self, upto: str | None) -> Program:
        """Return what runs up to a layer, made once."""
        if (upto, False) not in self._plans:
            layers = (
                sequence.before_softmax(self._chain) if upto is None else sequence.truncate_at(self._chain, upto)
            )
            wide, steps = (
                any(a.dtype == np.float64 for a in sequence.state_dict(layers).values()),
                self.steps(layers),
            )
            self._plans[upto, False] = Program(layers, steps, wide, is_capturable(steps))
        return self._plans[upto, False]

    def widened(self, upto: str | None) -> Program:
        """Return the plan in float64; kept on "cuda" alone, where parameters are sent once."""
        if (upto, True) in self._plans:
            return self._plans[upto, True]
        layers = sequence.astype(self.plan(upto).layers, np.float64)
        plan = self.plan(upto)._replace(layers=layers, steps=self.steps(layers), wide=True)
        if keeps_parameters(self.device):
            self._plans[upto, True] = plan
        return plan

    def steps(self, layers: sequence.NamedLayers, training: bool = False) -> sequence.NamedLayers:
        """Return what runs in the layers' place: the specification keeps to one step a layer."""
        if not fuses_layers(self.device):
            return layers
        if keeps_parameters(self.device) and not training:
            # a normalisation's scale would be sent with every call; folded into the weights it stays there
            layers = fold_batch_norm(layers)
        return fuse(layers, training)

    def send(self, x: np.ndarray, plan: Program) -> Any:
        """Return x on the device, in the parameters' dtype where that is wider: float64 if they are."""
        return send(x.astype(np.float64) if plan.wide and x.dtype != np.float64 else x, self.device)

    def one(
        self,
        plan: Program,
        x: np.ndarray,
        upto: str | None,
        keep: Keep = Keep.NOTHING,
        rule: rules.Rule = rules.GRADIENT,
    ) -> AbstractContextManager[Any]:
        """Context that gives a pass up to a layer for inputs of x's shape, inside of ``parts``."""
        one = sequence.Pass(plan.steps, self.kernels, keep, rule)
        if self._passes is None or plan.wide or x.dtype != np.float32 or not plan.capturable:
            return nullcontext(one)
        return self._passes.get((upto, x.shape, keep, rule), one)

    def parts(self, run, *arrays) -> list[tuple[int, Any]]:
        """Return what ``run`` gives for the parts of a batch, see ``split_on_out_of_memory``."""
        with parallel_region(self.device):
            return split_on_out_of_memory(run, *arrays)
