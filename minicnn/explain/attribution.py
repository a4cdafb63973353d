"""Maps of an image by any method of ``minicnn.explain.methods``, for comparison with the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from minicnn._utils.types import ImageLike, Progress
from minicnn.explain.attribution_maps import AttributionMaps
from minicnn.explain.methods import complete_settings, get_method
from minicnn.explain.outputs.classifier import Region, classifier_of_region
from minicnn.explain.prediction import class_label, load_views, mean_probabilities
from minicnn.explain.saliency import choose_named, choose_top
from minicnn.images import PlacedMaps, View
from minicnn.network import Network

__all__ = ["Attribution", "attribution", "input_maps", "maps_by_method"]


@dataclass(frozen=True, eq=False)
class Attribution:
    """A map of one class by one method.

    Attributes
    ----------
    placed, placed_signed : PlacedMaps, the views' maps at the network's scale, and the same with their signs
    target, label, score, probability, views, crops, view_count : as of ``Saliency``
    method : str, a name of ``minicnn.explain.methods.METHODS``
    settings : dict, every setting of the method
    facts : dict of what else the method reports: of integrated gradients "score change" and "completeness error",
        means over the views

    See Also
    --------
    minicnn.explain.attribution : what returns it, with an example

    """

    placed: PlacedMaps
    placed_signed: PlacedMaps
    target: int
    label: str | None
    score: float
    probability: float
    views: list[View]
    crops: str
    method: str
    settings: dict[str, Any]
    facts: dict[str, float]

    @cached_property
    def map(self) -> np.ndarray:
        """Map of the whole image, computed when first asked for: float32 (H, W), >= 0; 0 where no view looked."""
        return self.placed.at()

    @cached_property
    def signed(self) -> np.ndarray:
        """The same with its sign."""
        return self.placed_signed.at()

    @property
    def view_count(self) -> int:
        """Over how many views score and probability are means."""
        return len(self.views)


def attribution(
    net: Network,
    image: ImageLike,
    target: int | str | None = None,
    method: str = "integrated-gradients",
    crops: str | None = None,
    *,
    region: Region | None = None,
    progress: Progress = iter,
    **settings: Any,
) -> Attribution:
    """Map of one class by a method of ``minicnn.explain.methods``, for comparison with the paper's.

    Parameters
    ----------
    net : Network with a ``preprocess``
    image : path, PIL.Image, or uint8 array of shape (H, W, 3)
    target : int or str, optional
        The class, by number or label; the most probable one, mean over the views, unless given.
    method : str
        "integrated-gradients", "grad-cam", ...: a name of ``minicnn.explain.methods.METHODS``.
    crops : "one", "ten" or "whole", as for ``saliency``
        None: "whole" of Grad-CAM and where there is a ``region``, "one" of the others, whose authors look once.
    region : for a network of maps, as for ``saliency``
    progress : wraps the range of steps of a method that takes many
    **settings : of the method, see its entry

    Returns
    -------
    attribution : Attribution

    Raises
    ------
    ImageError
        If the image can't be read.
    MinicnnError
        If the class, the crops, the method or a setting is unknown or out of range.

    See Also
    --------
    minicnn.explain.saliency : the paper's map, with the gradient it is made of

    Notes
    -----
    What each method shows at a pixel: the gradient by the three rules and SmoothGrad the largest |w| over the
    channels (paper, equation 3); gradient x input and integrated gradients |sum over the channels|; Grad-CAM and
    occlusion what is positive.  The publications are with the entries.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.io import catalogue
    >>> seven = catalogue.folder("images") / "seven.png"
    >>> cam = attribution(minicnn.load("digits"), seven, method="grad-cam")
    >>> cam.label, cam.map.shape, cam.settings
    ('7', (280, 280), {'layer': 'conv_layers.7'})

    """
    crops = crops or ("whole" if region is not None else get_method(method).crops)
    net = classifier_of_region(net, image, crops, region)
    choose = choose_top(1) if target is None else choose_named(net, [target])
    x, views = load_views(net, image, crops)
    settings = complete_settings(net, method, x.shape[1:], settings)
    # (V, K)
    scores = np.concatenate([net(view[None]) for view in x])
    probability = mean_probabilities(net, scores)
    (c,) = choose(probability)
    maps = input_maps(net, x, c, method, settings, progress)
    return Attribution(
        placed=PlacedMaps(maps.map, views),
        placed_signed=PlacedMaps(maps.signed, views),
        target=c,
        label=class_label(net, c),
        score=float(scores[:, c].mean()),
        probability=float(probability[c]),
        views=views,
        crops=crops,
        method=method,
        settings=settings,
        facts=maps.facts,
    )


def input_maps(
    net: Network,
    x: np.ndarray,
    target: int,
    method: str,
    settings: Mapping[str, Any],
    progress: Progress = iter,
) -> AttributionMaps:
    """Return the maps of inputs x (V, C, H, W) by a method, its settings complete."""
    return get_method(method).function(net, x, target, progress=progress, **settings)


def maps_by_method(
    net: Network, x: np.ndarray, target: int, methods: Mapping[str, Mapping[str, Any]]
) -> dict[str, AttributionMaps]:
    """Return the maps by several methods, {name: complete settings}; the rules share one forward pass."""
    rules = {name: rule for name in methods if (rule := get_method(name).rule) is not None}
    # the tape does not depend on the rule: one forward pass of each view serves all of them
    traced = [net.trace(view[None]) for view in x] if rules else []
    maps = {}
    for name, settings in methods.items():
        if name in rules:
            gradients = [net.backward(tape, net.cotangent(y, target), rules[name]) for y, tape in traced]
            maps[name] = AttributionMaps.from_gradient(np.concatenate(gradients))
        else:
            maps[name] = input_maps(net, x, target, name, settings)
    return maps
