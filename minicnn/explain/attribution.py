"""Maps of other methods beside the paper's: later work, for comparison, each by its own name.

What each shows at a pixel: the gradient by the three rules and SmoothGrad the largest |w| over the channels (the
paper's equation 3); gradient x input and integrated gradients |sum over the channels|; Grad-CAM and occlusion what
is positive.  Beside it stands the same with its sign: the sum over the channels, or all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.explain.grad_cam import class_activation, enlarged, last_maps
from minicnn.explain.gradient_input import gradient_times_input
from minicnn.explain.integrated_gradients import integrated_gradients
from minicnn.explain.occlusion import occlusion, occlusion_sizes
from minicnn.explain.prediction import class_index, label_of, posterior, views_of
from minicnn.explain.saliency import saliency_of_gradient
from minicnn.explain.smooth_gradient import smooth_gradient
from minicnn.images import View, average_views
from minicnn.network import Network

__all__ = [
    "DEFAULTS",
    "LATER",
    "METHODS",
    "Attribution",
    "Maps",
    "attribution",
    "input_maps",
    "settings_of",
    "several_maps",
]

RULES = ("gradient", "deconvnet", "guided")
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "gradient-x-input": {"rule": "gradient"},
    "smoothgrad": {"samples": 16, "noise": 0.15, "seed": 0, "rule": "gradient", "squared": False},
    "integrated-gradients": {"steps": 50, "baseline": "black"},
    "grad-cam": {"layer": None},
    "occlusion": {"window": None, "stride": None, "fill": 0.0},
}
LATER = tuple(DEFAULTS)
METHODS = (*RULES, *LATER)


class Maps(NamedTuple):
    """Maps of one method in the network's coordinates.

    Attributes
    ----------
    map : float array of shape (V, H, W), not negative
    signed : float array of shape (V, H, W)
    facts : dict of what else the method found: of integrated gradients "score change" and "completeness error",
        means over the views

    """

    map: np.ndarray
    signed: np.ndarray
    facts: dict[str, float]


@dataclass(frozen=True, eq=False)
class Attribution:
    """A map of another method than the paper's and what it is the map of.

    Attributes
    ----------
    map : float32 array of shape (H, W) of the original image, not negative; 0 where no view looked
    signed : float32 array of shape (H, W), the same with its sign
    target, label, score, probability, views, crops : as of ``Saliency``
    method : str, one of ``METHODS``
    settings : dict, every parameter of the method
    facts : dict, see ``Maps``

    """

    map: np.ndarray
    signed: np.ndarray
    target: int
    label: str | None
    score: float
    probability: float
    views: list[View]
    crops: str
    method: str
    settings: dict[str, Any]
    facts: dict[str, float]


Progress = Callable[[range], Iterable[int]]


def attribution(
    net: Network,
    image,
    target: int | str | None = None,
    method: str = "integrated-gradients",
    crops: str = "one",
    *,
    progress: Progress = lambda steps: steps,
    **settings: Any,
) -> Attribution:
    """Map of one class by a method that is not the paper's, for comparison.

    Parameters
    ----------
    net : Network with a ``preprocess``
    image : path, PIL.Image, or uint8 array of shape (H, W, 3)
    target : int or str, optional
        The class, by number or label; the most probable one, mean over the views, unless given.
    method : "gradient-x-input", "smoothgrad", "integrated-gradients", "grad-cam", "occlusion", or a rule's name
    crops : "one", "ten" or "whole", as for ``saliency``; these methods' authors look once
    progress : wraps the range of steps of a method that takes many
    **settings : parameters of the method, see ``DEFAULTS`` and the function of its name

    Returns
    -------
    attribution : Attribution

    Raises
    ------
    ImageError
        If the image can't be read.
    MinicnnError
        If the class, the crops, the method or a setting is unknown or out of range.

    Sources: with each method's function.

    """
    x, views = views_of(net, image, crops)
    settings = settings_of(net, method, x.shape[1:], settings)
    scores = np.concatenate([net(view[None]) for view in x])
    probability = posterior(scores)
    c = int(probability.argmax()) if target is None else class_index(net, target, scores.shape[1])
    found = input_maps(net, x, c, method, settings, progress)
    return Attribution(
        map=average_views(found.map, views),
        signed=average_views(found.signed, views),
        target=c,
        label=label_of(net, c),
        score=float(scores[:, c].mean()),
        probability=float(probability[c]),
        views=views,
        crops=crops,
        method=method,
        settings=settings,
        facts=found.facts,
    )


def settings_of(net: Network, method: str, shape: tuple[int, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter of a method for inputs of ``shape`` (C, H, W): what is given, and the defaults.

    Raises
    ------
    MinicnnError
        If the method is unknown, or has no such parameter.

    """
    if method not in METHODS:
        raise MinicnnError(f"method: expected one of {', '.join(METHODS)}, got {method!r:.80}")
    known = DEFAULTS.get(method, {})
    strange = sorted(set(given) - set(known))
    if strange:
        takes = f"takes {', '.join(known)}" if known else "takes none"
        raise MinicnnError(f"{method}: has no parameter {strange[0]!r:.80}; it {takes}")
    settings = {**known, **given}
    if method == "grad-cam" and settings["layer"] is None:
        settings["layer"] = last_maps(net, shape)
    if method == "occlusion":
        sizes = occlusion_sizes(shape[1:], settings["window"], settings["stride"])
        settings["window"], settings["stride"] = sizes
    return settings


def input_maps(
    net: Network,
    x: np.ndarray,
    target: int,
    method: str,
    settings: Mapping[str, Any],
    progress: Progress = lambda steps: steps,
) -> Maps:
    """Return the maps of inputs x (V, C, H, W) by a method, its settings complete as ``settings_of`` has them."""
    if method in RULES:
        return _of_gradient(np.concatenate([net.input_gradient(view[None], target, method) for view in x]))
    if method == "smoothgrad":
        return _of_gradient(smooth_gradient(net, x, target, **settings, progress=progress))
    if method == "gradient-x-input":
        return _of_shares(gradient_times_input(net, x, target, **settings))
    if method == "integrated-gradients":
        return _integrated(net, x, target, progress, **settings)
    if method == "grad-cam":
        return _of_positive(enlarged(class_activation(net, x, target, **settings), x.shape[2:]))
    return _of_positive(occlusion(net, x, target, **settings, progress=progress))


def several_maps(
    net: Network, x: np.ndarray, target: int, methods: Mapping[str, Mapping[str, Any]]
) -> dict[str, Maps]:
    """Return the maps by several methods, {name: complete settings}; the rules share one forward pass."""
    traced = [net.trace(view[None]) for view in x] if set(methods) & set(RULES) else []

    def one(method: str, settings: Mapping[str, Any]) -> Maps:
        if method not in RULES:
            return input_maps(net, x, target, method, settings)
        gradients = [net.backward(tape, net.cotangent(y, target), method) for y, tape in traced]
        return _of_gradient(np.concatenate(gradients))

    return {method: one(method, settings) for method, settings in methods.items()}


def _integrated(net: Network, x: np.ndarray, target: int, progress: Progress, steps: int, baseline: str) -> Maps:
    if baseline not in ("black", "mean"):
        raise MinicnnError(f"integrated-gradients: baseline: expected 'black' or 'mean', got {baseline!r:.80}")
    start = 0.0 if baseline == "mean" else net.preprocess(np.zeros((*x.shape[2:], 3), np.uint8))
    found = integrated_gradients(net, x, target, steps=steps, baseline=start, progress=progress)
    facts = {"score change": float(found.change.mean()), "completeness error": float(np.abs(found.error).mean())}
    return _of_shares(found.attribution)._replace(facts=facts)


def _of_gradient(gradient: np.ndarray) -> Maps:
    return Maps(saliency_of_gradient(gradient), gradient.sum(axis=1), {})


def _of_shares(shares: np.ndarray) -> Maps:
    signed = shares.sum(axis=1)
    return Maps(np.abs(signed), signed, {})


def _of_positive(signed: np.ndarray) -> Maps:
    return Maps(np.maximum(signed, 0), signed, {})
