"""One step: forward, the loss, backward through all layers, and how far the parameters move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.kernels import keeps_parameters, parallel_region, send
from minicnn.layers import Keep, sequence
from minicnn.layers.transforms.training import in_training
from minicnn.network import Network
from minicnn.network.executor import Executor
from minicnn.training.data.loader import Batch
from minicnn.training.loss import cross_entropy
from minicnn.training.optimiser import clip_gradients, new_state, update
from minicnn.training.recipe import Recipe

__all__ = ["NotFiniteError", "StepResult", "Trainer"]

RUNNING = (".running_mean", ".running_var")


class NotFiniteError(MinicnnError):
    """The loss or a gradient is NaN or infinite; ``numbers`` are the images of the batch that made it."""

    def __init__(self, message: str, numbers: np.ndarray) -> None:
        super().__init__(message)
        self.numbers = numbers


class StepResult(NamedTuple):
    """What a step measured, before it moved anything.

    Attributes
    ----------
    loss : float, the mean over the images
    correct : int, images whose highest score is their class
    images : int
    gradient_norm : float, of all gradients together, before they were clipped

    """

    loss: float
    correct: int
    images: int
    gradient_norm: float


class Trainer:
    """A network in training: its parameters, which steps change in place, and the optimiser's memory.

    Parameters
    ----------
    net : Network
        Stays as it is.
    recipe : Recipe

    Attributes
    ----------
    parameters, averages, state : {name: array}
        The parameters and running statistics; their moving averages (empty where the recipe asks for none); and
        the optimiser's memory.
    steps : int, how many were made

    """

    def __init__(self, net: Network, recipe: Recipe) -> None:
        self.recipe, self.steps = recipe, 0
        self.parameters = {name: np.array(array) for name, array in net.state_dict().items()}
        self.averages = {name: a.copy() for name, a in self.parameters.items()} if recipe.average else {}
        self._net, self._frozen = net, _frozen(net, recipe.freeze)
        trained = [name for name in self.parameters if name not in self._frozen and not name.endswith(RUNNING)]
        self.state = new_state({name: self.parameters[name] for name in trained}, recipe.optimiser)
        self._executor = Executor([], net.device)
        self._layers = self._training_layers()

    def _training_layers(self) -> sequence.NamedLayers:
        """Return the steps that compute with ``parameters``; frozen normalisations keep their statistics."""
        layers = sequence.before_softmax(self._net.named_layers)
        # a layer holds the very arrays that steps change; a device that keeps what it was sent gets copies
        kept = keeps_parameters(self._net.device)
        arrays = {name: a.copy() for name, a in self.parameters.items()} if kept else self.parameters
        layers = sequence.with_state_dict(layers, arrays)
        by_batch = dict(sequence.walk(in_training(layers)))
        chosen = sequence.map_layers(
            layers, lambda name, layer: layer if f"{name}.running_mean" in self._frozen else by_batch[name]
        )
        return self._executor.steps(chosen, training=True)

    @property
    def net(self) -> Network:
        """The network with the parameters as they are now, or with their averages."""
        return self.net_of(self.net_arrays())

    def net_arrays(self) -> dict[str, np.ndarray]:
        """Return copies of the parameters, or of their averages where there are some."""
        return {name: array.copy() for name, array in (self.averages or self.parameters).items()}

    def net_of(self, arrays: Mapping[str, np.ndarray]) -> Network:
        """Return the network with these parameters."""
        return self._net.with_layers(sequence.with_state_dict(self._net.named_layers, arrays))

    def step(
        self, batches: Sequence[Batch], learning_rate: float, rngs: Sequence[np.random.Generator]
    ) -> StepResult:
        """Make one step from the mean gradient of some batches.

        Parameters
        ----------
        batches : one, or as many as the recipe accumulates
        learning_rate : float
        rngs : a generator for each, which dropout draws from

        Raises
        ------
        NotFiniteError
            If the loss or a gradient is not finite; no weight has moved then.

        """
        images = sum(len(batch.x) for batch in batches)
        loss, correct = 0.0, 0
        gradients: dict[str, np.ndarray] = {}
        for batch, rng in zip(batches, rngs, strict=True):
            share = len(batch.x) / images
            own_loss, own_correct, own = self.loss_gradient(batch, rng)
            if not np.isfinite(own_loss):
                raise self._refuse(own_loss, self._first_not_finite(batch.x), [batch])
            loss, correct = loss + share * own_loss, correct + own_correct
            for name, gradient in own.items():
                if name.endswith(RUNNING):
                    # they follow each batch at once, as forward passes do
                    self.parameters[name][...] = gradient
                else:
                    part = gradient if share == 1 else gradient.dtype.type(share) * gradient
                    gradients[name] = gradients[name] + part if name in gradients else part
        norm = clip_gradients(gradients, self.recipe.clip_norm)
        if not np.isfinite(norm):
            ruined = next(name for name, gradient in gradients.items() if not np.isfinite(gradient).all())
            raise self._refuse(loss, f"the gradient of {ruined} holds NaN or infinity", batches)
        update(self.parameters, gradients, self.state, self.recipe.optimiser, learning_rate, self.steps)
        self.steps += 1
        self._average()
        if keeps_parameters(self._net.device):
            self._layers = self._training_layers()
        return StepResult(loss, correct, images, norm)

    def loss_gradient(
        self, batch: Batch, rng: np.random.Generator | None
    ) -> tuple[float, int, dict[str, np.ndarray]]:
        """Return loss, images whose class scores highest, and gradients, with what running statistics become."""
        kernels, device = self._executor.kernels, self._net.device
        dtype = np.result_type(batch.x, *list(self.parameters.values())[:1])
        with parallel_region(device):
            x = send(batch.x.astype(dtype, copy=False), device)
            scores, tape = sequence.forward(self._layers, x, kernels, Keep.INPUTS, rng)
            loss, dy = cross_entropy(scores, batch.targets, kernels)
            dy = send(dy, device)
            gradients = sequence.parameter_gradients(self._layers, dy, tape, kernels, self._frozen)
        correct = int((np.asarray(scores).argmax(axis=1) == batch.classes).sum())
        wanted = {name: np.asarray(a) for name, a in gradients.items() if name not in self._frozen}
        # in the parameters' order, so that sums over all of them have one value
        return loss, correct, {name: wanted[name] for name in self.parameters if name in wanted}

    def _average(self) -> None:
        # early on the average follows fast, or it would long remember how the network was drawn
        decay = min(self.recipe.average, (1 + self.steps) / (10 + self.steps))
        for name, average in self.averages.items():
            average += average.dtype.type(1 - decay) * (self.parameters[name] - average)

    def _refuse(self, loss: float, where: str, batches: Sequence[Batch]) -> NotFiniteError:
        numbers = np.concatenate([batch.numbers for batch in batches])
        return NotFiniteError(f"the loss is {loss:.4g} at step {self.steps + 1}: {where}", numbers)

    def _first_not_finite(self, x: np.ndarray) -> str:
        """Name what first is not finite: a parameter, the input or a layer's output."""
        for name, array in self.parameters.items():
            if not np.isfinite(array).all():
                return f"parameter {name} holds NaN or infinity"
        if not np.isfinite(x).all():
            return "the input holds NaN or infinity"
        kernels, device = self._executor.kernels, self._net.device
        for name, _ in self._layers:
            y, _ = sequence.forward(sequence.truncate_at(self._layers, name), send(x, device), kernels)
            if not np.isfinite(np.asarray(y)).all():
                return f"layer {name} is the first whose output holds NaN or infinity"
        return "all layers are finite without dropout"

    # what a checkpoint holds

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything that the next step depends on, by name."""
        kinds = {"parameter": self.parameters, "average": self.averages, "state": self.state}
        return {f"{kind} {name}": array for kind, arrays in kinds.items() for name, array in arrays.items()}

    def restore(self, arrays: Mapping[str, np.ndarray], steps: int) -> None:
        """Go on from what ``arrays`` returned after ``steps`` steps."""
        for name, array in self.arrays().items():
            array[...] = arrays[name]
        self.steps = steps


def _frozen(net: Network, prefixes: Sequence[str]) -> set[str]:
    """Return the names of the parameters that stay; MinicnnError where a name fits no layer."""
    names = net.state_dict()
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            raise MinicnnError(
                f"recipe: freeze: no parameter begins with {prefix!r}; the first is {next(iter(names), '-')}"
            )
    return {name for name in names if name.startswith(tuple(prefixes))} if prefixes else set()
