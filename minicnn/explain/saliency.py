"""Class saliency maps: which pixels have to change least for the class score to change most."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from minicnn.errors import DeviceMemoryError, MinicnnError
from minicnn.explain.attribution_maps import max_abs_over_channels
from minicnn.explain.prediction import class_index, label_of, posterior, views_of
from minicnn.explain.smooth_gradient import smooth_gradients
from minicnn.images import View, average_views
from minicnn.network import Network

__all__ = ["Saliency", "saliencies", "saliency"]


@dataclass(frozen=True, eq=False)
class Saliency:
    """A saliency map and what it is the map of.

    Attributes
    ----------
    map : float32 array of shape (H, W) of the original image, not negative; 0 where no view looked
    target : int, the class
    label : str, or None if the network has no labels
    score : float, the unnormalised class score, mean over the views
    probability : float, the class's softmax probability, mean over the views
    gradient : float32 array of shape (V, C, h, w), the gradient of each view in the network's coordinates
    views : list of V ``View``, where in the image each gradient belongs
    rule, crops : as asked for

    """

    map: np.ndarray
    target: int
    label: str | None
    score: float
    probability: float
    gradient: np.ndarray
    views: list[View]
    rule: str
    crops: str


def saliency(
    net: Network,
    image,
    target: int | str | None = None,
    crops: str = "ten",
    rule: str = "gradient",
    of: str = "score",
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
    rule : "gradient", "deconvnet" or "guided"
        The paper's map is the gradient's.
    of : "score" or "probability"
        The paper's map is the score's; "probability" is Baehrens et al. 2010.

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

    """
    (found,) = saliencies(net, image, None if target is None else [target], crops, rule, of)
    if not found.gradient.any():
        warnings.warn(
            f"the gradient of the {of} of class {found.target} vanishes at this image, so that its map is zero "
            "everywhere and says nothing of it",
            stacklevel=2,
        )
    return found


def saliencies(
    net: Network,
    image,
    targets: Sequence[int | str] | int | Callable[[np.ndarray], Sequence[int]] | None = None,
    crops: str = "ten",
    rule: str = "gradient",
    of: str = "score",
    samples: int = 0,
    noise: float = 0.15,
    squared: bool = False,
    scored: str | None = None,
) -> list[Saliency]:
    """Saliency maps of several classes from one forward pass.

    Parameters
    ----------
    targets : classes, by number or label; or how many of the most probable, mean over the views; None for one;
        or a function that is given the classes' mean probabilities (K,) and returns classes
    samples, noise, squared : of SmoothGrad, see ``smooth_gradients``; 0 samples: the plain gradient
    scored : "one", "ten" or another kind of crops, optional
        For SmoothGrad: the views that scores and probabilities are of, where they are not the map's.
    net, image, crops, rule, of : as for ``saliency``

    Returns
    -------
    saliencies : list of Saliency, in the order of ``targets``, or the best class first

    """
    if samples:
        how = {"samples": samples, "noise": noise, "squared": squared, "rule": rule}
        return _smooth_saliencies(net, image, targets, crops, scored or crops, how)
    x, views = views_of(net, image, crops)
    scores, gradients = _gradients(net, x, targets, rule, of)
    return [_of_class(net, g, scores, views, c, rule, crops) for c, g in gradients]


def _smooth_saliencies(net, image, targets, crops, scored, how) -> list[Saliency]:
    scores = np.concatenate([net(view[None]) for view in views_of(net, image, scored)[0]])
    x, views = views_of(net, image, crops)
    classes = _classes(net, scores, targets)
    gradients = smooth_gradients(net, x, classes, **how)
    pairs = zip(classes, gradients, strict=True)
    return [_of_class(net, g, scores, views, c, how["rule"], crops) for c, g in pairs]


def _gradients(net: Network, x: np.ndarray, targets, rule: str, of: str):
    """Return the views' scores (V, K), and (class, gradient) pairs; all views' tapes are held, if they fit."""
    try:
        traced = [net.trace(view[None]) for view in x]
        scores = np.concatenate([y for y, _ in traced])
        return scores, [(c, _gradient(net, traced, c, rule, of)) for c in _classes(net, scores, targets)]
    except DeviceMemoryError:
        pass
    # only here has Python let go of the tapes: each class makes them anew, one at a time
    scores = np.concatenate([net(view[None]) for view in x])
    tapes = ((c, (net.trace(view[None]) for view in x)) for c in _classes(net, scores, targets))
    return scores, [(c, _gradient(net, one_by_one, c, rule, of)) for c, one_by_one in tapes]


def _classes(net: Network, scores: np.ndarray, targets) -> list[int]:
    if callable(targets):
        return list(targets(posterior(scores)))
    if targets is None or isinstance(targets, int):
        count = 1 if targets is None else targets
        if not 1 <= count <= scores.shape[1]:
            raise MinicnnError(f"targets: expected 1 to {scores.shape[1]} classes, got {count}")
        return [int(c) for c in np.argsort(-posterior(scores), kind="stable")[:count]]
    return [class_index(net, target, scores.shape[1]) for target in targets]


def _gradient(net, traced, c, rule, of) -> np.ndarray:
    return np.concatenate([net.backward(tape, net.cotangent(y, c, of), rule) for y, tape in traced])


def _of_class(net, gradient, scores, views, c, rule, crops) -> Saliency:
    return Saliency(
        map=average_views(max_abs_over_channels(gradient), views),
        target=c,
        label=label_of(net, c),
        score=float(scores[:, c].mean()),
        probability=float(posterior(scores)[c]),
        gradient=gradient,
        views=views,
        rule=rule,
        crops=crops,
    )
