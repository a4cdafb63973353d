"""Class models: the image that a class score likes best, and the same for any unit of any layer.

    maximise over I:  S_c(I) - lambda ||I||_2^2                                  (paper, equation 1)

by gradient ascent with the weights fixed, from the zero image; the mean is added to show the result.

| | the paper | here |
|---|---|---|
| score | S_c, never the softmax posterior | the same |
| start | the zero image (data are zero-centred) | the same; random restarts on request |
| lambda | silent | 1.4 / sqrt(C H W): 0.05 for 1 x 28 x 28, 0.0036 for 3 x 224 x 224 |
| step, steps | silent | 0.05 input units (root mean square) at first, falling to 0; 200 |
| jitter, blur, total variation, clipping, coarse-to-fine | later inventions, not in it | off unless asked for |
| ball instead of penalty, random starts | older (Le et al. 2012, Erhan et al. 2009), not in it | off |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.explain.gradient_ascent import Ascent, gradient_ascent
from minicnn.explain.prediction import class_index, label_of, posterior
from minicnn.kernels import send
from minicnn.network import Network
from minicnn.network.targets import unit_cotangent

__all__ = ["ClassModel", "class_model", "maximise"]

Progress = Callable[[Iterable[int]], Iterable[int]]


@dataclass(frozen=True, eq=False)
class ClassModel:
    """An optimised image and how it was reached.

    Attributes
    ----------
    image : uint8 array of shape (H, W, 3), the picture, mean added; None without a ``preprocess``
    x : float32 array of shape (C, H, W), the network's input
    target : int, the class, or the unit's channel
    label : str or None
    probability : float, the class's softmax probability at x; None for other layers
    scores : floats, the maximised value before each step and after the last
    gradient_norms : floats, the norm of its gradient at the same places
    stopped : str, "steps done", or why it ended earlier
    settings : Ascent, how it was climbed, lambda in numbers

    """

    image: np.ndarray | None
    x: np.ndarray
    target: int
    label: str | None
    probability: float | None
    scores: list[float]
    gradient_norms: list[float]
    stopped: str
    settings: Ascent


def class_model(
    net: Network,
    target: int | str,
    *,
    settings: Ascent | None = None,
    seed: int = 0,
    progress: Progress = iter,
) -> ClassModel:
    """Class model visualisation: argmax over I of S_c(I) - lambda ||I||^2 (paper, equation 1).

    Parameters
    ----------
    net : Network with an ``input_shape``
    target : int or str, the class, by number or label
    settings : Ascent, optional; how to climb
    seed : int, of jitter and restarts
    progress : wraps the range of steps, as ``tqdm.tqdm`` does

    Returns
    -------
    model : ClassModel

    Raises
    ------
    MinicnnError
        If there is no such class, the network has no input shape, or the gradient vanishes at the start.

    """
    scores = net(_zero(net))
    c = class_index(net, target, scores.shape[1])
    x, found = _climbed(net, None, net.cotangent(scores, c), settings, seed, progress)
    probability = float(posterior(net(x))[c])
    return ClassModel(_picture(net, x), x[0], c, label_of(net, c), probability, *found)


def maximise(
    net: Network,
    layer: str | None,
    unit: int | tuple[int, ...],
    constraint: str = "l2_penalty",
    *,
    settings: Ascent | None = None,
    seed: int = 0,
    progress: Progress = iter,
) -> ClassModel:
    """Activation maximisation of any unit of any layer (Erhan et al. 2009).

    Parameters
    ----------
    net : Network with an ``input_shape``
    layer : str, a layer's name; None for the scores
    unit : int or tuple
        Index into one image's output of the layer: (channel, row, column), or a channel alone, which means the
        sum over its map.
    constraint : "l2_penalty" or "l2_ball"
        Subtract lambda ||I||^2, or keep ||I|| at most ``settings.radius`` (Le et al. 2012).
    settings, seed, progress : as for ``class_model``

    Returns
    -------
    model : ClassModel

    Raises
    ------
    MinicnnError
        If the constraint, the layer or the unit is unknown, or the gradient vanishes at the start.

    """
    if constraint not in ("l2_penalty", "l2_ball"):
        raise MinicnnError(f"constraint: expected 'l2_penalty' or 'l2_ball', got {constraint!r}")
    dy = unit_cotangent(net.forward(_zero(net), upto=layer), unit)
    x, found = _climbed(net, layer, dy, settings, seed, progress, ball=constraint == "l2_ball")
    return ClassModel(_picture(net, x), x[0], int(np.atleast_1d(unit)[0]), None, None, *found)


def _climbed(net, layer, dy, settings, seed, progress, ball=False):
    there = send(dy, net.device)  # once for all steps

    def value_and_gradient(x):
        y, tape = net.trace(x, upto=layer)
        return float(y[dy != 0].sum()), net.backward(tape, there)

    zero, limits = _zero(net), _limits(net)
    settings = (settings or Ascent()).resolved(zero.shape[1:])
    x, *found = gradient_ascent(value_and_gradient, zero, settings, limits, ball, seed, progress)
    return x, [*found, settings]


def _zero(net: Network) -> np.ndarray:
    if net.input_shape is None:
        raise MinicnnError(f"{net.name}: has no input_shape, so that there is no zero image to start from")
    return np.zeros((1, *net.input_shape), np.float32)


def _limits(net: Network) -> tuple[np.ndarray, np.ndarray] | None:
    """Input values of black and white, for clipping."""
    if net.preprocess is None:
        return None
    plain = replace(net.preprocess, invert=False)
    black, white = (plain(np.full((*plain.size, 3), value, np.uint8))[0] for value in (0, 255))
    return black, white


def _picture(net: Network, x: np.ndarray) -> np.ndarray | None:
    return None if net.preprocess is None else net.preprocess.to_image(x[0])
