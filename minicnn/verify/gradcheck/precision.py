"""What single precision does to a whole network's gradient: roundings on the way back, and kinks crossed forward.

Backward, every layer rounds; an error in its input gradient counts as far as that input moves, so it is weighed
with the tangent there.  Forward, a unit so near to its kink that rounding decides on which side it lies may pass
its cotangent or not: such units are found by running the device and measuring how far its values are off, and the
most that they can change is added, in absolute values.  Through a smooth layer the forward error changes the
slope, by its share of the layer's input.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np

from minicnn.layers import Kind, Layer, MaxPool2d, sequence
from minicnn.verify.gradcheck.trace import Recorded
from minicnn.verify.kinks import Around, clearance, rivals
from minicnn.verify.rounding import SIGMAS, gradient_scales, tolerance

__all__ = ["slack"]

SLACK = 2.0  # merged steps and other orders of summation round differently from the run that is measured


def slack(own: sequence.NamedLayers, kernels: ModuleType, met: Recorded, seen: Around, dtype) -> float:
    """Return how far a device's directional derivative may be off.

    Parameters
    ----------
    own : layers up to the scores, in the device's dtype
    kernels : the device
    met : inputs and cotangents of every layer in float64
    seen : tangents of every layer's input, along the direction
    dtype : the device's

    """
    rough = Recorded()
    x = next(iter(met.inputs.values())).astype(dtype)
    sequence.forward(sequence.map_layers(own, rough.around), x, kernels)
    rounding, crossed, bent = [], 0.0, []
    for name, layer in sequence.walk(own):
        layer, x, v, g = layer.astype(np.float64), met.inputs[name], seen.tangents[name], met.cotangents[name]
        off = SLACK * float(np.abs(rough.inputs[name] - x).max(initial=0.0))
        rounding.append(gradient_scales(layer, x, g)["input"] * v)
        crossed += _crossed(layer, x, v, g, off)
        if layer.kind is Kind.SMOOTH:
            bent.append(gradient_scales(layer, x, g)["input"] * v * off / (np.abs(x).max(initial=0.0) or 1.0))
    return tolerance(dtype, *rounding) + crossed + SIGMAS * float(np.sqrt(sum(np.vdot(b, b) for b in bent)))


def _crossed(layer: Layer, x: np.ndarray, v: np.ndarray, g: np.ndarray, off: float) -> float:
    """Most that units within ``off`` of their kink can change the derivative."""
    if isinstance(layer, MaxPool2d):
        gaps, apart = rivals(layer, x, v)
        return float((np.abs(g) * np.where(gaps <= 2 * off, np.abs(apart), 0.0).max(axis=0)).sum())
    near = clearance(layer, x) <= off
    return float(np.abs(g * v)[near].sum()) if np.ndim(near) else 0.0
