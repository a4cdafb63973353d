"""Weights that a file keeps as what they are computed of: normalised, pruned; quantised ones are refused."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import WeightsError
from minicnn.formats.containers.files import escape

__all__ = ["fold"]

Arrays = dict[str, np.ndarray]

# torch.nn.utils.parametrizations, and the forms before it
_PARAMETRISED = re.compile(r"(^|\.)parametrizations\.(\w+)\.(original[01]?|0\._[uv])$")
_OLD = {"original0": "_g", "original1": "_v", "original": "_orig", "0._u": "_u", "0._v": "_v"}
_QUANTISED = {
    "GPTQ or AWQ": re.compile(r"(^|\.)(qweight|qzeros|g_idx)$"),
    "bitsandbytes": re.compile(r"\.(SCB|absmax|quant_map|nested_absmax|quant_state\.\w+)$"),
    "torch.ao": re.compile(r"(fake_quant|activation_post_process|_packed_params|weight_scale|zero_point)(\.|$)"),
}


def fold(path: PathLike, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Return the arrays with each weight in the place of what it is computed of.

    Weight normalisation is w = g v / |v|, spectral normalisation w / (u' W v), pruning w times its mask.

    Raises
    ------
    WeightsError
        If they are those of a quantised network.

    Examples
    --------
    >>> parts = {"fc.weight_g": np.array([[10.0]]), "fc.weight_v": np.array([[3.0, 4.0]])}
    >>> fold("net.pth", parts)
    {'fc.weight': array([[6., 8.]])}

    """
    _refuse_quantised(path, arrays)
    named = {
        _PARAMETRISED.sub(lambda m: f"{m[1]}{m[2]}{_OLD[m[3]]}", name): array for name, array in arrays.items()
    }
    folded: Arrays = {}
    for name, array in named.items():
        stem, _, part = name.rpartition("_")
        parts = {p: named[f"{stem}_{p}"] for p in ("g", "v", "orig", "mask", "u") if f"{stem}_{p}" in named}
        if part in parts and stem.endswith(("weight", "bias")) and (weight := _compute(parts)) is not None:
            folded[stem] = weight.astype(array.dtype)
        else:
            folded[name] = array
    # nothing was under another name
    return dict(arrays) if folded.keys() == named.keys() else folded


def _compute(parts: Arrays) -> np.ndarray | None:
    """Return the weight that the arrays make up, None if they make up none."""
    of = {name: np.asarray(array, np.float64) for name, array in parts.items()}
    match sorted(of):
        case ["g", "v"] if of["v"].ndim >= of["g"].ndim:
            alike = (1,) * (of["v"].ndim - of["g"].ndim) + of["g"].shape
            axes = tuple(axis for axis, n in enumerate(alike) if n == 1)
            length = np.sqrt((of["v"] ** 2).sum(axis=axes, keepdims=True))
            return of["g"].reshape(alike) * of["v"] / np.where(length == 0, np.nan, length)
        case ["mask", "orig"] if of["mask"].shape == of["orig"].shape:
            return of["orig"] * of["mask"]
        case ["orig", "u", "v"]:
            # the axis of the outputs is the first, of a transposed convolution the second
            axis = next((a for a in (0, 1) if of["orig"].shape[a : a + 1] == of["u"].shape), None)
            if axis is not None and of["v"].size * of["u"].size == of["orig"].size:
                matrix = np.moveaxis(of["orig"], axis, 0).reshape(of["u"].size, -1)
                return of["orig"] / ((of["u"] @ matrix @ of["v"].ravel()) or np.nan)
    return None


def _refuse_quantised(path: PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    where = "load the network in float32 from which it was made"
    for program, pattern in _QUANTISED.items():
        name = next((name for name in arrays if pattern.search(name)), None)
        if name is not None:
            raise WeightsError(f"{path}: the weights are quantised ({program}: {escape(name)!r}); {where}")
    weights = {name: array for name, array in arrays.items() if array.ndim > 1}
    whole = [name for name, array in weights.items() if array.dtype.kind in "iu"]
    if whole and 2 * len(whole) > len(weights):
        kind = weights[whole[0]].dtype
        raise WeightsError(
            f"{path}: {escape(whole[0])!r} and others are whole numbers, {kind}, as quantised; {where}"
        )
