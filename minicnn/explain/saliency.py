"""Class saliency maps: which pixels have to change least for the class score to change most."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from minicnn._utils.types import ImageLike
from minicnn.errors import DeviceMemoryError, MinicnnError
from minicnn.explain.attribution_maps import max_abs_over_channels
from minicnn.explain.outputs.classifier import Region, as_classifier, classifier_of_region
from minicnn.explain.prediction import class_index, class_label, load_views, mean_probabilities
from minicnn.explain.smooth_gradient import smooth_gradients
from minicnn.images import PlacedMaps, View
from minicnn.network import Network
from minicnn.rules import Rule, as_rule

__all__ = ["ChooseClasses", "MapSettings", "Saliency", "choose_named", "choose_top", "saliencies", "saliency"]


@dataclass(frozen=True, eq=False)
class Saliency:
    """A saliency map and what it is the map of.

    Attributes
    ----------
    placed : PlacedMaps, the views' maps at the network's scale; ``placed.at(size)`` draws them at any size
    target : int, the class
    label : str, or None if the network has no labels
    score : float, the unnormalised class score, mean over the views
    probability : float, the class's softmax probability, mean over the views
    gradient : float32 array of shape (V, C, h, w), the gradient of each view in the network's coordinates
    views : list of V ``View``, where in the image each gradient belongs
    rule, crops : as asked for
    view_count : int, over how many views score and probability are means; the map may be of others

    See Also
    --------
    minicnn.explain.saliency : what returns it, with an example

    """

    placed: PlacedMaps
    target: int
    label: str | None
    score: float
    probability: float
    gradient: np.ndarray
    views: list[View]
    rule: str
    crops: str
    view_count: int = 1

    @cached_property
    def map(self) -> np.ndarray:
        """Map of the whole image, computed when first asked for: float32 (H, W), >= 0; 0 where no view looked."""
        return self.placed.at()


def saliency(
    net: Network,
    image: ImageLike,
    target: int | str | None = None,
    crops: str = "ten",
    rule: str | Rule = "gradient",
    of: str = "score",
    region: Region | None = None,
) -> Saliency:
    """Image-specific class saliency map.

    w = dS_c / dI at the image (paper, equation 2); M_ij = |w_ij| for a grey image, M_ij = max_c |w_cij| for one
    of several channels (equation 3); the mean over ten sub-images, each put back at its place (section 3).

    Parameters
    ----------
    net : Network with a ``preprocess``
    image : path, PIL.Image, or uint8 array of shape (H, W, 3)
    target : int or str, optional
        The class, by number or label; the most probable one, mean over the views, unless given.
    crops : "ten", "one" or "whole"
        Four corners and the centre, each with its mirror image; the centre alone; or the whole picture warped
        to the input's shape, for pictures that are far from square.
    rule : "gradient", "deconvnet", "guided", or a ``minicnn.rules.Rule`` of your own
        The paper's map is the gradient's.
    of : "score" or "probability"
        The paper's map is the score's; "probability" is Baehrens et al. 2010.
    region : (x, y), or (xmin, ymin, xmax, ymax), optional
        For a network of maps: where in the picture the class is scored, a pixel or a box; everywhere unless given.

    Returns
    -------
    saliency : Saliency

    Raises
    ------
    ImageError
        If the image can't be read.
    MinicnnError
        If the class, the crops or the rule is unknown, the network has no preprocessing, or a score is no finite
        number.

    Warns
    -----
    UserWarning
        If the gradient is zero at every pixel, so that the map says nothing.

    See Also
    --------
    saliencies : of several classes from one forward pass
    minicnn.explain.attribution : maps by other methods

    References
    ----------
    .. [1] Simonyan, Vedaldi, Zisserman 2013, "Deep inside convolutional networks: visualising image classification
       models and saliency maps", section 3.
    .. [2] Baehrens et al. 2010, "How to explain individual classification decisions".

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.io import catalogue
    >>> map = saliency(minicnn.load("digits"), catalogue.folder("images") / "seven.png")
    >>> map.label, map.map.shape, map.gradient.shape
    ('7', (280, 280), (1, 1, 28, 28))

    """
    net = classifier_of_region(net, image, crops, region)
    choose = choose_top(1) if target is None else choose_named(net, [target])
    (map,) = saliencies(net, image, choose, MapSettings(crops=crops, rule=rule, of=of))
    if not map.gradient.any():
        warnings.warn(
            f"the gradient of the {of} of class {map.target} vanishes at this image, so that its map is zero "
            "everywhere and says nothing of it",
            stacklevel=2,
        )
    return map


ChooseClasses: TypeAlias = Callable[[np.ndarray], Sequence[int]]  # mean probabilities (K,) -> classes to explain


def choose_top(count: int) -> ChooseClasses:
    """Choose so many of the most probable classes, best first.

    Examples
    --------
    >>> import numpy as np
    >>> choose_top(2)(np.array([0.2, 0.1, 0.7]))
    [2, 0]

    """

    def choose(probabilities: np.ndarray) -> list[int]:
        if not 1 <= count <= len(probabilities):
            raise MinicnnError(f"targets: expected 1 to {len(probabilities)} classes, got {count}")
        return [int(c) for c in np.argsort(-probabilities, kind="stable")[:count]]

    return choose


def choose_named(net: Network, targets: Iterable[int | str]) -> ChooseClasses:
    """Choose these classes, by number or label, whatever their probability.

    Raises
    ------
    MinicnnError
        If there is no such class: here, before the network runs, where it has labels.

    """
    named = list(targets)
    if net.labels is not None:
        named = [class_index(net, target, len(net.labels)) for target in named]
    return lambda probabilities: [class_index(net, target, len(probabilities)) for target in named]


@dataclass(frozen=True)
class MapSettings:
    """How saliency maps are made; the defaults are the paper's.

    Parameters
    ----------
    crops, rule, of : as for ``saliency``
    samples, noise, squared : of SmoothGrad, see ``smooth_gradients``; 0 samples: the gradient itself
    scored : "one", "ten" or another kind of crops, optional
        For SmoothGrad: the views that scores and probabilities are of, where they are not the map's.

    """

    crops: str = "ten"
    rule: str | Rule = "gradient"
    of: str = "score"
    samples: int = 0
    noise: float = 0.15
    squared: bool = False
    scored: str | None = None


def saliencies(
    net: Network, image: ImageLike, choose: ChooseClasses, settings: MapSettings | None = None
) -> list[Saliency]:
    """Saliency maps of several classes from one forward pass.

    Parameters
    ----------
    net : Network with a ``preprocess``
    image : path, PIL.Image, or uint8 array of shape (H, W, 3)
    choose : ``choose_top(count)``, ``choose_named(net, targets)``, or another function from the classes' mean
        probabilities (K,) to classes
    settings : MapSettings, optional

    Returns
    -------
    saliencies : list of Saliency, in the order of the classes

    Raises
    ------
    ImageError, MinicnnError
        As for ``saliency``.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.io import catalogue
    >>> net, seven = minicnn.load("digits"), catalogue.folder("images") / "seven.png"
    >>> [map.label for map in saliencies(net, seven, choose_named(net, [7, "1"]))]
    ['7', '1']

    """
    net, settings = as_classifier(net), settings or MapSettings()
    x, views = load_views(net, image, settings.crops)
    if settings.samples:
        scores, classes, gradients = _smooth_gradients(net, image, x, choose, settings)
    else:
        scores, classes, gradients = _gradients(net, x, choose, settings)
    probabilities = mean_probabilities(net, scores)
    return [
        Saliency(
            placed=PlacedMaps(max_abs_over_channels(gradient), views),
            target=c,
            label=class_label(net, c),
            score=float(scores[:, c].mean()),
            probability=float(probabilities[c]),
            gradient=gradient,
            views=views,
            rule=as_rule(settings.rule).name,
            crops=settings.crops,
            view_count=len(scores),
        )
        for c, gradient in zip(classes, gradients, strict=True)
    ]


Gradients: TypeAlias = tuple[
    np.ndarray, list[int], list[np.ndarray]
]  # scores (V, K), classes, one (V, C, H, W) each


def _smooth_gradients(
    net: Network, image: ImageLike, x: np.ndarray, choose: ChooseClasses, settings: MapSettings
) -> Gradients:
    # class and score may come from other crops than the map
    scored = x if settings.scored is None else load_views(net, image, settings.scored)[0]
    scores = np.concatenate([net(view[None]) for view in scored])
    classes = list(choose(mean_probabilities(net, scores)))
    samples, noise, squared = settings.samples, settings.noise, settings.squared
    gradients = smooth_gradients(
        net, x, classes, samples=samples, noise=noise, squared=squared, rule=settings.rule
    )
    return scores, classes, gradients


def _gradients(net: Network, x: np.ndarray, choose: ChooseClasses, settings: MapSettings) -> Gradients:
    """Return scores, classes and their gradients; the tapes of all views are held, if they fit."""
    try:
        traced = [net.trace(view[None]) for view in x]
        scores = np.concatenate([y for y, _ in traced])
        classes = list(choose(mean_probabilities(net, scores)))
        return scores, classes, [_backward(net, traced, c, settings) for c in classes]
    except DeviceMemoryError:
        pass
    # only here, behind the handler, has Python let go of the tapes: each class makes them anew, one at a time
    scores = np.concatenate([net(view[None]) for view in x])
    classes = list(choose(mean_probabilities(net, scores)))
    return scores, classes, [_backward(net, (net.trace(view[None]) for view in x), c, settings) for c in classes]


def _backward(net: Network, traced: Iterable[tuple[np.ndarray, Any]], c: int, settings: MapSettings) -> np.ndarray:
    # a generator, so that where ``traced`` makes the tapes one by one they are not all held
    dy_and_tape = ((net.cotangent(y, c, settings.of), tape) for y, tape in traced)
    return np.concatenate([net.backward(tape, dy, settings.rule) for dy, tape in dy_and_tape])
