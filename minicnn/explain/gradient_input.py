"""Gradient x input: each pixel's share of the linear model of a score (Shrikumar et al. 2016)."""

from __future__ import annotations

import numpy as np

from minicnn._utils.types import Progress
from minicnn.explain.attribution_maps import AttributionMaps
from minicnn.explain.gradient import stack_gradients
from minicnn.network import Network
from minicnn.rules import Rule

__all__ = ["gradient_input_maps", "gradient_times_input"]


def gradient_times_input(net: Network, x: np.ndarray, target: int, *, rule: str | Rule = "gradient") -> np.ndarray:
    """Product of the input and the gradient of a class score.

    a = x * dS_c / dx.  Of the linear model S_c ~ w^T x + b (paper, equation 2) these are the terms of w^T x: where
    the net is linear between 0 and x and has no bias they add up to the score.

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


def gradient_input_maps(
    net: Network, x: np.ndarray, target: int, *, rule: str | Rule = "gradient", progress: Progress = iter
) -> AttributionMaps:
    """Return the maps of ``gradient_times_input``; ``progress`` has nothing to wrap."""
    return AttributionMaps.from_contributions(gradient_times_input(net, x, target, rule=rule))
