"""Networks whose parameters mean nothing any more: all of them, layer by layer, or the labels of the last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.explain.outputs.classifier import ADDED
from minicnn.layers import BatchNorm2d, Layer, Linear, sequence
from minicnn.network import Network

__all__ = [
    "FittedNetwork",
    "Stage",
    "fit_last_layer",
    "redraw_parameters",
    "replace_parameters",
    "shuffle_parameters",
    "stages",
]

RIDGE = 1e-3  # of the mean eigenvalue of the features' covariances


class Stage(NamedTuple):
    """A layer with parameters, or a convolution and the batch normalisation behind it: its name, theirs."""

    name: str
    parameters: tuple[str, ...]


def stages(net: Network) -> list[Stage]:
    """Return what is randomised at a time, from the scores down to the input."""
    all_stages: list[Stage] = []
    layers = sequence.before_softmax(net.named_layers)
    for (name, layer), inputs in zip(layers, sequence.read_by(layers), strict=True):
        # layers that make scores of other outputs have learnt nothing
        own = () if name.startswith(ADDED) else tuple(f"{name}.{key}" for key in layer.parameter_shapes())
        # the normalisation's parameters go with those of the layer that it scales
        scaled = [i for i, stage in enumerate(all_stages) if stage.name in inputs]
        if isinstance(layer, BatchNorm2d) and scaled:
            stage = all_stages[scaled[0]]
            all_stages[scaled[0]] = Stage(stage.name, stage.parameters + own)
        elif own:
            all_stages.append(Stage(name, own))
    if not all_stages:
        raise MinicnnError(f"{net.name}: has no parameters to randomise")
    return all_stages[::-1]


def shuffle_parameters(net: Network, seed: int = 0) -> dict[str, np.ndarray]:
    """Every parameter with its entries in another order, each array by itself.

    The values stay, so that each layer keeps its scale, and what was learnt goes.  Adebayo et al. draw new ones as
    at the start of training, which a weight file does not tell; shuffled weights are their other variant.  The
    statistics of batch normalisation are shuffled by one order for mean and variance.

    Parameters
    ----------
    net : Network
    seed : int

    Returns
    -------
    parameters : {name: array}, of the shapes and dtypes of the network's

    References
    ----------
    .. [1] Adebayo et al. 2018, "Sanity checks for saliency maps", section 3.

    Examples
    --------
    >>> import minicnn
    >>> net = minicnn.load("digits")
    >>> shuffled = shuffle_parameters(net)["conv_layers.0.weight"]
    >>> weight = net.state_dict()["conv_layers.0.weight"]
    >>> bool((shuffled == weight).all()), sorted(shuffled.ravel()) == sorted(weight.ravel())
    (False, True)

    """
    rng, shuffled = np.random.default_rng(seed), {}
    orders: dict[str, np.ndarray] = {}
    for name, array in net.state_dict().items():
        owner, _, key = name.rpartition(".")
        if key.startswith("running_"):
            # one order for mean and variance, so that each channel's two statistics stay together
            order = orders.setdefault(owner, rng.permutation(array.size))
        else:
            order = rng.permutation(array.size)
        shuffled[name] = array.ravel()[order].reshape(array.shape)
    return shuffled


def redraw_parameters(net: Network, seed: int = 0) -> dict[str, np.ndarray]:
    """Every parameter drawn anew, as torch draws those of a net that is to be trained.

    Weights and biases are uniform within 1 / sqrt(fan-in), batch normalisation is the identity; what has neither
    (slopes of PReLU) stays as it is.

    Examples
    --------
    >>> import minicnn
    >>> drawn = redraw_parameters(minicnn.load("digits"))["conv_layers.0.weight"]
    >>> drawn.shape, bool(abs(drawn).max() <= 1 / 3)  # a fan-in of 3 x 3
    ((32, 1, 3, 3), True)

    """
    rng = np.random.default_rng(seed)

    def redraw(name: str, layer: Layer) -> Layer:
        shapes = layer.parameter_shapes()
        if isinstance(layer, BatchNorm2d):
            ones = ("weight", "running_var")
            return layer.with_state({key: np.full(s, key in ones, np.float32) for key, s in shapes.items()})
        if len(shapes.get("weight", ())) < 2:
            return layer
        bound = 1 / np.sqrt(np.prod(shapes["weight"][1:]))
        return layer.with_state(
            {key: rng.uniform(-bound, bound, s).astype(np.float32) for key, s in shapes.items()}
        )

    return sequence.state_dict(sequence.map_layers(net.named_layers, redraw))


def replace_parameters(net: Network, parameters: dict[str, np.ndarray]) -> Network:
    """Return the network with some of its parameters replaced; this one stays as it is."""
    return net.with_layers(sequence.with_state_dict(net.named_layers, parameters))


class FittedNetwork(NamedTuple):
    """A network with a new last layer.

    Attributes
    ----------
    net : Network
    accuracy : float in [0, 1], the fraction of the labels that it gets right

    """

    net: Network
    accuracy: float


def fit_last_layer(net: Network, inputs: Iterable[np.ndarray], labels: np.ndarray) -> FittedNetwork:
    """Network whose last layer is fitted anew to labels; all layers before it stay as they are trained.

    W, b minimise sum_n ||W f_n + b - e_(y_n)||^2 + lambda ||W||^2,  f_n the features of image n, e_y the unit
    vector of its label; lambda is a thousandth of the mean eigenvalue of their covariances.  It is least squares
    and no training: with permuted labels it tests the last layer alone, where Adebayo et al. train the whole net.

    Parameters
    ----------
    net : Network that ends in a linear layer
    inputs : arrays of shape (1, C, H, W); one is held at a time on the way to its features
    labels : ints of shape (N,)

    Returns
    -------
    fitted : FittedNetwork

    Raises
    ------
    MinicnnError
        If the network does not end in a linear layer.

    """
    layers = sequence.before_softmax(net.named_layers)
    (name, last), (before, *_) = layers[-1], sequence.read_by(layers)[-1]
    if not isinstance(last, Linear) or before == sequence.INPUT or name.startswith(ADDED):
        raise MinicnnError(f"{net.name}: ends in {name!r}, which is no linear layer that least squares could fit")
    # (N, D)
    features = np.concatenate([net.forward(x, upto=before) for x in inputs]).astype(np.float64)
    state, classes = last.state(), last.parameter_shapes()["weight"][0]
    one_hot = np.eye(classes)[labels]
    weight, bias = _least_squares(features, one_hot)
    # without a bias the solution has to pass through the origin, which centring would not make it do
    if "bias" not in state:
        weight, bias = _least_squares(features, one_hot, centred=False)
    correct = (features @ weight.T + bias).argmax(axis=1) == labels
    solution = {"weight": weight, "bias": bias}
    parameters = {f"{name}.{key}": solution[key].astype(array.dtype) for key, array in state.items()}
    return FittedNetwork(replace_parameters(net, parameters), float(correct.mean()))


def _least_squares(f: np.ndarray, y: np.ndarray, centred: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Weights (K, D) and biases (K,) of ridge regression from f (N, D) to y (N, K), by its dual where D > N."""
    # centred, the intercept drops out of the system and is not penalised: b = mean(y) - W mean(f)
    mean, target = (f.mean(axis=0), y.mean(axis=0)) if centred else (np.zeros(f.shape[1]), np.zeros(y.shape[1]))
    f, y = f - mean, y - target
    # the trace over the rank is the mean eigenvalue; the smallest number stands in where all features are equal
    ridge = RIDGE * max(np.square(f).sum() / min(f.shape), np.finfo(np.float64).tiny)
    # (F^T F + r I)^-1 F^T = F^T (F F^T + r I)^-1: of the two systems, D x D and N x N, the smaller one is solved
    if f.shape[1] > len(f):
        weight = f.T @ np.linalg.solve(f @ f.T + ridge * np.eye(len(f)), y)
    else:
        weight = np.linalg.solve(f.T @ f + ridge * np.eye(f.shape[1]), f.T @ y)
    return weight.T, target - mean @ weight
