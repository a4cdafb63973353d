"""Masks of one object by graph cuts of different settings, and the one that they agree on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minicnn.explain.localisation.detection import Box
from minicnn.images.lab import rgb_to_lab
from minicnn.segmentation import colour_model
from minicnn.segmentation.components import bounding_box, largest_component
from minicnn.segmentation.graph_cut import boundary_term, minimise_each

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["Candidate", "agree", "cut_candidates"]

# The settings of the cuts, none of them the best: how much colours count beside the map, how likely the object is
# beforehand (log odds), and the weight of the boundary.
COLOUR_WEIGHTS = (0.5, 1.0)
PRIORS = (-1.5, -0.75, 0.0, 0.75)
BOUNDARIES = (5.0, 12.0)
COLOUR_LIMIT = 4.0  # of a pixel's colour, in log odds
COMPONENTS, SAMPLES = 5, 3000
SMALLEST = 2e-3  # of the part's pixels: a smaller mask is no answer


class Candidate(NamedTuple):
    """A mask that one setting of the cut gives.

    Attributes
    ----------
    mask : bool array of shape (h, w), over the part of the picture inside ``part``
    part : Box, in pixels of the picture
    box : four floats, xmin, ymin, xmax, ymax in pixels of the picture, of the mask's largest component

    """

    mask: np.ndarray
    part: Box
    box: tuple[float, float, float, float]


def cut_candidates(picture: Picture, part: Box, posterior: np.ndarray) -> list[Candidate]:
    """Masks of the object inside a part of a picture, one for each setting; none where the cut is all but empty.

    The region term of a pixel is -log of its probability under the map, plus that under two Gaussian mixtures of
    colours, which are fitted to all pixels weighted by the square of the probability and of its complement; the
    boundary term is ``segment``'s.

    Parameters
    ----------
    picture : PIL.Image
    part : Box, in pixels of the picture
    posterior : array of shape (h, w) in [0, 1], probability of the object, at the size that is cut

    """
    from PIL import Image

    height, width = posterior.shape
    small = picture.resize((width, height), Image.Resampling.BOX, box=part)
    colours = rgb_to_lab(np.asarray(small))
    ratio = np.clip(_colour_log_ratio(colours, posterior), -COLOUR_LIMIT, COLOUR_LIMIT)
    probability = np.clip(posterior, 1e-3, 1 - 1e-3)
    odds, links = np.log(probability / (1 - probability)), boundary_term(colours, 1.0)
    energies = []
    for weight, prior in product(COLOUR_WEIGHTS, PRIORS):
        # the cost of one label over the other, the less of the two being zero
        cost = odds + weight * ratio + prior
        region = np.stack([np.maximum(cost, 0), np.maximum(-cost, 0)])
        energies += [(region, gamma * links) for gamma in BOUNDARIES]
    candidates = []
    for mask in minimise_each(energies):
        largest = largest_component(mask)
        if largest.sum() >= SMALLEST * largest.size:
            candidates.append(Candidate(mask, part, _scale_box(bounding_box(largest), largest.shape, part)))
    return candidates


def agree(candidates: Sequence[Candidate]) -> tuple[Candidate, float]:
    """Return the candidate whose box has the largest mean intersection over union with all, and that mean.

    Of equal ones the first.

    Examples
    --------
    >>> boxes = [(0, 0, 10, 10), (0, 0, 10, 9), (0, 0, 4, 4)]
    >>> best, agreement = agree([Candidate(np.ones((1, 1), bool), (0, 0, 10, 10), box) for box in boxes])
    >>> best.box, round(agreement, 2)
    ((0, 0, 10, 9), 0.69)

    """
    boxes = np.array([candidate.box for candidate in candidates], np.float64)
    low, high = np.maximum(boxes[:, None, :2], boxes[:, :2]), np.minimum(boxes[:, None, 2:], boxes[:, 2:])
    common = np.maximum(high - low, 0).prod(axis=-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    agreement = (common / (area[:, None] + area - common)).mean(axis=1)
    best = int(agreement.argmax())
    return candidates[best], float(agreement[best])


def _colour_log_ratio(colours: np.ndarray, posterior: np.ndarray) -> np.ndarray:
    """Log ratio (h, w) of the density of each pixel's colour under the object's mixture and the background's."""
    flat, weights = colours.reshape(-1, 3), posterior.ravel().astype(np.float64)
    drawn = np.random.default_rng(0).choice(len(flat), min(SAMPLES, len(flat)), replace=False)
    # squared, so that what is surely one or the other counts most; the floor keeps each side from being empty
    models = [
        colour_model.fit(flat[drawn], COMPONENTS, weights=side[drawn] ** 2 + 1e-6)
        for side in (weights, 1 - weights)
    ]
    return models[0].log_density(colours) - models[1].log_density(colours)


def _scale_box(box: Box, shape: tuple[int, int], part: Box) -> tuple[float, float, float, float]:
    """Bring a box of a mask of that shape over a part of the picture to the picture's coordinates."""
    x, y = (part[2] - part[0]) / shape[1], (part[3] - part[1]) / shape[0]
    return part[0] + box[0] * x, part[1] + box[1] * y, part[0] + box[2] * x, part[1] + box[3] * y
