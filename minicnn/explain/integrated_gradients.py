"""Integrated gradients: the gradient summed along a line from a baseline (Sundararajan et al. 2017)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn._utils.types import Progress
from minicnn.errors import MinicnnError, ShapeError
from minicnn.explain.attribution_maps import AttributionMaps
from minicnn.explain.prediction import get_preprocess
from minicnn.layers import sequence
from minicnn.network import Network
from minicnn.network.line_integral import LineIntegral, integrate_gradient
from minicnn.network.linear_piece import piecewise_linear_layers

__all__ = ["BASELINES", "EXACT", "IntegratedGradients", "integrated_gradient_maps", "integrated_gradients"]

BASELINES = ("black", "mean")
EXACT = "exact"  # in the place of a number of steps
_NEEDS_KINKS = "integrated_gradients: steps='exact' needs a net that is linear between kinks, else give a number"
STEPS = 50  # the usual sum, beside which the exact integral is put


class IntegratedGradients(NamedTuple):
    """Attributions, and their completeness error.

    Attributes
    ----------
    attribution : array of shape (V, C, H, W), signed
    change : float64 array of shape (V,), S_c(x) - S_c(x'), what the attributions of each view should add up to
    error : float64 array of shape (V,), their sum less ``change``: 0 if the integral were exact
    segments : int array of shape (V,), into how many each view's line was cut
    kinks : int array of shape (V,), of steps="exact": how many kinks were located on each line
    uncertainty : float64 array of shape (V,), of steps="exact": by how much each attribution moved when the
        segments were last cut, a share of the sum of absolute values; what is left is less

    """

    attribution: np.ndarray
    change: np.ndarray
    error: np.ndarray
    segments: np.ndarray
    kinks: np.ndarray | None = None
    uncertainty: np.ndarray | None = None

    @property
    def closure_error(self) -> np.ndarray:
        """The completeness error as a share of the score's change, without sign; float64 array of shape (V,)."""
        with np.errstate(divide="ignore", invalid="ignore"):  # no change: infinity, or NaN without an error either
            return np.asarray(np.abs(self.error) / np.abs(self.change))


def integrated_gradients(
    net: Network,
    x: np.ndarray,
    target: int,
    *,
    steps: int | str = STEPS,
    baseline: np.ndarray | float = 0.0,
    tolerance: float = 0.05,
    progress: Progress = iter,
) -> IntegratedGradients:
    """Integral of the gradient of a class score along the straight line from a baseline to the input.

    a_i = (x_i - x'_i) integral_0^1 dS_c / dx_i at x' + t (x - x') dt  (their equation 1),
    here by the midpoint rule, t = (k + 1/2) / n for k = 0 .. n - 1 (they sum at the right ends, equation 3).
    Completeness: sum_i a_i = S_c(x) - S_c(x')  (their proposition 1); the difference is returned.

    With steps="exact", for networks that are linear between kinks (rectifiers and max-pools), the kinks along the
    line are located instead: a unit's slope on a segment is its mean over the shares of the segment on either side
    of its kink.  Then the attributions add up to the score's change but for rounding, however few the segments.
    How they are divided among the pixels is exact on a segment where units of one layer alone bend; a segment on
    which several layers bend is cut until its attributions stay, to within the tolerance.

    Parameters
    ----------
    net : Network
    x : array of shape (V, C, H, W), the network's input; one point of one view's line is held at a time
    target : int, the class
    steps : int >= 1, the number n of gradients of each view, or "exact"
    baseline : x', a number or an array that broadcasts against x; 0 is the training data's mean image
    tolerance : float >= 0, of steps="exact": by how much the attributions may move when the segments are last cut,
        as a share of the sum of their absolute values; 0 visits every linear piece, which takes long
    progress : wraps the range of all gradients, V n of them; exactly, that of a hundred parts of each line

    Returns
    -------
    integral : IntegratedGradients; the attribution has the dtype of x and is summed in float64; of steps="exact"
        it is float64, and computed so by the reference, whatever the network's device

    Raises
    ------
    MinicnnError
        If ``steps`` is less than 1, or the class is unknown; with steps="exact", if a layer is curved.
    ShapeError
        If the baseline does not broadcast against x.

    References
    ----------
    .. [1] Sundararajan, Taly, Yan 2017, "Axiomatic attribution for deep networks".
    .. [2] Sotoudeh, Thakur 2019, "Computing linear restrictions of neural networks": the exact integral.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.io import catalogue
    >>> net = minicnn.load("digits")
    >>> x = net.preprocess(catalogue.folder("images") / "seven.png")
    >>> integral = integrated_gradients(net, x, 7, steps=20)
    >>> bool(abs(integral.error[0]) < 0.05 * abs(integral.change[0]))
    True
    >>> integral = integrated_gradients(net, x, 7, steps="exact")
    >>> bool(integral.closure_error[0] < 1e-12)
    True

    """
    if steps == EXACT:
        return _integrate_exactly(net, x, target, _broadcast(baseline, x), tolerance, progress)
    if isinstance(steps, str) or steps < 1:
        raise MinicnnError(f"integrated_gradients: expected at least one step, or 'exact', got {steps!r:.80}")
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
    error = attribution.sum(axis=(1, 2, 3)) - change
    return IntegratedGradients(attribution.astype(x.dtype), change, error, np.full(len(x), steps))


def _integrate_exactly(
    net: Network, x: np.ndarray, target: int, start: np.ndarray, tolerance: float, progress: Progress
) -> IntegratedGradients:
    if not tolerance >= 0:
        raise MinicnnError(f"integrated_gradients: tolerance: expected a number >= 0, got {tolerance!r:.80}")
    layers = piecewise_linear_layers(net, _NEEDS_KINKS)
    count = sequence.output_shape(layers, x.shape[1:])[0]
    if not 0 <= target < count:
        raise MinicnnError(f"integrated_gradients: expected a class of 0 to {count - 1}, got {target}")
    ends = zip(start.astype(np.float64), x.astype(np.float64), strict=True)
    lines = [integrate_gradient(layers, a, b, target, tolerance, progress) for a, b in ends]
    attribution = np.stack([line.contributions for line in lines])
    change = np.array([line.end - line.start for line in lines])
    return IntegratedGradients(
        attribution,
        change,
        attribution.sum(axis=(1, 2, 3)) - change,
        np.array([line.segments for line in lines]),
        np.array([line.kinks for line in lines]),
        np.array([_share(line) for line in lines]),
    )


def _share(line: LineIntegral) -> float:
    """Return the uncertainty as a share of the sum of absolute values; 0 where there is nothing to share."""
    total = float(np.abs(line.contributions).sum())
    return line.uncertainty / total if total else 0.0


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
    steps: int | str = STEPS,
    baseline: str = "black",
    tolerance: float = 0.05,
    progress: Progress = iter,
) -> AttributionMaps:
    """Return the maps of ``integrated_gradients`` from a black image, or from the training data's mean.

    Its facts are "score change" and "completeness error"; with steps="exact" also "segments", "kinks",
    "uncertainty" and, of the usual sum, "completeness error of 50 steps".  All are means over the views.

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
    integral = integrated_gradients(
        net, x, target, steps=steps, baseline=start, tolerance=tolerance, progress=progress
    )
    facts = {
        "score change": float(integral.change.mean()),
        "completeness error": float(np.abs(integral.error).mean()),
    }
    if integral.kinks is not None and integral.uncertainty is not None:
        usual = integrated_gradients(net, x, target, steps=STEPS, baseline=start)
        facts |= {
            "segments": float(integral.segments.mean()),
            "kinks": float(integral.kinks.mean()),
            "uncertainty": float(integral.uncertainty.mean()),
            f"completeness error of {STEPS} steps": float(np.abs(usual.error).mean()),
        }
    return AttributionMaps.from_contributions(integral.attribution)._replace(facts=facts)
