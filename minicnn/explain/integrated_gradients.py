"""Integrated gradients: the gradient summed along a line from a baseline (Sundararajan et al. 2017)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn._utils.types import Progress
from minicnn.errors import MinicnnError, ShapeError
from minicnn.explain.attribution_maps import AttributionMaps
from minicnn.explain.prediction import get_preprocess
from minicnn.network import Network

__all__ = ["BASELINES", "IntegratedGradients", "integrated_gradient_maps", "integrated_gradients"]

BASELINES = ("black", "mean")


class IntegratedGradients(NamedTuple):
    """Attributions, and their completeness error.

    Attributes
    ----------
    attribution : array of shape (V, C, H, W), signed
    change : float64 array of shape (V,), S_c(x) - S_c(x'), what the attributions of each view should add up to
    error : float64 array of shape (V,), their sum less ``change``: 0 if the integral were exact

    """

    attribution: np.ndarray
    change: np.ndarray
    error: np.ndarray


def integrated_gradients(
    net: Network,
    x: np.ndarray,
    target: int,
    *,
    steps: int = 50,
    baseline: np.ndarray | float = 0.0,
    progress: Progress = iter,
) -> IntegratedGradients:
    """Integral of the gradient of a class score along the straight line from a baseline to the input.

    a_i = (x_i - x'_i) integral_0^1 dS_c / dx_i at x' + t (x - x') dt  (their equation 1),
    here by the midpoint rule, t = (k + 1/2) / n for k = 0 .. n - 1 (they sum at the right ends, equation 3).
    Completeness: sum_i a_i = S_c(x) - S_c(x')  (their proposition 1); the difference is returned.

    Parameters
    ----------
    net : Network
    x : array of shape (V, C, H, W), the network's input; one point of one view's line is held at a time
    target : int, the class
    steps : int >= 1, the number n of gradients of each view
    baseline : x', a number or an array that broadcasts against x; 0 is the training data's mean image
    progress : wraps the range of all gradients, V n of them

    Returns
    -------
    integral : IntegratedGradients; the attribution has the dtype of x and is summed in float64

    Raises
    ------
    MinicnnError
        If ``steps`` is less than 1, or the class is unknown.
    ShapeError
        If the baseline does not broadcast against x.

    References
    ----------
    .. [1] Sundararajan, Taly, Yan 2017, "Axiomatic attribution for deep networks".

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.io import catalogue
    >>> net = minicnn.load("digits")
    >>> x = net.preprocess(catalogue.folder("images") / "seven.png")
    >>> integral = integrated_gradients(net, x, 7, steps=20)
    >>> bool(abs(integral.error[0]) < 0.05 * abs(integral.change[0]))
    True

    """
    if steps < 1:
        raise MinicnnError(f"integrated_gradients: expected at least one step, got {steps}")
    start = _broadcast(baseline, x)
    # float64, since many small gradients are added up
    total = np.zeros(x.shape, np.float64)
    # one range over views and steps, so that progress sees the whole of the work
    for n in progress(range(len(x) * steps)):
        v, k = divmod(n, steps)
        # the midpoint of each step: the error of the sum falls with the square of the number of steps
        point = start[v] + (x[v] - start[v]) * x.dtype.type((k + 0.5) / steps)
        total[v] += net.input_gradient(point[None], target)[0]
    attribution = (x - start) * (total / steps)
    # completeness: the attributions should add up to S_c(x) - S_c(baseline); what is missing is the error
    change = np.array([_score(net, x[v], target) - _score(net, start[v], target) for v in range(len(x))])
    return IntegratedGradients(attribution.astype(x.dtype), change, attribution.sum(axis=(1, 2, 3)) - change)


def _broadcast(baseline: np.ndarray | float, x: np.ndarray) -> np.ndarray:
    try:
        return np.broadcast_to(np.asarray(baseline, x.dtype), x.shape)
    except ValueError:
        raise ShapeError(
            f"integrated_gradients: a baseline of shape {np.shape(baseline)} does not fit inputs of {x.shape}"
        ) from None


def _score(net: Network, view: np.ndarray, target: int) -> float:
    return float(net(np.ascontiguousarray(view[None]))[0, target])


def integrated_gradient_maps(
    net: Network,
    x: np.ndarray,
    target: int,
    *,
    steps: int = 50,
    baseline: str = "black",
    progress: Progress = iter,
) -> AttributionMaps:
    """Return the maps of ``integrated_gradients`` from a black image, or from the training data's mean.

    Its facts are "score change" and "completeness error", means over the views.

    Raises
    ------
    MinicnnError
        If ``steps`` is less than 1, or the baseline is neither "black" nor "mean".

    """
    if baseline not in BASELINES:
        raise MinicnnError(f"integrated-gradients: baseline: expected 'black' or 'mean', got {baseline!r:.80}")
    # zero in the network's input is the mean that the preprocessing subtracts; black has to go through it
    start: np.ndarray | float = 0.0
    if baseline == "black":
        start = get_preprocess(net)(np.zeros((*x.shape[2:], 3), np.uint8))
    integral = integrated_gradients(net, x, target, steps=steps, baseline=start, progress=progress)
    facts = {
        "score change": float(integral.change.mean()),
        "completeness error": float(np.abs(integral.error).mean()),
    }
    return AttributionMaps.from_contributions(integral.attribution)._replace(facts=facts)
