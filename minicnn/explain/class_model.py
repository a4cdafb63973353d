"""Class models: the image that maximises a class score, and the same for any unit of any layer.

    maximise over I:  S_c(I) - lambda ||I||_2^2                                  (paper, equation 1)

by gradient ascent with the weights fixed, from the zero image; the mean is added to show the result, and its
contrast is stretched.  ``style="natural"`` is later work, see ``natural/ascent.py``.  u is the unit of the inputs:
1 where their standard deviation is 1, 78 where they go from 0 to 255.

| | the paper | here |
|---|---|---|
| score | S_c, never the softmax probability | the same |
| start | the zero image (data are zero-centred) | the same; random restarts on request |
| lambda | silent | 1.4 / sqrt(C H W) / u^2: 0.05 for 1 x 28 x 28, 0.0036 for 3 x 224 x 224 where u is 1 |
| step, steps | silent | 0.05 u (root mean square) at first, falling to 0; 200 |
| jitter, blur, total variation, clipping, coarse-to-fine | of later work, not in it | off unless asked for |
| ball instead of penalty, random starts | older (Le et al. 2012, Erhan et al. 2009), not in it | off |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minicnn._utils.types import Progress
from minicnn.errors import MinicnnError
from minicnn.explain.gradient_ascent import Ascent, AscentResult, Objective, gradient_ascent
from minicnn.explain.natural.ascent import NaturalAscent, natural_ascent
from minicnn.explain.natural.prior import Canvas
from minicnn.explain.outputs.classifier import as_classifier
from minicnn.explain.prediction import class_index, class_label, mean_probabilities
from minicnn.images import Preprocess
from minicnn.images.contrast import stretch_contrast
from minicnn.images.input_range import input_limits, input_unit
from minicnn.images.preprocess import COLOURS
from minicnn.kernels import send
from minicnn.kernels.reference import softmax
from minicnn.layers import Softmax
from minicnn.network import Network
from minicnn.network.targets import unit_cotangent

__all__ = ["STYLES", "ClassModel", "class_model", "maximise"]

STYLES: dict[str, type[Ascent] | type[NaturalAscent]] = {"paper": Ascent, "natural": NaturalAscent}


@dataclass(frozen=True, eq=False)
class ClassModel:
    """An optimised image and how it was reached.

    Attributes
    ----------
    image : uint8 array of shape (H, W, 3), the picture (of more channels three); None of signals
        The paper's style adds the mean and stretches the contrast; the natural picture is as the network sees it.
    shown : (black, white), the pixel values that the stretched picture shows as 0 and 255; None if not stretched
    in_input_units : bool, whether ``shown`` is values of the input, as the network has no ``preprocess``
    x : float32 array of shape (C, H, W), the network's input
    target : int, the class, or the unit's channel
    label : str or None
    probability : float, the class's softmax probability at x; None for other layers
    scores : floats, the maximised value before each step and after the last
    gradient_norms : floats, the norm of its gradient at the same places
    stopped : str, "steps done", or why it ended earlier
    settings : Ascent, without None, or NaturalAscent

    See Also
    --------
    minicnn.explain.class_model : what returns it, with an example

    """

    image: np.ndarray | None
    shown: tuple[float, float] | None
    x: np.ndarray
    target: int
    label: str | None
    probability: float | None
    scores: list[float]
    gradient_norms: list[float]
    stopped: str
    settings: Ascent | NaturalAscent
    in_input_units: bool = False

    @property
    def style(self) -> str:
        """The style that its settings belong to."""
        return "natural" if isinstance(self.settings, NaturalAscent) else "paper"


def class_model(
    net: Network,
    target: int | str,
    *,
    style: str = "paper",
    settings: Ascent | NaturalAscent | None = None,
    seed: int = 0,
    progress: Progress = iter,
) -> ClassModel:
    """Class model visualisation: argmax over I of S_c(I) - lambda ||I||^2 (paper, equation 1).

    Parameters
    ----------
    net : Network with an ``input_shape``
    target : int or str, the class, by number or label
    style : "paper" or "natural"
        Equation 1 from the zero image, or what later work found: a picture with the spectrum and the colours of
        photographs, looked at shifted, turned and scaled.
    settings : Ascent, or NaturalAscent for the natural style; optional
    seed : int, of whatever is random
    progress : wraps the range of steps, as ``tqdm.tqdm`` does

    Returns
    -------
    model : ClassModel

    Raises
    ------
    MinicnnError
        If there is no such class or style, settings are of the other style, the network has no input shape, or the
        gradient vanishes at the start.

    See Also
    --------
    maximise : the same for any unit of any layer

    References
    ----------
    .. [1] Simonyan, Vedaldi, Zisserman 2013, "Deep inside convolutional networks: visualising image classification
       models and saliency maps", section 2, equation 1.
    .. [2] Olah, Mordvintsev, Schubert 2017, "Feature visualization", Distill.
    .. [3] Mordvintsev, Pezzotti, Schubert, Olah 2018, "Differentiable image parameterizations", Distill.
    .. [4] Mordvintsev, Olah, Tyka 2015, "Inceptionism: going deeper into neural networks".
    .. [5] Yosinski et al. 2015, "Understanding neural networks through deep visualization".
    .. [6] Mahendran, Vedaldi 2016, "Visualizing deep convolutional neural networks using natural pre-images".
    .. [7] Øygard 2015, "Visualizing GoogLeNet classes".

    Examples
    --------
    >>> import minicnn
    >>> model = class_model(minicnn.load("digits"), "3", settings=Ascent(steps=30))
    >>> model.label, model.image.shape, model.scores[-1] > model.scores[0]
    ('3', (28, 28, 3), True)
    >>> natural = class_model(minicnn.load("digits"), "3", style="natural", settings=NaturalAscent(steps=30))
    >>> natural.label, natural.style, natural.shown
    ('3', 'natural', None)

    """
    net = as_classifier(net)
    # the zero image's scores only tell how many classes there are
    scores = net(_zero(net))
    c = class_index(net, target, scores.shape[1])
    settings = _choose_settings(net, style, settings)
    ascent = _ascend(_Maximised(net, None, net.cotangent(scores, c)), settings, seed, progress)
    # the softmax is looked at when the ascent is over; what ascends is the score
    probability = float(mean_probabilities(net, net(ascent.x))[c])
    return _class_model(net, ascent, settings, c, class_label(net, c), probability)


def maximise(
    net: Network,
    layer: str | None,
    unit: int | tuple[int, ...],
    constraint: str = "l2_penalty",
    *,
    style: str = "paper",
    settings: Ascent | NaturalAscent | None = None,
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
        Subtract lambda ||I||^2, or keep ||I|| at most ``settings.radius`` (Le et al. 2012); the natural style
        has no use for a ball, its pictures are bound by the photographs' spectrum.
    style, settings, seed, progress : as for ``class_model``

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
    if constraint == "l2_ball" and style == "natural":
        raise MinicnnError("constraint: 'l2_ball' belongs to style 'paper'")
    net = as_classifier(net) if layer is None else net
    dy = unit_cotangent(net.forward(_zero(net), upto=layer), unit)
    settings = _choose_settings(net, style, settings)
    ascent = _ascend(_Maximised(net, layer, dy, constraint == "l2_ball"), settings, seed, progress)
    return _class_model(net, ascent, settings, int(np.atleast_1d(unit)[0]))


def _choose_settings(net: Network, style: str, settings: Ascent | NaturalAscent | None) -> Ascent | NaturalAscent:
    """Return the settings of a style, without None; raise if they are of the other, or there is no such style."""
    if style not in STYLES:
        raise MinicnnError(f"style: expected {' or '.join(map(repr, STYLES))}, got {style!r}")
    kind = STYLES[style]
    settings = kind() if settings is None else settings
    if not isinstance(settings, kind):
        raise MinicnnError(
            f"style {style!r}: expected settings of type {kind.__name__}, got {type(settings).__name__}"
        )
    return (
        settings.in_units(_input_shape(net), input_unit(net.preprocess))
        if isinstance(settings, Ascent)
        else settings
    )


class _Maximised(NamedTuple):
    """What is maximised: the sum of a layer's outputs where dy is not 0; ``ball`` bounds the norm."""

    net: Network
    layer: str | None
    dy: np.ndarray
    ball: bool = False


def _ascend(
    maximised: _Maximised, settings: Ascent | NaturalAscent, seed: int, progress: Progress
) -> AscentResult:
    net, layer, dy, ball = maximised
    sent = send(dy, net.device)  # once for all steps
    # rivals are classes that exclude this one; units of layers have none
    has_rivals = layer is None and isinstance(net.posterior, Softmax)
    temperature = settings.temperature if isinstance(settings, NaturalAscent) and has_rivals else None

    def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        y, tape = net.trace(x, upto=layer)
        # dy is 1 at the units that are maximised and 0 elsewhere: the value is <dy, y>, whose gradient is returned
        up = sent if temperature is None else send(dy - softmax(y / temperature), net.device)
        return float(y[dy != 0].sum()), net.backward(tape, up)

    if isinstance(settings, NaturalAscent):
        return natural_ascent(value_and_gradient, Canvas(net), settings, seed, progress)
    limits = None if net.preprocess is None else input_limits(net.preprocess)
    objective = Objective(value_and_gradient, _zero(net), limits, ball, input_unit(net.preprocess))
    return gradient_ascent(objective, settings, seed, progress)


def _class_model(
    net: Network,
    ascent: AscentResult,
    settings: Ascent | NaturalAscent,
    target: int,
    label: str | None = None,
    probability: float | None = None,
) -> ClassModel:
    image, shown = _draw(net.preprocess, ascent.x[0], stretched=isinstance(settings, Ascent))
    return ClassModel(
        image=image,
        shown=shown,
        x=ascent.x[0],
        target=target,
        label=label,
        probability=probability,
        scores=ascent.values,
        gradient_norms=ascent.gradient_norms,
        stopped=ascent.stopped,
        settings=settings,
        in_input_units=net.preprocess is None,
    )


def _draw(
    preprocess: Preprocess | None, x: np.ndarray, stretched: bool
) -> tuple[np.ndarray | None, tuple[float, float] | None]:
    """Return the picture of an input and, where its contrast is stretched, its black and white."""
    if x.ndim != 3:
        return None, None
    if preprocess is None:
        depth, height, width = x.shape
        neutral: dict[str, Any] = {"mean": (0.0,) * depth, "std": (1.0,) * depth, "scale": 1.0}
        preprocess = Preprocess((height, width), channels=COLOURS.get(depth) or depth, **neutral)
    return stretch_contrast(preprocess, x) if stretched else (preprocess.to_image(x), None)


def _input_shape(net: Network) -> tuple[int, ...]:
    if net.input_shape is None:
        raise MinicnnError(f"{net.name}: has no input_shape, so that there is no zero image to start from")
    return net.input_shape


def _zero(net: Network) -> np.ndarray:
    return np.zeros((1, *_input_shape(net)), np.float32)
