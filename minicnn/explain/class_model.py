"""Class models: the image that maximises a class score, and the same for any unit of any layer.

    maximise over I:  S_c(I) - lambda ||I||_2^2                                  (paper, equation 1)

by gradient ascent with the weights fixed, from the zero image; the mean is added to show the result.

| | the paper | here |
|---|---|---|
| score | S_c, never the softmax probability | the same |
| start | the zero image (data are zero-centred) | the same; random restarts on request |
| lambda | silent | 1.4 / sqrt(C H W): 0.05 for 1 x 28 x 28, 0.0036 for 3 x 224 x 224 |
| step, steps | silent | 0.05 input units (root mean square) at first, falling to 0; 200 |
| jitter, blur, total variation, clipping, coarse-to-fine | of later work, not in it | off unless asked for |
| ball instead of penalty, random starts | older (Le et al. 2012, Erhan et al. 2009), not in it | off |
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from minicnn._utils.types import Progress
from minicnn.errors import MinicnnError
from minicnn.explain.gradient_ascent import Ascent, AscentResult, Objective, gradient_ascent
from minicnn.explain.prediction import class_index, class_label, mean_probabilities
from minicnn.kernels import send
from minicnn.network import Network
from minicnn.network.targets import unit_cotangent

__all__ = ["ClassModel", "class_model", "maximise"]


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
    settings : Ascent, its lambda a number

    See Also
    --------
    minicnn.explain.class_model : what returns it, with an example

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
    settings : Ascent, optional
    seed : int, of jitter and restarts
    progress : wraps the range of steps, as ``tqdm.tqdm`` does

    Returns
    -------
    model : ClassModel

    Raises
    ------
    MinicnnError
        If there is no such class, the network has no input shape, or the gradient vanishes at the start.

    See Also
    --------
    maximise : the same for any unit of any layer

    References
    ----------
    .. [1] Simonyan, Vedaldi, Zisserman 2013, "Deep inside convolutional networks: visualising image classification
       models and saliency maps", section 2, equation 1.

    Examples
    --------
    >>> import minicnn
    >>> model = class_model(minicnn.load("digits"), "3", settings=Ascent(steps=30))
    >>> model.label, model.image.shape, model.scores[-1] > model.scores[0]
    ('3', (28, 28, 3), True)

    """
    # the zero image's scores only tell how many classes there are
    scores = net(_zero(net))
    c = class_index(net, target, scores.shape[1])
    settings = (settings or Ascent()).with_penalty(_input_shape(net))
    ascent = gradient_ascent(_objective(net, None, net.cotangent(scores, c)), settings, seed, progress)
    # the softmax is looked at when the ascent is over; what ascends is the score
    probability = float(mean_probabilities(net(ascent.x))[c])
    return _class_model(net, ascent, settings, c, class_label(net, c), probability)


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

    References
    ----------
    .. [1] Erhan, Bengio, Courville, Vincent 2009, "Visualizing higher-layer features of a deep network".
    .. [2] Le et al. 2012, "Building high-level features using large scale unsupervised learning", section 4.3.

    Examples
    --------
    >>> import minicnn
    >>> net = minicnn.load("digits")
    >>> model = maximise(net, "conv_layers.3", (5, 7, 7), "l2_ball", settings=Ascent(steps=10, radius=2.0))
    >>> model.x.shape, round(float((model.x**2).sum() ** 0.5), 3) <= 2.0
    ((1, 28, 28), True)

    """
    if constraint not in ("l2_penalty", "l2_ball"):
        raise MinicnnError(f"constraint: expected 'l2_penalty' or 'l2_ball', got {constraint!r}")
    dy = unit_cotangent(net.forward(_zero(net), upto=layer), unit)
    settings = (settings or Ascent()).with_penalty(_input_shape(net))
    ascent = gradient_ascent(_objective(net, layer, dy, constraint == "l2_ball"), settings, seed, progress)
    return _class_model(net, ascent, settings, int(np.atleast_1d(unit)[0]))


def _objective(net: Network, layer: str | None, dy: np.ndarray, ball: bool = False) -> Objective:
    """Return the sum of a layer's outputs where dy is not 0, as what is maximised."""
    sent = send(dy, net.device)  # once for all steps

    def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        y, tape = net.trace(x, upto=layer)
        # dy is 1 at the units that are maximised and 0 elsewhere: the value is <dy, y>, whose gradient is returned
        return float(y[dy != 0].sum()), net.backward(tape, sent)

    return Objective(value_and_gradient, _zero(net), _limits(net), ball)


def _class_model(
    net: Network,
    ascent: AscentResult,
    settings: Ascent,
    target: int,
    label: str | None = None,
    probability: float | None = None,
) -> ClassModel:
    return ClassModel(
        image=None if net.preprocess is None else net.preprocess.to_image(ascent.x[0]),
        x=ascent.x[0],
        target=target,
        label=label,
        probability=probability,
        scores=ascent.values,
        gradient_norms=ascent.gradient_norms,
        stopped=ascent.stopped,
        settings=settings,
    )


def _input_shape(net: Network) -> tuple[int, ...]:
    if net.input_shape is None:
        raise MinicnnError(f"{net.name}: has no input_shape, so that there is no zero image to start from")
    return net.input_shape


def _zero(net: Network) -> np.ndarray:
    return np.zeros((1, *_input_shape(net)), np.float32)


def _limits(net: Network) -> tuple[np.ndarray, np.ndarray] | None:
    """Input values of black and white, for clipping."""
    if net.preprocess is None:
        return None
    # "auto" would take the white picture for dark strokes on light paper and turn it into black
    preprocess = replace(net.preprocess, invert=False)
    black, white = (preprocess(np.full((*preprocess.size, 3), value, np.uint8))[0] for value in (0, 255))
    return black, white
