"""The loss of a batch and its gradient with respect to every parameter."""

from __future__ import annotations

import numpy as np

from minicnn.kernels import send
from minicnn.layers import Keep, sequence
from minicnn.network.executor import Executor, Program
from minicnn.network.targets import check_classes

__all__ = ["loss_gradient"]

Loss = tuple[float, dict[str, np.ndarray]]  # mean over images, and {parameter's name: gradient}


def loss_gradient(
    executor: Executor, program: Program, x: np.ndarray, labels: np.ndarray, rng: np.random.Generator | None
) -> Loss:
    """Mean softmax cross-entropy over a batch, and {parameter's name: gradient}; see ``Network.loss_gradient``.

    A batch that had to be split gives the means of its parts, each weighed by its share of the images.
    """

    def run(x: np.ndarray, labels: np.ndarray) -> Loss:
        return _loss_gradient(executor, program, x, labels, rng)

    parts = executor.run_batched(run, x, labels)
    loss = sum(n / len(x) * loss for n, (loss, _) in parts)
    # the loss is a mean over images, and so are its gradients: parts of unequal size weigh by their images
    _, (_, first) = parts[0]
    if len(parts) == 1:
        return loss, first
    return loss, {
        name: sum(array.dtype.type(n / len(x)) * gradients[name] for n, (_, gradients) in parts)
        for name, array in first.items()
    }


def _loss_gradient(
    executor: Executor, program: Program, x: np.ndarray, labels: np.ndarray, rng: np.random.Generator | None
) -> Loss:
    kernels, steps = executor.kernels, executor.steps(program.layers, training=True)
    scores, saved = sequence.forward(steps, executor.send(x, program), kernels, Keep.INPUTS, rng)
    labels = send(check_classes(labels, scores), executor.device)
    # the gradient of the loss with respect to the scores, before anything goes back through the layers
    dy = kernels.cross_entropy_input_grad(scores, labels)
    gradients = sequence.parameter_gradients(steps, dy, saved, kernels)
    # backward finds the gradients from the last layer to the first; they are returned in the parameters' order
    in_order = [name for name in sequence.parameter_shapes(program.layers) if name in gradients]
    loss = float(kernels.cross_entropy(scores, labels))
    return loss, {name: np.asarray(gradients[name]) for name in in_order}
