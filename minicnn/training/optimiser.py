"""Optimisers: how a gradient moves a parameter.

Both work in place, on dictionaries of arrays by parameter name, so that ten thousand steps need no more memory
than one.  Weight decay is not applied to biases, nor to the scales and shifts of normalisations: parameters of one
axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import numpy as np

from minicnn.training.recipe import Optimiser

__all__ = ["clip_gradients", "new_state", "update"]

Arrays = dict[str, np.ndarray]


def new_state(parameters: Mapping[str, np.ndarray], settings: Optimiser) -> Arrays:
    """Return the optimiser's memory before the first step: zeros, by parameter name and what they are.

    Examples
    --------
    >>> list(new_state({"weight": np.ones(3)}, Optimiser("sgd", momentum=0.9)))
    ['weight velocity']
    >>> list(new_state({"weight": np.ones(3)}, Optimiser("adamw")))
    ['weight mean', 'weight square']

    """
    kinds = ("mean", "square") if settings.name == "adamw" else ("velocity",) if settings.momentum else ()
    return {f"{name} {kind}": np.zeros_like(array) for name, array in parameters.items() for kind in kinds}


def update(
    parameters: Arrays,
    gradients: Mapping[str, np.ndarray],
    state: Arrays,
    settings: Optimiser,
    learning_rate: float,
    step: int,
) -> None:
    """Move the parameters that have gradients by one step, in place.

    Parameters
    ----------
    parameters, gradients : {name: array}
        What has no gradient stays.
    state : what ``new_state`` made
    settings : Optimiser
    learning_rate : float, of this step
    step : int, from 0

    References
    ----------
    SGD: Sutskever et al. 2013 in torch's form, v = mu v + g, w -= lr v, or lr (g + mu v) with Nesterov's momentum.
    AdamW: Loshchilov, Hutter 2019, algorithm 2.

    Examples
    --------
    >>> parameters = {"weight": np.array([[1.0]])}
    >>> sgd = Optimiser("sgd", momentum=0.0, weight_decay=0.0)
    >>> update(parameters, {"weight": np.array([[2.0]])}, {}, sgd, learning_rate=0.1, step=0)
    >>> parameters["weight"].tolist()
    [[0.8]]

    """
    move = _adamw if settings.name == "adamw" else _sgd
    for name, gradient in gradients.items():
        parameter = parameters[name]
        # in the parameter's dtype: a Python float times a float32 array stays float32
        decay = settings.weight_decay if parameter.ndim > 1 else 0.0
        if decay and settings.decoupled:
            parameter *= 1 - learning_rate * decay
        elif decay:
            gradient = gradient + decay * parameter
        memory = {
            kind: state[f"{name} {kind}"] for kind in ("velocity", "mean", "square") if f"{name} {kind}" in state
        }
        move(parameter, gradient, memory, settings, learning_rate, step)


def _sgd(
    parameter: np.ndarray,
    gradient: np.ndarray,
    memory: Arrays,
    settings: Optimiser,
    learning_rate: float,
    step: int,
) -> None:
    if "velocity" in memory:
        velocity = memory["velocity"]
        velocity *= settings.momentum
        velocity += gradient
        gradient = gradient + settings.momentum * velocity if settings.nesterov else velocity
    parameter -= learning_rate * gradient


def _adamw(
    parameter: np.ndarray,
    gradient: np.ndarray,
    memory: Arrays,
    settings: Optimiser,
    learning_rate: float,
    step: int,
) -> None:
    (first, second), mean, square = settings.betas, memory["mean"], memory["square"]
    mean += (1 - first) * (gradient - mean)
    square *= second
    square += (1 - second) * gradient * gradient
    # both began at zero, so that early on they are too small by these factors
    mean_factor, square_factor = 1 - first ** (step + 1), sqrt(1 - second ** (step + 1))
    parameter -= (learning_rate / mean_factor) * mean / (np.sqrt(square) / square_factor + settings.eps)


def clip_gradients(gradients: Arrays, norm: float) -> float:
    """Scale the gradients, in place, so that together they are no longer than ``norm``; return how long they were.

    Parameters
    ----------
    gradients : {name: array}
    norm : float; 0 leaves them as they are

    References
    ----------
    Pascanu, Mikolov, Bengio 2013, algorithm 1; torch.nn.utils.clip_grad_norm_.

    Examples
    --------
    >>> gradients = {"weight": np.array([3.0]), "bias": np.array([4.0])}
    >>> clip_gradients(gradients, 1.0), gradients["weight"].round(4).tolist()
    (5.0, [0.6])

    """
    # in float64 and in the parameters' order, so that the sum has one value
    length = sqrt(sum(float(np.square(gradient, dtype=np.float64).sum()) for gradient in gradients.values()))
    if norm and length > norm:
        for gradient in gradients.values():
            gradient *= norm / (length + 1e-6)
    return length
