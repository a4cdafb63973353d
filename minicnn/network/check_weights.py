"""Whether the weights are numbers: a training that diverged, or a damaged file, leaves NaN or infinity in them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

import numpy as np

from minicnn.errors import WeightsError
from minicnn.layers import sequence
from minicnn.layers.base import Layer, NamedLayers

__all__ = ["check_numbers", "check_weights", "describe_nonfinite"]

BLOCK = 1 << 16  # values looked at together: what lies at an odd address is copied, so much at a time


def check_weights(arrays: Mapping[str, np.ndarray], where: str = "") -> None:
    """Raise WeightsError if a weight holds NaN or infinity; its sentence begins with ``where``, a file.

    Examples
    --------
    >>> check_weights({"fc.weight": np.array([[1.0, np.nan], [2.0, 3.0]])}, "net.npz")
    Traceback (most recent call last):
    minicnn.errors.WeightsError: net.npz: weight fc.weight holds NaN at [0, 1] (1 value); ...

    """
    what = describe_nonfinite(arrays)
    if what is not None:
        raise WeightsError(f"{where}: {what}" if where else what)


def check_numbers(layers: NamedLayers, where: str = "") -> None:
    """Raise as ``check_weights`` for the layers' weights, and for a setting that is NaN.

    Warns
    -----
    UserWarning
        If a variance is below 0, of which a normalisation makes NaN.

    Examples
    --------
    >>> from minicnn.layers import Pow
    >>> check_numbers([("root", Pow(float("nan")))], "net.npz")
    Traceback (most recent call last):
    minicnn.errors.WeightsError: net.npz: layer root (Pow): its exponent is nan, which makes NaN of any input

    """
    check_weights(sequence.state_dict(layers), where)
    for name, layer in sequence.walk(layers):
        if what := _describe_setting(name, layer):
            raise WeightsError(f"{where}: {what}" if where else what)
        if what := _describe_variance(name, layer):
            warnings.warn(f"{where}: {what}" if where else what, stacklevel=3)


def _describe_variance(name: str, layer: Layer) -> str | None:
    """Return which variance has no root; rounding below 0 that eps makes up for is none."""
    variance, eps = (getattr(layer, key, None) for key in ("running_var", "eps"))
    if not isinstance(variance, np.ndarray) or eps is None:
        return None
    wrong = np.flatnonzero(variance + eps <= 0)
    if not len(wrong):
        return None
    value = f"{variance[wrong[0]]:g} at [{wrong[0]}]"
    return (
        f"weight {name}.running_var is {value}, and a variance is 0 or more: its channel is NaN; the file is "
        "damaged, or written in another order"
    )


def _describe_setting(name: str, layer: Layer) -> str | None:
    settings = {f.name: getattr(layer, f.name) for f in fields(layer)} if is_dataclass(layer) else {}
    for key, value in settings.items():
        if isinstance(value, float) and (np.isnan(value) or (key == "eps" and value < 0)):
            return f"layer {name} ({type(layer).__name__}): its {key} is {value:g}, which makes NaN of any input"
    return None


def describe_nonfinite(arrays: Mapping[str, np.ndarray]) -> str | None:
    """Return which weight is the first to hold NaN or infinity, where, and how much of it; None if none does."""
    wrong = [name for name, array in arrays.items() if not _is_finite(array)]
    if not wrong:
        return None
    array = arrays[wrong[0]]
    finite = np.isfinite(array)
    place, count = np.argwhere(~finite)[0].tolist(), int(finite.size - np.count_nonzero(finite))
    what = "NaN" if np.isnan(array[tuple(place)]) else "infinity"
    name = wrong[0] if wrong[0].isprintable() else ascii(wrong[0])
    text = f"weight {name} holds {what} at {place} ({count} value{'s' * (count != 1)})"
    if len(wrong) > 1:
        text += f", as {len(wrong) - 1} other{'s do' if len(wrong) > 2 else ' does'}"
    return f"{text}; the training diverged or the file is damaged: take a checkpoint from before"


def _is_finite(array: np.ndarray) -> bool:
    if array.dtype.kind not in "fc":
        return True
    flat = array.ravel(order="K")
    with np.errstate(all="ignore"):
        return all(_is_block_finite(flat[i : i + BLOCK]) for i in range(0, flat.size, BLOCK))


def _is_block_finite(block: np.ndarray) -> bool:
    # a sum of squares, the fastest pass, is finite only if every value is; or a square was beyond the type's range
    return bool(np.isfinite(np.dot(block, block))) or bool(np.isfinite(block).all())
