"""Object and background told apart by the cut of least energy: seeds, two colour models, smooth boundaries."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from minicnn._utils.types import ImageLike
from minicnn.errors import ShapeError
from minicnn.images import load_image
from minicnn.images.lab import rgb_to_lab
from minicnn.segmentation import colour_model
from minicnn.segmentation.components import bounding_box, largest_component
from minicnn.segmentation.max_flow import OFFSETS, count_threads, cut_capacity, max_flow, neighbours
from minicnn.segmentation.seeds import (
    check_probability,
    check_seeds,
    draw_samples,
    resize_probability,
    resize_seeds,
)

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = [
    "boundary_term",
    "bounding_box",
    "energy",
    "largest_component",
    "minimise",
    "minimise_each",
    "region_term",
    "resize_mask",
    "segment",
]

# A prior of exactly 0 or 1 counts as this far from it: -log is at most 13.8.
MARGIN = 1e-6


class ColourModel(Protocol):
    """A density over colours, as ``colour_model.GaussianMixture`` is."""

    def log_density(self, colours: np.ndarray) -> np.ndarray:
        """Return log p(colour) for colours (..., 3), of shape (...)."""


FitModel: TypeAlias = Callable[..., ColourModel]  # of colours (M, 3) and weights (M,)


def segment(
    image: ImageLike,
    foreground: np.ndarray,
    background: np.ndarray,
    *,
    model: FitModel | tuple[FitModel, FitModel] = colour_model.fit,
    gamma: float = 200.0,
    sigma: float | None = None,
    hard: bool = True,
    prior: np.ndarray | None = None,
    prior_weight: float = 1.0,
    iterations: int = 1,
    working_size: int | None = None,
    colour_space: str = "lab",
    samples: int = 3000,
    seed: int = 0,
    solver: str | None = None,
) -> np.ndarray:
    """Segment an image into object and background by graph cut.

    mask = argmin over L of E(L) = sum_p D_p(L_p) + sum_pq [L_p != L_q] B_pq, with
    D_p(L) = -log p(colour_p | model of L)  and  B_pq = gamma exp(-|colour_p - colour_q|^2 / 2 sigma^2) / |p - q|
    over the 8-neighbourhood; of several minima the one with the smallest mask.

    Parameters
    ----------
    image : path, PIL.Image, or uint8 array of shape (H, W, 3)
    foreground, background : arrays of shape (H, W)
        bool: seeds, to which the two colour models are fitted; they may not overlap.  float in [0, 1]: the
        probability that each pixel is object or background; it weights the pixel in the fit, and the two together
        are the prior unless that is given.
    model : function of colours (M, 3) and ``weights`` (M,) to an object with ``log_density(colours)``, or two
        The paper says Gaussian mixtures.  Ours: ``colour_model.fit``; ``functools.partial`` sets its parameters.
        Of two functions the first fits the object, the second the background.
    gamma : float >= 0, nats a pixel of boundary where colours are equal
        The paper is silent; the authors' later code has 150; we chose 200, by localisation accuracy.
    sigma : float > 0, in units of the colours, or None
        The paper is silent.  None: sigma^2 is the mean of |colour_p - colour_q|^2 over all neighbours.
    hard : bool
        Whether bool seeds keep their label.  The paper is silent (its seeds come from quantiles); Boykov and
        Jolly's, which are a user's strokes, do.
    prior : array of shape (H, W), probability in [0, 1] that a pixel is object, or None
        Adds -prior_weight log(prior) to D(object), and of 1 - prior to D(background).  Not the paper's.
    prior_weight : float >= 0
    iterations : int >= 1
        After each cut but the last the models are fitted anew, to the two sides of the cut (Rother et al. 2004);
        ends early when nothing changes or one side is empty.  The paper says nothing of it: 1.
    working_size : int >= 1, or None
        Longer side, in pixels, to which larger images are reduced for the cut.  The paper is silent; None: as is.
    colour_space : "lab" or "rgb"
        The paper is silent; distances in L*a*b* are nearer to those people see.
    samples : int >= 1, at most so many pixels are drawn for a fit.  The paper is silent.
    seed : int, of the drawing
    solver : as in ``max_flow``

    Returns
    -------
    mask : array of shape (H, W), bool; it may be empty if ``hard`` is false

    Raises
    ------
    ImageError
        If the image can't be read.
    ShapeError
        If seeds are empty, overlap or do not fit the image, or a parameter is out of range.

    Warns
    -----
    UserWarning
        If all pixels have the same colour: then seeds and prior alone decide.

    See Also
    --------
    minicnn.explain.localise : the object of a class, with seeds from its saliency map

    References
    ----------
    The paper, section 3.2; Boykov, Jolly 2001, "Interactive graph cuts".

    Examples
    --------
    A red square on a grey ground, with one seed of each:

    >>> image = np.full((6, 6, 3), 128, np.uint8)
    >>> image[1:4, 1:4] = 255, 0, 0
    >>> foreground, background = np.zeros((2, 6, 6), bool)
    >>> foreground[2, 2] = background[5, 5] = True
    >>> mask = segment(image, foreground, background, solver="numpy")
    >>> bounding_box(mask), int(mask.sum())
    ((1, 1, 4, 4), 9)

    """
    picture = load_image(image)
    size = (picture.height, picture.width)
    # (2, H, W): object and background, as in all stacks of two below
    sides, prior = _check_inputs(foreground, background, prior, size)
    if min(iterations, samples, max(size) if working_size is None else working_size) < 1 or not prior_weight >= 0:
        raise ShapeError(
            "segment: expected iterations, samples and working_size of at least 1 and prior_weight >= 0, "
            f"got {iterations}, {samples}, {working_size} and {prior_weight}"
        )
    working = _working_size(size, working_size)
    colours = _colours(picture, working, colour_space)
    # the boundary term depends on the colours alone, so it is computed once for all rounds
    links = boundary_term(colours, gamma, sigma)
    clamped = resize_seeds(sides, working) if hard and sides.dtype == bool else None
    models = model if isinstance(model, tuple) else (model, model)
    weights = np.stack([resize_probability(side, working) for side in sides])  # of the pixels, in the two fits
    prior = prior if prior is None else resize_probability(prior, working)
    for _ in range(iterations):
        # the same random numbers each round: only the weights change the sample
        rng = np.random.default_rng(seed)
        drawn = [draw_samples(colours, weight, samples, rng) for weight in weights]
        object_model, background_model = (
            fit(sample, weights=weight) for fit, (sample, weight) in zip(models, drawn, strict=True)
        )
        region = region_term(colours, object_model, background_model, prior=prior, prior_weight=prior_weight)
        mask = minimise(region, links, clamped, solver=solver)
        # one side without a pixel cannot be fitted; the same mask again would give the same models
        if mask.all() or not mask.any() or (mask == weights[0]).all():
            break
        # the next round fits the models to the two sides of the cut
        weights = np.stack([mask, ~mask])
    mask = resize_mask(mask, size)
    # resizing the mask may lose a thin seed, so seeds are set once more at full size
    return mask if clamped is None else (mask | sides[0]) & ~sides[1]


def _check_inputs(
    foreground: np.ndarray, background: np.ndarray, prior: np.ndarray | None, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the sides (2, H, W) and the prior (H, W), or None; probabilities are their own prior."""
    sides = check_seeds(foreground, background, size)
    if prior is not None:
        return sides, check_probability("prior", prior, size)
    if sides.dtype == bool:
        return sides, None
    # p(object) = foreground / (foreground + background), a half where both are zero
    total = sides.sum(axis=0)
    return sides, np.divide(sides[0], total, out=np.full(total.shape, 0.5), where=total > 0)


def _working_size(size: tuple[int, int], longest: int | None) -> tuple[int, int]:
    """Size (H, W) of the same aspect whose longer side is at most ``longest``."""
    if longest is None or max(size) <= longest:
        return size
    height, width = (max(1, round(side * longest / max(size))) for side in size)
    return height, width


def _colours(picture: Picture, size: tuple[int, int], space: str) -> np.ndarray:
    """Colours (H, W, 3) of a picture at a size, float64, averaged over areas where that is smaller."""
    if space not in ("lab", "rgb"):
        raise ShapeError(f'segment: unknown colour space {space!r}; expected "lab" or "rgb"')
    from PIL import Image

    height, width = size
    if (picture.height, picture.width) != size:
        picture = picture.resize((width, height), Image.Resampling.BOX)
    pixels = np.asarray(picture)
    if (pixels == pixels[0, 0]).all():
        warnings.warn(
            "segment: all pixels of the image have the same colour, so only seeds and prior tell the object apart",
            stacklevel=3,
        )
    return rgb_to_lab(pixels) if space == "lab" else pixels.astype(np.float64)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a mask to (H, W) by nearest neighbour."""
    if mask.shape == size:
        return mask
    (height, width), (rows, columns) = size, mask.shape
    # row y of the result is row floor(y rows / height) of the mask
    return mask[np.arange(height)[:, None] * rows // height, np.arange(width) * columns // width]


def region_term(
    colours: np.ndarray,
    foreground: ColourModel,
    background: ColourModel,
    *,
    prior: np.ndarray | None = None,
    prior_weight: float = 1.0,
) -> np.ndarray:
    """Cost of each label at each pixel, D_p(L) = -log p(colour_p | model of L) - prior_weight log p(L).

    Parameters
    ----------
    colours : array of shape (H, W, 3)
    foreground, background : colour models, objects with ``log_density``
    prior : array of shape (H, W), probability of the object, or None
    prior_weight : float >= 0

    Returns
    -------
    region : array of shape (2, H, W), float64: cost of background, cost of object

    """
    # label 0 is background, label 1 object: region[label] is the cost of that label
    region = np.stack([-background.log_density(colours), -foreground.log_density(colours)])
    if prior is not None:
        probability = np.clip(prior, MARGIN, 1 - MARGIN)
        region -= prior_weight * np.log(np.stack([1 - probability, probability]))
    return region


def boundary_term(colours: np.ndarray, gamma: float = 200.0, sigma: float | None = None) -> np.ndarray:
    """Cost of different labels at neighbours, B_pq = gamma exp(-|colour_p - colour_q|^2 / 2 sigma^2) / |p - q|.

    Parameters
    ----------
    colours : array of shape (H, W, 3)
    gamma, sigma : as in ``segment``

    Returns
    -------
    links : array of shape (4, H, W), float64, to the neighbours of ``OFFSETS``; 0 where there is none

    Raises
    ------
    ShapeError
        If gamma or sigma is out of range.

    Examples
    --------
    >>> colours = np.array([[[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]])
    >>> boundary_term(colours, gamma=1.0, sigma=1.0)[0].round(4).tolist()
    [[1.0, 0.1353, 0.0]]

    """
    if not 0 <= gamma < np.inf or (sigma is not None and not 0 < sigma < np.inf):
        raise ShapeError(f"segment: expected gamma >= 0 and sigma > 0, both finite, got {gamma} and {sigma}")
    height, width = colours.shape[:2]
    links = np.zeros((4, height, width))
    total, pairs = 0.0, 0
    for offset, link in zip(OFFSETS, links, strict=True):
        here, there = neighbours(colours, offset)
        # first pass: squared colour differences, kept in links until their mean is known
        squares = ((here - there) ** 2).sum(axis=-1)
        neighbours(link, offset)[0][...] = squares
        total, pairs = total + squares.sum(), pairs + squares.size
    # sigma^2 is by default the mean squared difference of neighbours; 1 if all colours are equal
    variance = sigma**2 if sigma is not None else total / max(pairs, 1) or 1.0
    for offset, link in zip(OFFSETS, links, strict=True):
        # second pass, in place; links that lead out of the grid stay 0
        used = neighbours(link, offset)[0]
        used[...] = gamma / np.hypot(*offset) * np.exp(used / (-2 * variance))
    return links


def energy(mask: np.ndarray, region: np.ndarray, links: np.ndarray) -> float:
    """Energy of a labelling, E = sum_p D_p(mask_p) + sum_pq [mask_p != mask_q] B_pq.

    Parameters
    ----------
    mask : array of shape (H, W), bool
    region : array of shape (2, H, W): cost of background, cost of object
    links : array of shape (4, H, W), to the neighbours of ``OFFSETS``

    Returns
    -------
    energy : float

    Examples
    --------
    >>> region, links = np.array([[[0.0, 1.0]], [[2.0, 0.0]]]), np.zeros((4, 1, 2))
    >>> links[0, 0, 0] = 0.5
    >>> energy([[False, True]], region, links), energy([[False, False]], region, links)
    (0.5, 1.0)

    """
    return float(cut_capacity(np.asarray(mask, bool), region[0], region[1], links))


def minimise(
    region: np.ndarray, links: np.ndarray, clamped: np.ndarray | None = None, *, solver: str | None = None
) -> np.ndarray:
    """Find the labelling of least energy; of several the one with the smallest mask.

    The cost of a label is the capacity of the arc that is cut when the pixel gets it.  A clamped pixel's other
    label costs K = 1 + 8 max B, more than cutting all of its links (Boykov, Jolly 2001).

    Parameters
    ----------
    region, links : as in ``energy``
    clamped : array of shape (2, H, W), bool: pixels that must be object, pixels that must be background; or None
    solver : as in ``max_flow``

    Returns
    -------
    mask : array of shape (H, W), bool

    Examples
    --------
    >>> region, links = np.array([[[0.0, 1.0]], [[2.0, 0.0]]]), np.zeros((4, 1, 2))
    >>> links[0, 0, 0] = 0.5
    >>> minimise(region, links, solver="numpy").tolist()
    [[False, True]]

    """
    # a constant off both labels of a pixel changes no choice, and makes the costs capacities >= 0
    costs = region - region.min(axis=0)
    if clamped is not None:
        # a pixel has 8 links, so giving way to all of them is cheaper than its forbidden label
        forbidden = 1 + 8 * links.max()
        costs[0, clamped[0]], costs[1, clamped[0]] = forbidden, 0
        costs[1, clamped[1]], costs[0, clamped[1]] = forbidden, 0
    return max_flow(costs[0], costs[1], links, solver=solver)[1]


def minimise_each(energies: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """Find the labelling of least energy for each (region, links), several at once; as ``minimise`` finds it."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(count_threads()) as pool:
        return list(pool.map(lambda energy: minimise(*energy), energies))
