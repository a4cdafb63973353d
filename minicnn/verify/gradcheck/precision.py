"""What single precision does to a whole network's gradient: roundings on the way back, and kinks crossed forward.

Backward, every layer rounds; an error in its input gradient counts as far as that input moves, so it is weighted
with the tangent there.  Forward, a unit so near to its kink that rounding decides on which side it lies may pass
its cotangent or not: such units are found by running the device and measuring how far its values are off, and the
most that they can change is added, in absolute values.  Through a smooth layer the forward error changes the
slope, by its share of the layer's input.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numpy.typing import DTypeLike

from minicnn.kernels import reference
from minicnn.layers import Kind, Layer, MaxPool2d, sequence
from minicnn.layers.kinks import clearance, pool_gaps
from minicnn.layers.transforms.own import is_own
from minicnn.layers.transforms.pack import Packed, with_one_input
from minicnn.verify.gradcheck.trace import Trace
from minicnn.verify.linearise import Linearisation
from minicnn.verify.rounding import SIGMAS, gradient_scales, tolerance

__all__ = ["float32_slack"]

MARGIN = 2.0  # merged steps and other orders of summation round differently from the run that is measured


def float32_slack(
    own: sequence.NamedLayers, kernels: ModuleType, exact: Trace, line: Linearisation, dtype: DTypeLike
) -> float:
    """Return how far a device's directional derivative may be off.

    Parameters
    ----------
    own : layers up to the scores, in the device's dtype
    kernels : the device
    exact : inputs and cotangents of every layer in float64
    line : with the tangents of every layer's input, along the direction
    dtype : the device's

    """
    device = Trace()
    first = next(iter(exact.inputs.values()))
    x = (first[0] if isinstance(first, tuple) else first).astype(dtype)
    sequence.forward(sequence.map_layers(own, device.attach), x, kernels)
    rounding, crossed, bent = [], 0.0, []
    for name, layer in sequence.walk(own):
        v, dy = line.tangents[name], exact.cotangents[name]
        _, theirs = with_one_input(layer, device.inputs[name])
        layer, x = with_one_input(layer.astype(np.float64), exact.inputs[name])
        error = MARGIN * float(np.abs(theirs - x).max(initial=0.0))
        moved = gradient_scales(layer, x, dy)["input"] * v
        rounding.append(moved)
        # rounding in float32 may have put these units on another side of their kink
        crossed += _crossed_kinks(layer, x, v, dy, error)
        if layer.kind >= Kind.SMOOTH:
            bent.append(moved * error / (np.abs(x).max(initial=0.0) or 1.0))
    return tolerance(dtype, *rounding) + crossed + SIGMAS * float(np.sqrt(sum(np.vdot(b, b) for b in bent)))


def _crossed_kinks(layer: Layer, x: np.ndarray, v: np.ndarray, dy: np.ndarray, error: float) -> float:
    """Most that units within ``error`` of their kink can change the derivative."""
    if is_own(layer):
        return _bend(layer, x, dy, error) * float(np.abs(v).max(initial=0.0))
    if isinstance(layer, MaxPool2d | Packed):
        gaps, closing = pool_gaps(layer, x, v)
        # the maximum and the tap may both be off by the error
        return float((np.abs(dy) * np.where(gaps <= 2 * error, np.abs(closing), 0.0).max(axis=0)).sum())
    near = clearance(layer, x) <= error
    return float(np.abs(dy * v)[near].sum()) if np.ndim(near) else 0.0


def _bend(layer: Layer, x: np.ndarray, dy: np.ndarray, error: float) -> float:
    """Return how much the slopes of a layer of one's own change around x, for a step of twice the error."""
    if error == 0:
        return 0.0
    middle, above, below = (layer.forward(x + 2 * s * error, reference)[0] for s in (0, 1, -1))
    return float((np.abs(dy) * np.abs(above - 2 * middle + below)).sum()) / (2 * error)
