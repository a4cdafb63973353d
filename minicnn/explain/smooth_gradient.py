"""SmoothGrad: the gradient averaged over noisy copies of the input (Smilkov et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn._utils.types import Progress
from minicnn.errors import MinicnnError
from minicnn.explain.attribution_maps import AttributionMaps
from minicnn.network import Network
from minicnn.rules import Rule

__all__ = ["smooth_gradient", "smooth_gradient_maps", "smooth_gradients"]


def smooth_gradient(
    net: Network,
    x: np.ndarray,
    target: int,
    *,
    samples: int = 16,
    noise: float = 0.15,
    seed: int = 0,
    rule: str | Rule = "gradient",
    squared: bool = False,
    progress: Progress = iter,
) -> np.ndarray:
    """Mean gradient of a class score over noisy copies of each view.

    w = (1 / n) sum_i dS_c / dI at I + e_i,  e_i ~ N(0, sigma^2),  sigma = noise (max I - min I).

    Parameters
    ----------
    net : Network
    x : array of shape (V, C, H, W), the network's input
    target : int, the class
    samples : int >= 1, the number n of noisy copies of each view; one is held at a time
    noise : float >= 0, the standard deviation in parts of each view's range; 0 leaves the gradient itself
    seed : int; view v draws from the generator seeded with (seed, v), whatever the other views
    rule : "gradient", "deconvnet" or "guided"; the published method is the gradient's
    squared : bool
        Root of the mean square instead of the mean: where the gradient is strong, whatever its sign in each copy.
    progress : wraps the range of all noisy copies, V n of them

    Returns
    -------
    gradient : array of shape (V, C, H, W), dtype of x

    Raises
    ------
    MinicnnError
        If ``samples`` or ``noise`` is out of range, or the rule is unknown.

    References
    ----------
    .. [1] Smilkov et al. 2017, "SmoothGrad: removing noise by adding noise".
    .. [2] Hooker et al. 2019, "A benchmark for interpretability methods in deep neural networks": squared, without
       the root.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.io import catalogue
    >>> net = minicnn.load("digits")
    >>> x = net.preprocess(catalogue.folder("images") / "seven.png")
    >>> still = smooth_gradient(net, x, 7, samples=1, noise=0.0)
    >>> bool((still == net.input_gradient(x, 7)).all())
    True

    """
    (gradient,) = smooth_gradients(
        net, x, [target], samples=samples, noise=noise, seed=seed, rule=rule, squared=squared, progress=progress
    )
    return gradient


def smooth_gradients(
    net: Network,
    x: np.ndarray,
    targets: Sequence[int],
    *,
    samples: int = 16,
    noise: float = 0.15,
    seed: int = 0,
    rule: str | Rule = "gradient",
    squared: bool = False,
    progress: Progress = iter,
) -> list[np.ndarray]:
    """Mean gradients of several classes' scores from the same noisy copies: one forward pass serves all classes.

    Parameters and errors as for ``smooth_gradient``; a list of arrays of shape (V, C, H, W), in the order of
    ``targets``.
    """
    if samples < 1 or not 0 <= noise < np.inf:
        raise MinicnnError(f"smooth_gradient: expected samples >= 1 and noise >= 0, got {samples} and {noise}")
    totals = [np.zeros(x.shape, np.float64) for _ in targets]
    # a generator for each view, so that its noise does not depend on how many views there are
    rngs = [np.random.default_rng((seed, v)) for v in range(len(x))]
    # noise is given in parts of each view's own range
    sigmas = [noise * (view.max() - view.min()) for view in x]
    for n in progress(range(len(x) * samples)):
        v = n // samples
        noisy = x[v] + sigmas[v] * rngs[v].standard_normal(x[v].shape, np.float32)
        y, tape = net.trace(noisy[None].astype(x.dtype, copy=False))
        # backward leaves the tape as it is: one noisy forward pass serves all classes
        for total, target in zip(totals, targets, strict=True):
            gradient = net.backward(tape, net.cotangent(y, target, "score"), rule)[0]
            # squared in float64, where small gradients do not underflow
            total[v] += np.square(gradient, dtype=np.float64) if squared else gradient
    means = (total / samples for total in totals)
    return [(np.sqrt(mean) if squared else mean).astype(x.dtype) for mean in means]


def smooth_gradient_maps(net: Network, x: np.ndarray, target: int, **settings: Any) -> AttributionMaps:
    """Return the maps of ``smooth_gradient``, whose parameters ``settings`` are."""
    return AttributionMaps.from_gradient(smooth_gradient(net, x, target, **settings))
