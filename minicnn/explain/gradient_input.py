"""Gradient x input: each pixel's share of the linear model of a score (Shrikumar et al. 2016; later work)."""

from __future__ import annotations

import numpy as np

from minicnn.network import Network
from minicnn.rules import Rule

__all__ = ["gradient_times_input"]


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

    Source: Shrikumar et al. 2016, "Not just a black box: learning important features through propagating
    activation differences".

    """
    return x * np.concatenate([net.input_gradient(view[None], target, rule) for view in x])
