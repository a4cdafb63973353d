"""Arithmetic of a value and a constant in a Keras model, such as x / 127.5 - 1 at its front, as a ``Scale``."""

from __future__ import annotations

import numpy as np

from minicnn.formats.containers.files import escape
from minicnn.formats.keras.calls import ARITHMETIC
from minicnn.formats.keras.context import BuildContext
from minicnn.formats.keras.model import Spec
from minicnn.layers import Layer, Scale

__all__ = ["ARITHMETIC_LAYERS"]


def _line(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Return y = scale x + offset."""
    spec.get("function")  # of TensorFlow, by which its class is known
    scale, offset = _scale_and_offset(spec)
    if not np.isfinite(scale).all():
        raise spec.error("divides by 0")
    scale, offset = np.broadcast_arrays(*(_orient(spec, a, context) for a in (scale, offset)))
    weight, bias = (np.array(a, spec.dtype) for a in (scale, offset))
    return [Scale(weight.shape, bias if bias.any() else False, weight=weight)]


def _scale_and_offset(spec: Spec) -> tuple[np.ndarray, np.ndarray]:
    one, zero = np.ones(()), np.zeros(())
    with np.errstate(divide="ignore"):
        match spec.kind, spec.operands:
            case "Negative", [str()]:
                return -one, zero
            case "Add", [str(), np.ndarray() as c] | [np.ndarray() as c, str()]:
                return one, c
            case "Subtract", [str(), np.ndarray() as c]:
                return one, -c
            case "Subtract", [np.ndarray() as c, str()]:
                return -one, c
            case "Multiply", [str(), np.ndarray() as c] | [np.ndarray() as c, str()]:
                return c, zero
            case "TrueDivide" | "Divide", [str(), np.ndarray() as c]:
                return 1 / c, zero
    given = ", ".join("a constant" if isinstance(o, np.ndarray) else escape(o) for o in spec.operands) or "nothing"
    raise spec.error(f"of {given} is not read; expected a value and a constant, and no division by the value")


def _orient(spec: Spec, values: np.ndarray, context: BuildContext) -> np.ndarray:
    """Return a constant as it is broadcast to an image of our axes: the batch's taken off, channels first."""
    rank = len(context.shape)
    if values.size == 1:
        return values.reshape(())
    values = values.reshape((1,) * (rank + 1 - values.ndim) + values.shape)
    if values.ndim != rank + 1 or len(values) != 1:
        raise spec.error(f"a constant of {values.shape} does not fit images of {escape(context.shape)}")
    return values[0] if context.channels_first or rank != 3 else values[0].transpose(2, 0, 1)


def _layer_scale(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Return ConvNeXt's product with one number for each channel (Liu et al. 2022)."""
    spec.get("init_values"), spec.get("projection_dim")  # first values, and their number
    if len(arrays) != 1 or arrays[0].ndim != 1:
        raise spec.error("expected one number for each channel")
    weight = np.ascontiguousarray(_orient(spec, arrays[0].astype(spec.dtype), context))
    return [Scale(weight.shape, bias=False, weight=weight)]


ARITHMETIC_LAYERS = {**dict.fromkeys(ARITHMETIC, _line), "LayerScale": _layer_scale}
