"""The gradient of a class score by a backward rule, as maps (paper, section 3; the rules: section 4)."""

from __future__ import annotations

import numpy as np

from minicnn._utils.types import Progress
from minicnn.explain.attribution_maps import AttributionMaps
from minicnn.network import Network
from minicnn.rules import Rule

__all__ = ["gradient_maps", "stack_gradients"]


def stack_gradients(net: Network, x: np.ndarray, target: int, rule: str | Rule = "gradient") -> np.ndarray:
    """Gradient dS_c / dx of views x (V, C, H, W), one at a time, by a rule; shape and dtype of x."""
    return np.concatenate([net.input_gradient(view[None], target, rule) for view in x])


def gradient_maps(
    net: Network, x: np.ndarray, target: int, *, rule: str | Rule = "gradient", progress: Progress = iter
) -> AttributionMaps:
    """Return the maps of the gradient by a rule; ``progress`` has nothing to wrap."""
    return AttributionMaps.from_gradient(stack_gradients(net, x, target, rule))
