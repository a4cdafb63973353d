"""Weakly supervised localisation: from a class, learnt without places, to a box (paper, section 3.2).

| method | map | from the map to a mask |
|---|---|---|
| "consensus" | class activation of two looks at several scales | thirty-two cuts; the box that they agree on |
| "paper" | gradient of the class score, ten crops | seeds, two colour models, one cut |
| "smooth" | SmoothGrad, its squares' mean | seeds; Bayes' rule of map and colour, one cut |

"paper" is the paper's, with what it is silent on well set (``minicnn.explain.localisation.seeded_cut``);
"consensus" is what a user should take (``minicnn.explain.localisation.consensus``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from minicnn._utils.types import ImageLike
from minicnn.errors import MinicnnError
from minicnn.explain.localisation.consensus import ConsensusMethod, ConsensusSettings
from minicnn.explain.localisation.detection import Detection
from minicnn.explain.localisation.seeded_cut import (
    LocalisationMethod,
    MaskSettings,
    object_mask,
    object_pixels,
    object_probability,
    saliency_seeds,
    smooth_map,
)
from minicnn.explain.outputs.classifier import as_classifier
from minicnn.explain.saliency import choose_named, choose_top
from minicnn.images import load_image
from minicnn.network import Network
from minicnn.rules import Rule

__all__ = [
    "DEFAULT_METHOD",
    "LOCALISATION_METHODS",
    "ConsensusMethod",
    "ConsensusSettings",
    "Detection",
    "LocalisationMethod",
    "MaskSettings",
    "configure_method",
    "configure_settings",
    "get_localisation_method",
    "localise",
    "object_mask",
    "object_pixels",
    "object_probability",
    "saliency_seeds",
    "smooth_map",
]

DEFAULT_METHOD = "consensus"

LOCALISATION_METHODS: dict[str, LocalisationMethod | ConsensusMethod] = {
    "consensus": ConsensusMethod(),
    "paper": LocalisationMethod(),
    "smooth": LocalisationMethod(
        MaskSettings(
            background=0.75,
            smoothing=1 / 43,
            foreground_smoothing=1 / 43,
            gamma=90.0,
            working_size=341,
            prior_weight=1.0,
            prior_quantile=0.93,
            components=5,
            background_components=5,
            variance_floor=1.0,
        ),
        crops="pair",
        samples=8,
        squared=True,
        scored="ten",
    ),
}


def get_localisation_method(name: str) -> LocalisationMethod | ConsensusMethod:
    """Return the method of that name; MinicnnError if there is none."""
    if name not in LOCALISATION_METHODS:
        raise MinicnnError(f"method: expected one of {', '.join(LOCALISATION_METHODS)}, got {name!r}")
    return LOCALISATION_METHODS[name]


def localise(
    net: Network,
    image: ImageLike,
    targets: int | Sequence[int | str] = 5,
    crops: str | None = None,
    rule: str | Rule | None = None,
    settings: MaskSettings | ConsensusSettings | None = None,
    method: str | None = None,
) -> list[Detection]:
    """Objects of the given classes, each with its mask and box; training used no boxes.

    Parameters
    ----------
    net : Network with a ``preprocess``
    image : path, PIL.Image, or uint8 array of shape (H, W, 3)
    targets : how many of the most probable classes, or the classes, by number or label
    crops, rule : of the saliency map, instead of the method's; "consensus" has none
    settings : MaskSettings, or ConsensusSettings for "consensus"; instead of the method's
    method : "consensus", "paper" or "smooth", see the table above
        None: "consensus", or "paper" where ``crops``, ``rule`` or its settings are given.

    Returns
    -------
    detections : list of Detection, one a class

    Raises
    ------
    ImageError
        If the image can't be read.
    MinicnnError
        If a class, the crops, the rule or the method is unknown, or a class's map is constant and marks nothing.

    See Also
    --------
    minicnn.explain.segment : the graph cut
    minicnn.explain.evaluate_localisation : how good the boxes are

    References
    ----------
    .. [1] Simonyan, Vedaldi, Zisserman 2013, section 3.2.
    .. [2] Boykov, Jolly 2001, "Interactive graph cuts for optimal boundary and region segmentation of objects in
       N-D images".

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.io import catalogue
    >>> (seven,) = localise(minicnn.load("digits"), catalogue.folder("images") / "seven.png", targets=1)
    >>> seven.label, seven.method, seven.mask.shape
    ('7', 'consensus', (280, 280))

    """
    if method is None:
        of_paper = crops is not None or rule is not None or isinstance(settings, MaskSettings)
        method = "paper" if of_paper else DEFAULT_METHOD
    # what the caller gives comes before what the method has
    given = {"crops": crops, "rule": rule, "settings": settings}
    chosen = configure_method(method, {name: value for name, value in given.items() if value is not None})
    net = as_classifier(net)
    choose = choose_top(targets) if isinstance(targets, int) else choose_named(net, targets)
    detections = chosen.detect(net, load_image(image), choose, method)
    for detection in detections:
        if not detection.mask.any():
            raise MinicnnError(
                "the saliency map is constant, so that it marks neither object nor background; does the class's "
                "gradient vanish at this image?"
            )
    return detections


def configure_settings(name: str, given: Mapping[str, Any]) -> MaskSettings | ConsensusSettings:
    """Return the settings of the method of a name, some of them replaced.

    Raises
    ------
    MinicnnError
        If there is no such method, or its settings have no such field.

    Examples
    --------
    >>> configure_settings("paper", {"gamma": 3.0}).gamma
    3.0

    """
    settings = get_localisation_method(name).settings
    missing = sorted(set(given) - {field.name for field in fields(settings)})
    if missing:
        raise MinicnnError(f"localise: the method {name!r} has no {missing[0]}; paper and smooth have")
    return replace(settings, **given)


def configure_method(name: str, given: Mapping[str, Any]) -> LocalisationMethod | ConsensusMethod:
    """Return the method of a name with some of its settings replaced.

    Raises
    ------
    MinicnnError
        If there is no such method, or it has no such setting.

    """
    method = get_localisation_method(name)
    has = {field.name for field in fields(method)}
    for setting, value in given.items():
        if setting not in has or (setting == "settings" and type(value) is not type(method.settings)):
            other = "paper and smooth have" if isinstance(method, ConsensusMethod) else "consensus has"
            raise MinicnnError(f"localise: the method {name!r} has no such {setting}; {other}")
    return replace(method, **given)
