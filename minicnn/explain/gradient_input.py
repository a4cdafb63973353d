"""Gradient x input: each pixel's share of the linear model of a score (Shrikumar et al. 2016)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn._utils.types import Progress
from minicnn.errors import MinicnnError
from minicnn.explain.attribution_maps import AttributionMaps
from minicnn.explain.gradient import stack_gradients
from minicnn.kernels import keeps_parameters, on
from minicnn.layers import sequence
from minicnn.network import Network
from minicnn.network.linear_piece import is_piecewise_linear, scores_at_zero
from minicnn.rules import Rule, as_rule

__all__ = ["LinearModel", "gradient_input_maps", "gradient_times_input", "linear_model"]


def gradient_times_input(net: Network, x: np.ndarray, target: int, *, rule: str | Rule = "gradient") -> np.ndarray:
    """Product of the input and the gradient of a class score.

    a = x * dS_c / dx.  Of the linear model S_c ~ w^T x + b (paper, equation 2) these are the terms of w^T x.  With
    its constant b, which ``linear_model`` gives, they add up to the score of a net that is linear between kinks.

    Parameters
    ----------
    net : Network
    x : array of shape (V, C, H, W), the network's input; one view is held at a time
    target : int, the class
    rule : "gradient", "deconvnet" or "guided"; the published method is the gradient's

    Returns
    -------
    attribution : array of shape (V, C, H, W), dtype of x; signed

    Raises
    ------
    MinicnnError
        If the class or the rule is unknown.

    See Also
    --------
    linear_model : the same, with the constant

    References
    ----------
    .. [1] Shrikumar et al. 2016, "Not just a black box: learning important features through propagating activation
       differences".

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Network
    >>> from minicnn.layers import Flatten, Linear
    >>> net = Network([Flatten(), Linear(4, 2, bias=False)], input_shape=(1, 2, 2))
    >>> x = np.array([[[[1.0, 2.0], [3.0, 4.0]]]], np.float32)
    >>> bool(np.isclose(gradient_times_input(net, x, 1).sum(), net(x)[0, 1]))  # of a linear net
    True

    """
    return x * stack_gradients(net, x, target, rule)


class LinearModel(NamedTuple):
    """The linear model S_c = w^T x + b that a class score is around V views, term by term.

    Attributes
    ----------
    contributions : array of shape (V, C, H, W), the terms of w^T x
    constant : array of shape (V,), b: what the biases contribute
    score : array of shape (V,), S_c
    error : float64 array of shape (V,), w^T x + b - S_c, which is rounding alone if w is right

    """

    contributions: np.ndarray
    constant: np.ndarray
    score: np.ndarray
    error: np.ndarray


def linear_model(net: Network, x: np.ndarray, target: int) -> LinearModel:
    """Terms of the linear model of a class score around each input, with its constant.

    S_c = w^T x + b  (paper, equation 2), w = dS_c / dx.  Of a net that is linear between kinks this is exact, and
    b is the score of the zero input with every rectifier and pool as it is at x.  w comes from the net's backward,
    b from a forward pass that does without it, so that ``error`` checks the one against the other.

    Parameters
    ----------
    net : Network, of layers that are linear between kinks
    x : array of shape (V, C, H, W), the network's input; one view is held at a time
    target : int, the class

    Returns
    -------
    model : LinearModel, in the dtype of x

    Raises
    ------
    MinicnnError
        If the class is unknown, or a layer is curved: then there is no such constant.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn
    >>> net, x = minicnn.load("digits"), np.random.default_rng(0).standard_normal((1, 1, 28, 28))
    >>> model = linear_model(net, x, 7)
    >>> bool(abs(model.error[0]) < 1e-12)
    True

    """
    if not is_piecewise_linear(net):
        raise MinicnnError(f"linear_model: a layer of {net.name} is curved; its scores are nowhere linear")
    contributions = gradient_times_input(net, x, target)
    # a float64 input is computed in float64, as by the network
    layers = sequence.before_softmax(net.named_layers)
    layers = sequence.astype(layers, np.float64) if x.dtype == np.float64 else layers
    # what a rectifier and a pool do at x is looked up by NumPy, for which arrays have to be here
    kernels = on("reference" if keeps_parameters(net.device) else net.device)
    pairs = [scores_at_zero(layers, view[None], kernels) for view in x]
    score, constant = (np.array([scores[0, target] for scores in column]) for column in zip(*pairs, strict=True))
    total = contributions.sum(axis=(1, 2, 3), dtype=np.float64) + constant
    return LinearModel(contributions, constant, score, total - score)


def gradient_input_maps(
    net: Network, x: np.ndarray, target: int, *, rule: str | Rule = "gradient", progress: Progress = iter
) -> AttributionMaps:
    """Return the maps of ``gradient_times_input``; ``progress`` has nothing to wrap.

    Of a net that is linear between kinks, by the gradient's rule, their facts are "constant" and "completeness
    error", means over the views: map and constant add up to the score.
    """
    if not as_rule(rule).is_gradient or not is_piecewise_linear(net):
        return AttributionMaps.from_contributions(gradient_times_input(net, x, target, rule=rule))
    model = linear_model(net, x, target)
    facts = {
        "constant": float(model.constant.mean()),
        "completeness error": float(np.abs(model.error).mean()),
    }
    return AttributionMaps.from_contributions(model.contributions)._replace(facts=facts)
