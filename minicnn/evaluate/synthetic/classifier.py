"""A small net, trained by a few lines of Adam, for synthetic pictures."""

from __future__ import annotations

import numpy as np

from minicnn.images import Preprocess
from minicnn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from minicnn.network import Network
from minicnn.zoo.initialisation import draw_parameters, he_normal, parameters

__all__ = ["accuracy", "small_net", "train"]

BATCH = 64
RATE = 3e-3
MEAN_DECAY, SQUARE_DECAY, EPSILON = 0.9, 0.999, 1e-8  # Adam's beta 1, beta 2 and epsilon


def small_net(side: int, classes: int = 2, seed: int = 0) -> Network:
    """Untrained net of three convolutions and one pool for pictures of one channel.

    Examples
    --------
    >>> small_net(8)(np.zeros((5, 1, 8, 8), np.float32)).shape
    (5, 2)

    """
    layers = [
        ("conv1", Conv2d(1, 16, 3, padding=1)),
        ("relu1", ReLU()),
        ("conv2", Conv2d(16, 16, 3, padding=1)),
        ("relu2", ReLU()),
        ("pool", MaxPool2d(2)),
        ("conv3", Conv2d(16, 32, 3, padding=1)),
        ("relu3", ReLU()),
        ("flatten", Flatten()),
        ("full", Linear(32 * (side // 2) ** 2, classes)),
    ]

    def draw(name: str, layer: Conv2d | Linear, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return parameters(layer, he_normal(layer, rng))

    drawn = draw_parameters(layers, np.random.default_rng(seed), draw)
    # black is 0, the pictures' mean: methods that compare with a black picture ask for it
    preprocess = Preprocess((side, side), resize=None, channels="L", scale=1.0, mean=(0.0,), std=(1.0,))
    return Network(drawn, (1, side, side), preprocess, name="small net")


def train(net: Network, x: np.ndarray, labels: np.ndarray, epochs: int, seed: int = 0) -> Network:
    """Return the net trained on pictures by Adam, its rate falling linearly to zero; this one stays as it is.

    Parameters
    ----------
    net : Network
    x : float32 array of shape (N, C, H, W)
    labels : ints of shape (N,)
    epochs : int, how often each picture is seen
    seed : int, of their order

    References
    ----------
    .. [1] Kingma, Ba 2015, "Adam: a method for stochastic optimization", algorithm 1.

    """
    rng = np.random.default_rng(seed)
    parameters = {name: array.copy() for name, array in net.state_dict().items()}
    mean = {name: np.zeros_like(array) for name, array in parameters.items()}
    square = {name: np.zeros_like(array) for name, array in parameters.items()}
    trained, steps = net.with_layers(net.named_layers), epochs * (len(x) // BATCH)
    for step in range(steps):
        position = step % (len(x) // BATCH)
        if position == 0:
            order = rng.permutation(len(x))
        chosen = order[position * BATCH : (position + 1) * BATCH]
        _, gradients = trained.loss_gradient(x[chosen], labels[chosen])
        rate = RATE * (1 - step / steps) / (1 - MEAN_DECAY ** (step + 1))
        correction = 1 - SQUARE_DECAY ** (step + 1)
        for name, gradient in gradients.items():
            mean[name] += (1 - MEAN_DECAY) * (gradient - mean[name])
            square[name] += (1 - SQUARE_DECAY) * (gradient * gradient - square[name])
            root = np.sqrt(square[name] / correction) + EPSILON
            parameters[name] -= (rate * mean[name] / root).astype(gradient.dtype)
        trained.load_state_dict(parameters)
    return trained


def accuracy(net: Network, x: np.ndarray, labels: np.ndarray) -> float:
    """Share of pictures whose class the net sees."""
    return float((net(x).argmax(axis=1) == labels).mean())
