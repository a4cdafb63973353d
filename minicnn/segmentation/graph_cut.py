"""Object and background told apart by the cut of least energy: seeds, two colour models, smooth boundaries."""

import warnings

import numpy as np

from minicnn.errors import ShapeError
from minicnn.images import load_image
from minicnn.images.lab import rgb_to_lab
from minicnn.segmentation import colour_model
from minicnn.segmentation.components import bounding_box, largest_component
from minicnn.segmentation.max_flow import STEPS, cut_capacity, max_flow, neighbours
from minicnn.segmentation.seeds import (
    check_chance,
    check_seeds,
    draw,
    resize_chance,
    resize_seeds,
)

__all__ = [
    "boundary_term",
    "bounding_box",
    "energy",
    "largest_component",
    "minimise",
    "region_term",
    "segment",
]

# A prior of exactly 0 or 1 counts as this far from it: -log is at most 13.8.
SURE = 1e-6


def segment(
    image,
    foreground,
    background,
    *,
    model=colour_model.fit,
    gamma=200.0,
    sigma=None,
    hard=True,
    prior=None,
    prior_weight=1.0,
    iterations=1,
    working_size=None,
    colour_space="lab",
    samples=3000,
    seed=0,
    solver=None,
):
    """Mask of the object, by graph cut.

    mask = argmin over L of E(L) = sum_p D_p(L_p) + sum_pq [L_p != L_q] B_pq, with
    D_p(L) = -log p(colour_p | model of L)  and  B_pq = gamma exp(-|colour_p - colour_q|^2 / 2 sigma^2) / |p - q|
    over the 8-neighbourhood; of several minima the one with the smallest mask.

    Parameters
    ----------
    image : path, PIL.Image, or uint8 array of shape (H, W, 3)
    foreground, background : arrays of shape (H, W)
        bool: seeds, to which the two colour models are fitted; they may not overlap.  float in [0, 1]: how likely
        each pixel is object or background; it counts that much in the fit, and the two together are the prior
        unless that is given.
    model : function of colours (M, 3) and ``weights`` (M,) to an object with ``log_density(colours)``
        The paper says Gaussian mixtures.  Ours: ``colour_model.fit``; ``functools.partial`` sets its parameters.
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

    Source: paper section 3.2; Boykov, Jolly 2001, "Interactive graph cuts".

    """
    picture = load_image(image)
    size = picture.size[::-1]
    sides, prior = _told(foreground, background, prior, size)
    if min(iterations, samples, max(size) if working_size is None else working_size) < 1 or not prior_weight >= 0:
        raise ShapeError(
            "segment: expected iterations, samples and working_size of at least 1 and prior_weight >= 0, "
            f"got {iterations}, {samples}, {working_size} and {prior_weight}"
        )
    working = _working_size(size, working_size)
    colours = _colours(picture, working, colour_space)
    links = boundary_term(colours, gamma, sigma)
    clamped = resize_seeds(sides, working) if hard and sides.dtype == bool else None
    weights = np.stack([resize_chance(side, working) for side in sides])
    prior = prior if prior is None else resize_chance(prior, working)
    for _ in range(iterations):
        rng = np.random.default_rng(seed)
        models = [
            model(drawn, weights=weight) for drawn, weight in (draw(colours, w, samples, rng) for w in weights)
        ]
        region = region_term(colours, *models, prior=prior, prior_weight=prior_weight)
        mask = minimise(region, links, clamped, solver=solver)
        if mask.all() or not mask.any() or (mask == weights[0]).all():
            break
        weights = np.stack([mask, ~mask])
    mask = _enlarged(mask, size)
    return mask if clamped is None else (mask | sides[0]) & ~sides[1]


def _told(foreground, background, prior, size):
    """Return the checked sides (2, H, W) and the prior (H, W), or None; chances are their own prior."""
    sides = check_seeds(foreground, background, size)
    if prior is not None:
        return sides, check_chance("prior", prior, size)
    if sides.dtype == bool:
        return sides, None
    total = sides.sum(axis=0)
    return sides, np.divide(sides[0], total, out=np.full(total.shape, 0.5), where=total > 0)


def _working_size(size, longest):
    """Size (H, W) of the same shape whose longer side is at most ``longest``."""
    if longest is None or max(size) <= longest:
        return size
    return tuple(max(1, round(side * longest / max(size))) for side in size)


def _colours(picture, size, space):
    """Colours (H, W, 3) of a picture at that size, float64, of mean areas where it is smaller."""
    if space not in ("lab", "rgb"):
        raise ShapeError(f'segment: unknown colour space {space!r}; expected "lab" or "rgb"')
    from PIL import Image

    if picture.size[::-1] != size:
        picture = picture.resize(size[::-1], Image.Resampling.BOX)
    pixels = np.asarray(picture)
    if (pixels == pixels[0, 0]).all():
        warnings.warn(
            "segment: all pixels of the image have the same colour, so only seeds and prior tell the object apart",
            stacklevel=3,
        )
    return rgb_to_lab(pixels) if space == "lab" else pixels.astype(np.float64)


def _enlarged(mask, size):
    """Mask at another size (H, W), each pixel that of its place."""
    (height, width), (rows, columns) = size, mask.shape
    return mask[np.arange(height)[:, None] * rows // height, np.arange(width) * columns // width]


def region_term(colours, foreground, background, *, prior=None, prior_weight=1.0):
    """Cost of each label at each pixel, D_p(0) and D_p(1): -log p(colour | model), and the prior's share.

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
    region = np.stack([-background.log_density(colours), -foreground.log_density(colours)])
    if prior is not None:
        chance = np.clip(prior, SURE, 1 - SURE)
        region -= prior_weight * np.log(np.stack([1 - chance, chance]))
    return region


def boundary_term(colours, gamma=200.0, sigma=None):
    """Cost of telling neighbours apart, B_pq = gamma exp(-|colour_p - colour_q|^2 / 2 sigma^2) / |p - q|.

    Parameters
    ----------
    colours : array of shape (H, W, 3)
    gamma, sigma : as in ``segment``

    Returns
    -------
    links : array of shape (4, H, W), float64, to the neighbours of ``STEPS``; 0 where there is none

    Raises
    ------
    ShapeError
        If gamma or sigma is out of range.

    """
    if not 0 <= gamma < np.inf or (sigma is not None and not 0 < sigma < np.inf):
        raise ShapeError(f"segment: expected gamma >= 0 and sigma > 0, both finite, got {gamma} and {sigma}")
    height, width = colours.shape[:2]
    links = np.zeros((4, height, width))
    total, pairs = 0.0, 0
    for step, link in zip(STEPS, links, strict=True):
        here, there = neighbours(colours, step)
        squares = ((here - there) ** 2).sum(axis=-1)
        neighbours(link, step)[0][...] = squares
        total, pairs = total + squares.sum(), pairs + squares.size
    variance = sigma**2 if sigma is not None else total / max(pairs, 1) or 1.0
    for step, link in zip(STEPS, links, strict=True):
        used = neighbours(link, step)[0]
        used[...] = gamma / np.hypot(*step) * np.exp(used / (-2 * variance))
    return links


def energy(mask, region, links):
    """Energy of a labelling, E = sum_p D_p(mask_p) + sum_pq [mask_p != mask_q] B_pq.

    Parameters
    ----------
    mask : array of shape (H, W), bool
    region : array of shape (2, H, W): cost of background, cost of object
    links : array of shape (4, H, W), to the neighbours of ``STEPS``

    Returns
    -------
    energy : float

    """
    return float(cut_capacity(np.asarray(mask, bool), region[0], region[1], links))


def minimise(region, links, clamped=None, *, solver=None):
    """Labelling of least energy; of several the one with the smallest mask.

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

    """
    costs = region - region.min(axis=0)
    if clamped is not None:
        never = 1 + 8 * links.max()
        costs[0, clamped[0]], costs[1, clamped[0]] = never, 0
        costs[1, clamped[1]], costs[0, clamped[1]] = never, 0
    return max_flow(costs[0], costs[1], links, solver=solver)[1]
