"""How a network runs on its device: as a program, made once, and in passes, which a device may replay."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from minicnn.kernels import fuses_layers, keeps_parameters, on, parallel_region, pass_cache, send
from minicnn.layers import Keep, sequence
from minicnn.layers.sequence import NamedLayers
from minicnn.layers.transforms.fold_batch_norm import fold_batch_norm
from minicnn.layers.transforms.fuse import fuse
from minicnn.network.batching import concatenate, split_on_out_of_memory
from minicnn.rules import GRADIENT, Rule

__all__ = ["Executor", "Program"]


class Program(NamedTuple):
    """What runs up to some layer.

    Attributes
    ----------
    upto : str, the layer's name; None for the scores
    layers : the network's layers up to there
    steps : these as the device runs them, some merged into one
    float64 : whether parameters are
    capturable : whether the calls that the steps make can be recorded and replayed

    """

    upto: str | None
    layers: NamedLayers
    steps: NamedLayers
    float64: bool
    capturable: bool


class Executor:
    """Runs a network's layers on a device; arrays go there by ``send`` and come back by ``numpy.asarray``.

    Parameters
    ----------
    layers : the network's, with their parameters
    device : str

    Attributes
    ----------
    kernels : the device's operations, see ``minicnn.kernels``

    """

    def __init__(self, layers: NamedLayers, device: str):
        self.device, self.kernels = device, on(device)
        self._layers, self._passes = layers, pass_cache(device)
        self._programs: dict[tuple[str | None, bool], Program] = {}  # by upto, and whether cast to float64

    # programs

    def program(self, upto: str | None, float64: bool = False) -> Program:
        """Return what runs up to a layer, made once; in ``float64`` only where the device keeps parameters."""
        if (upto, float64) in self._programs:
            return self._programs[upto, float64]
        program = self._cast(self.program(upto)) if float64 else self._compile(upto)
        # a cast is quick to make again where it is only read; elsewhere its parameters would have to be sent again
        if not float64 or keeps_parameters(self.device):
            self._programs[upto, float64] = program
        return program

    def _compile(self, upto: str | None) -> Program:
        whole = self._layers
        # without a layer's name the scores are asked for, which a softmax at the end would hide
        layers = sequence.before_softmax(whole) if upto is None else sequence.truncate_at(whole, upto)
        steps, parameters = self.steps(layers), sequence.state_dict(layers).values()
        capturable = all(layer.capturable for _, layer in steps)
        return Program(upto, layers, steps, any(a.dtype == np.float64 for a in parameters), capturable)

    def _cast(self, program: Program) -> Program:
        layers = sequence.astype(program.layers, np.float64)
        return program._replace(layers=layers, steps=self.steps(layers), float64=True)

    def steps(self, layers: NamedLayers, training: bool = False) -> NamedLayers:
        """Return what runs in the layers' place: the specification keeps to one step a layer."""
        if not fuses_layers(self.device):
            return layers
        if keeps_parameters(self.device) and not training:
            # a normalisation's scale would be sent with every call; folded into the weights it stays there
            layers = fold_batch_norm(layers)
        return fuse(layers, training)

    # runs

    def forward(self, program: Program, x: np.ndarray) -> np.ndarray:
        """Output of the program for a batch x of shape (N, ...)."""

        def run(x: np.ndarray, _: Any) -> np.ndarray:
            with self._pass_for(program, x) as network_pass:
                return np.asarray(network_pass.forward(self.send(x, program)))

        return concatenate(self.run_batched(run, x))

    def input_gradient(
        self,
        program: Program,
        x: np.ndarray,
        target: np.ndarray,
        cotangent: Callable[[np.ndarray, np.ndarray], np.ndarray],
        rule: Rule,
    ) -> np.ndarray:
        """Gradient with respect to a batch x of <dy, y>, for the program's output y.

        Parameters
        ----------
        program : Program
        x : array of shape (N, ...)
        target : what ``cotangent`` makes dy of; split with the batch if it has an axis
        cotangent : function of y and target
        rule : Rule

        """

        def run(x: np.ndarray, target: np.ndarray) -> np.ndarray:
            with self._pass_for(program, x, Keep.MASKS, rule) as network_pass:
                # masks and switches are kept, but no inputs: dx of a layer does not need them
                y = network_pass.forward(self.send(x, program))  # it stays there: only its shape counts
                dx = network_pass.backward(send(cotangent(y, target), self.device))
            return np.asarray(dx).astype(x.dtype, copy=False)

        return concatenate(self.run_batched(run, x, target))

    def run_batched(
        self, run: Callable[[np.ndarray, Any], Any], x: np.ndarray, beside: Any = None
    ) -> list[tuple[int, Any]]:
        """Return what ``run`` gives for the parts of a batch that fit, see ``split_on_out_of_memory``."""
        # one region around all parts, so that the threads are woken once
        with parallel_region(self.device):
            return split_on_out_of_memory(run, x, beside)

    def send(self, x: np.ndarray, program: Program) -> np.ndarray:
        """Return x on the device, in float64 if the parameters are."""
        if program.float64 and x.dtype != np.float64:
            x = x.astype(np.float64)
        return send(x, self.device)

    def _pass_for(
        self, program: Program, x: np.ndarray, keep: Keep = Keep.NOTHING, rule: Rule = GRADIENT
    ) -> AbstractContextManager[Any]:
        """Context that gives a pass for inputs of x's shape; a recorded one, where there is one."""
        # what is recorded are float32 passes through layers that leave all computing to the kernels
        network_pass = sequence.Pass(program.steps, self.kernels, keep, rule)
        if self._passes is None or program.float64 or x.dtype != np.float32 or not program.capturable:
            return nullcontext(network_pass)
        return self._passes.get((program.upto, x.shape, keep, rule), network_pass)
