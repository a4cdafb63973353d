"""Smooth and Efficient MPRT: whether maps change once a net's parameters are randomised (Hedström et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minicnn.evaluate.randomise import redraw_parameters, replace_parameters, stages
from minicnn.evaluate.similarity import rank_correlation
from minicnn.network import Network

__all__ = ["MPRT", "histogram_entropy", "measure_mprt", "noisy_copies", "randomised_networks"]

BINS = 100
NOISE = 0.1  # standard deviation, in parts of the input's range


class MPRT(NamedTuple):
    """Both measures of a map.

    Attributes
    ----------
    smooth : float in [-1, 1], the mean similarity to the trained net's map; less is better, 1 is the same map
    efficient : float, the relative rise of the map's entropy once the net is random; more is better

    """

    smooth: float
    efficient: float


def measure_mprt(
    explain: Callable[[Network, np.ndarray], np.ndarray], networks: Sequence[Network], copies: np.ndarray
) -> MPRT:
    """Compare a method's maps of a trained net with those of the same net randomised.

    Smooth: 1 / K sum_k rho(m_0, m_k),  m_k the mean map of net k over noisy copies of the input, rho Spearman's
    rank correlation; a map that is the same everywhere has no order and counts as 0.
    Efficient: (h(e_K) - h(e_0)) / h(e_0),  e_k the map of net k of the input itself, h its ``histogram_entropy``.

    Parameters
    ----------
    explain : function of a network and an input (1, C, H, W) that returns its map (H, W)
    networks : the trained one, and K >= 1 ever more randomised, the last in all parameters
    copies : array of shape (N, C, H, W), noisy copies of the input, the last one without noise

    Returns
    -------
    mprt : MPRT

    References
    ----------
    .. [1] Hedström, Weber, Lapuschkin, Höhne 2024, "A fresh look at sanity checks for saliency maps", sections 4.1
       and 4.2.

    Examples
    --------
    >>> from minicnn.layers import Flatten, Linear
    >>> nets = [Network([Flatten(), Linear(4, 2)], (1, 2, 2), seed=seed) for seed in (0, 1)]
    >>> brightness = lambda net, x: x[0, 0]  # an "explanation" that never looks at the net
    >>> measure_mprt(brightness, nets, np.arange(8.0).reshape(2, 1, 2, 2))
    MPRT(smooth=1.0, efficient=0.0)

    """
    means, clean = [], []
    for net in networks:
        maps = [explain(net, x[None]) for x in copies]
        means.append(np.stack(maps).mean(axis=0, dtype=np.float64))
        clean.append(maps[-1])
    similarities = [rank_correlation(means[0], mean) for mean in means[1:]]
    trained, random = (histogram_entropy(clean[n]) for n in (0, -1))
    rise = (random - trained) / trained if trained > 0 else float(random > 0)
    return MPRT(float(np.nan_to_num(similarities).mean()), float(rise))


def histogram_entropy(map: np.ndarray, bins: int = BINS) -> float:
    """Entropy of a map's values, in nats.

    h = -sum_b p_b ln p_b,  p_b the share of pixels in the b-th of equal bins from the least value to the largest.

    Examples
    --------
    >>> round(histogram_entropy(np.array([0.0, 0.0, 1.0, 1.0])), 4), histogram_entropy(np.ones(4))
    (0.6931, 0.0)

    """
    counts, _ = np.histogram(map, bins=bins)
    p = counts[counts > 0] / counts.sum()
    # of a map that is the same everywhere the sum is -0.0
    return float(abs(-(p * np.log(p)).sum()))


def noisy_copies(x: np.ndarray, count: int, seed: int, noise: float = NOISE) -> np.ndarray:
    """Return ``count`` - 1 copies of an input (1, C, H, W) with noise, and the input: (count, C, H, W)."""
    rng, sigma = np.random.default_rng(seed), noise * float(x.max() - x.min())
    copies = np.repeat(x, count, axis=0)
    copies[:-1] += (sigma * rng.standard_normal(copies[:-1].shape)).astype(x.dtype)
    return copies


def randomised_networks(net: Network, steps: int, seed: int = 0) -> list[Network]:
    """Return the net, and it with ever more of its layers drawn anew, from the input up, in so many equal steps.

    Bottom-up, as the publication advises: with the upper layers alone random, what the lower ones show remains.
    Drawn anew and not shuffled, as for the sanity checks: maps of a net of shuffled parameters can have a few
    pixels of enormous value, and next to no entropy.
    """
    drawn, upward = redraw_parameters(net, seed), stages(net)[::-1]
    networks = [net]
    for step in range(1, steps + 1):
        names = [name for stage in upward[: round(len(upward) * step / steps)] for name in stage.parameters]
        networks.append(replace_parameters(net, {name: drawn[name] for name in names}))
    return networks
