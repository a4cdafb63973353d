"""The paper's localisation: seeds from a saliency map, colour models, a graph cut (section 3.2).

| | the paper | here, "paper" |
|---|---|---|
| map | gradient of the class score, ten crops | the same |
| foreground seeds | above the map's 95 % quantile | the same |
| background seeds | below its 30 % quantile | the same |
| smoothing of the map | silent | sigma, in longer sides: background's seeds 0.06, object's 0.01 |
| colour models | Gaussian mixtures | the same, full covariances in L*a*b*, no variance below 30 |
| components | silent | 1 for the object, 8 for the background |
| cut | Boykov, Jolly 2001 | the same; gamma 1, longer side 128; seeds train the models and clamp nothing |
| box | of the largest connected component | the same |

What the paper is silent on was chosen on photographs, cross-validated: docs/measurements/localisation_failures.md.

The method "smooth" is ours, not the paper's.  The map is the root mean square of the gradients at 8 noisy
copies of the whole picture and its mirror image (SmoothGrad).  Background seeds lie below its 75 % quantile, gamma
is 90, and Bayes' rule combines map and colour: the map gives the prior probability that a pixel is the object's
(``object_probability``), so that what shares the object's colour elsewhere stays out.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import partial
from sys import float_info
from typing import TYPE_CHECKING

import numpy as np

from minicnn._utils.types import ImageLike
from minicnn.errors import MinicnnError
from minicnn.explain.localisation.detection import Detection
from minicnn.explain.saliency import ChooseClasses, MapSettings, Saliency, saliencies
from minicnn.images.gaussian_blur import gaussian_blur
from minicnn.images.reduced import reduce_picture
from minicnn.network import Network
from minicnn.rules import Rule
from minicnn.segmentation import colour_model
from minicnn.segmentation.components import largest_component
from minicnn.segmentation.graph_cut import resize_mask, segment

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "LocalisationMethod",
    "MaskSettings",
    "object_mask",
    "object_pixels",
    "object_probability",
    "saliency_seeds",
    "smooth_map",
]


@dataclass(frozen=True)
class MaskSettings:
    """What turns a saliency map into a mask; the defaults are the paper's where it speaks.

    Parameters
    ----------
    foreground, background : float in [0, 1], quantiles of the map; seeds are what lies above and below
    smoothing : float >= 0, sigma of the Gaussian that the map is smoothed with, in parts of the longer side
    foreground_smoothing : float >= 0, the same for the foreground's seeds
    gamma : float >= 0, weight of the boundary
    working_size : int >= 1, longer side in pixels of the picture that is cut
    prior_weight : float >= 0
        How much the map itself counts in the region term, as a prior, see ``object_probability``.  0, the paper's,
        leaves the map to the seeds alone; 1 is Bayes' rule.
    prior_quantile : float in [0, 1], of the map; a pixel of that value is as likely the object's as not
    prior_steepness : float > 0, how fast the probability of the object grows with the map around that value
    components, background_components : int >= 1, of the object's colour model, and of the background's
    variance_floor : float > 0, least variance of a component in any direction, in L*a*b*

    """

    foreground: float = 0.95
    background: float = 0.30
    smoothing: float = 0.06
    foreground_smoothing: float = 0.01
    gamma: float = 1.0
    working_size: int = 128
    prior_weight: float = 0.0
    prior_quantile: float = 0.9
    prior_steepness: float = 3.0
    components: int = 1
    background_components: int = 8
    variance_floor: float = 30.0

    def __post_init__(self) -> None:
        """Refuse quantiles that do not separate, and sizes that can't be meant."""
        for name, low, high in (
            ("smoothing", 0, 1),
            ("foreground_smoothing", 0, 1),
            ("gamma", 0, float_info.max),
            ("prior_weight", 0, float_info.max),
            ("prior_quantile", 0, 1),
            ("prior_steepness", float_info.min, 100),
            ("working_size", 1, 1 << 16),
            ("components", 1, 100),
            ("background_components", 1, 100),
            ("variance_floor", float_info.min, float_info.max),
        ):
            if not low <= getattr(self, name) <= high:
                raise MinicnnError(f"{name}: expected {low} to {high:g}, got {getattr(self, name)}")
        if not 0 <= self.background <= self.foreground <= 1:
            raise MinicnnError(
                "quantiles: expected 0 <= background <= foreground <= 1, got "
                f"{self.background} and {self.foreground}"
            )


@dataclass(frozen=True)
class LocalisationMethod:
    """A saliency map, and the cut that it seeds.

    Parameters
    ----------
    settings : MaskSettings, of the cut
    crops, rule : of the map, as for ``saliency``
    samples, noise, squared, scored : of SmoothGrad, as for ``MapSettings``; 0 samples: the gradient itself

    """

    settings: MaskSettings = MaskSettings()
    crops: str = "ten"
    rule: str | Rule = "gradient"
    samples: int = 0
    noise: float = 0.15
    squared: bool = False
    scored: str | None = None

    @property
    def map_settings(self) -> MapSettings:
        """How its saliency maps are made."""
        return MapSettings(
            crops=self.crops,
            rule=self.rule,
            samples=self.samples,
            noise=self.noise,
            squared=self.squared,
            scored=self.scored,
        )

    def detect(self, net: Network, picture: Image, choose: ChooseClasses, name: str) -> list[Detection]:
        """Return what is found of each class; the mask is empty where the map marks nothing."""
        maps = saliencies(net, picture, choose, self.map_settings)
        return [self._cut(picture, map, name) for map in maps]

    def smooth(self, map: np.ndarray) -> np.ndarray:
        """Smooth a map (H, W) as the seeds of the background have it."""
        return smooth_map(map, self.settings)

    def _cut(self, picture: Image, saliency: Saliency, name: str) -> Detection:
        size, small = (picture.height, picture.width), reduce_picture(picture)
        # the cut itself is at ``working_size``; seeds have the picture's size, or, of a large one, a smaller
        map = saliency.placed.at((small.height, small.width))
        marks = bool(np.isfinite(map).all() and map.min() < map.max())
        mask = object_mask(small, map, self.settings) if marks else np.zeros(map.shape, bool)
        return Detection.of(saliency, resize_mask(mask, size), name)


def smooth_map(map: np.ndarray, settings: MaskSettings) -> np.ndarray:
    """Smooth a map (H, W) as the settings say."""
    return gaussian_blur(map, settings.smoothing * max(map.shape))


def saliency_seeds(map: np.ndarray, settings: MaskSettings) -> tuple[np.ndarray, np.ndarray]:
    """Foreground and background seeds of a map: two bool arrays of its shape (H, W) that do not overlap.

    Raises
    ------
    MinicnnError
        If the map is constant or holds NaN.

    Examples
    --------
    >>> import numpy as np
    >>> map = np.arange(20.0).reshape(4, 5)
    >>> foreground, background = saliency_seeds(map, MaskSettings(smoothing=0.0))
    >>> foreground.sum().item(), background.sum().item()
    (1, 6)

    """
    if not np.isfinite(map).all() or map.min() == map.max():
        raise MinicnnError(
            "the saliency map is constant, so that it marks neither object nor background; does the class's "
            "gradient vanish at this image?"
        )
    smooth = smooth_map(map, settings)
    fine = smooth_map(map, replace(settings, smoothing=settings.foreground_smoothing))
    # where the map has many equal values a quantile may be its very maximum or minimum, with nothing beyond it;
    # the ties themselves are the seeds then, and those that both sides claim are the object's
    low, high = np.quantile(smooth, settings.background), np.quantile(fine, settings.foreground)
    foreground = fine > high if (fine > high).any() else fine >= high
    background = smooth < low if (smooth < low).any() else smooth <= low
    # the lowest pixel of one smoothing may be high in the other: then it is a seed of the background
    if (background & ~foreground).any():
        return foreground, background & ~foreground
    return foreground & ~background, background


def object_mask(image: ImageLike, map: np.ndarray, settings: MaskSettings | None = None) -> np.ndarray:
    """Mask (H, W) of the object that a map of that shape marks: seeds, colour models, cut, largest component.

    If the cut finds no object at all, the foreground seeds' largest component is returned, with a warning.
    """
    return largest_component(object_pixels(image, map, settings or MaskSettings()))


def object_pixels(image: ImageLike, map: np.ndarray, settings: MaskSettings) -> np.ndarray:
    """All that the cut takes for the object, (H, W) bool, of any number of components; see ``object_mask``."""
    foreground, background = saliency_seeds(map, settings)
    fit = partial(partial, colour_model.fit, floor=settings.variance_floor)
    # not hard: seeds train the colour models, and the cut may overrule each of them
    mask = segment(
        image,
        foreground,
        background,
        model=(fit(components=settings.components), fit(components=settings.background_components)),
        gamma=settings.gamma,
        hard=False,
        prior=object_probability(map, settings) if settings.prior_weight else None,
        prior_weight=settings.prior_weight,
        working_size=settings.working_size,
    )
    if not mask.any():
        warnings.warn("the cut found no object; the seeds stand in for it", stacklevel=3)
        mask = foreground
    return mask


def object_probability(map: np.ndarray, settings: MaskSettings) -> np.ndarray:
    """Prior probability of the object at each pixel of a map M (H, W): M^k / (M^k + q^k).

    M is smoothed, k is ``prior_steepness`` and q the map's ``prior_quantile``; where q is 0, any other value is
    certain.  Not the paper's.

    Examples
    --------
    >>> import numpy as np
    >>> settings = MaskSettings(smoothing=0.0, prior_quantile=0.5, prior_steepness=1.0)
    >>> object_probability(np.array([[0.0, 1.0, 3.0]]), settings).round(2).tolist()
    [[0.0, 0.5, 0.75]]

    """
    smooth = smooth_map(map, settings).astype(np.float64)
    level = np.quantile(smooth, settings.prior_quantile)
    # log odds, held where their exponential is neither 0 nor infinite
    odds = settings.prior_steepness * (np.log(np.maximum(smooth, 1e-300)) - np.log(max(level, 1e-300)))
    return 1 / (1 + np.exp(-np.clip(odds, -700, 700)))
