"""What a layer of a Keras file is called with: the tensors of other layers, and constants that arithmetic adds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn.errors import WeightsError
from minicnn.formats.containers.files import escape
from minicnn.formats.fields import describe_unread
from minicnn.formats.keras.fields import AUGMENTATION

__all__ = ["ARITHMETIC", "TENSORFLOW", "Constant", "read_operands"]

Constant = np.ndarray  # a number, or one a channel

# operations of Keras 3, of which some are layers too, and what TensorFlow calls them in files of Keras 2
ARITHMETIC = ("Add", "Subtract", "Multiply", "TrueDivide", "Divide", "Negative")
TENSORFLOW = {
    **{"__operators__.add": "Add", "math.add": "Add", "math.subtract": "Subtract", "math.multiply": "Multiply"},
    **{"math.truediv": "TrueDivide", "math.divide": "TrueDivide", "math.negative": "Negative"},
    "nn.bias_add": "Add",
}
_PREPROCESSING = (*AUGMENTATION, "Resizing", "CenterCrop")
MAX_CONSTANT = 1 << 16
_TENSOR = ("class_name", "config", "shape", "dtype", "keras_history", "name")  # of a tensor in a call


def read_operands(node: Any, kind: str) -> Iterator[str | Constant]:
    """Yield what a call of a layer of class ``kind`` combines: names of layers, and constants of arithmetic.

    Parameters
    ----------
    node : dict of Keras 3's ``args`` and ``kwargs``, or list of [name, call, tensor, keywords]
    kind : str

    Raises
    ------
    WeightsError
        If it is called with anything else that changes the answer.

    """
    is_arithmetic = kind in ARITHMETIC
    # TensorFlow's operations of Keras 2 leave out a pair of brackets
    node = [node] if isinstance(node, list) and node and isinstance(node[0], str) else node
    node = _spell_out(node) if is_arithmetic else node
    if not isinstance(node, dict):
        for history in node if isinstance(node, list) else [None]:
            yield _layer_of(history)
        return
    # Keras 3 keeps the arguments of the call, tensors anywhere among them
    others, keywords = {k: v for k, v in node.items() if k not in ("args", "kwargs")}, node.get("kwargs") or {}
    if kind in _PREPROCESSING and isinstance(keywords, dict) and keywords.get("training") is True:
        # Keras writes it of each such layer, and its predict() takes it back
        keywords = {k: v for k, v in keywords.items() if k != "training"}
    _check_call(None, {**(keywords if isinstance(keywords, dict) else {"keywords": keywords}), **others})
    for argument in _flatten(node.get("args"), 0):
        constant = _constant(argument) if is_arithmetic else None
        if constant is not None:
            yield constant
        else:
            _check_call(argument, {})
            for tensor in _find_tensors(argument):
                yield _layer_of(tensor.get("keras_history") if isinstance(tensor, dict) else None)


def _spell_out(node: Any) -> Any:
    """Return Keras 2's call of TensorFlow's arithmetic, [[name, 0, 0, {"y": other}]], as Keras 3 writes it."""
    match node:
        case [[str(name), int() as call, first, {"y": second, **others}]]:
            # a number stands where the tensor's place would
            left = _spell_out_operand(first if name == "_CONSTANT_VALUE" else [name, call, first])
            right = _spell_out_operand(second)
            return {"args": [left, right], "kwargs": {k: v for k, v in others.items() if k != "name"}}
        case [[str(name), int() as call, int() as place, {"bias": list() as bias, **others}]]:
            given = {k: v for k, v in others.items() if k != "name" and (k, v) != ("data_format", "channels_last")}
            args = [_spell_out_operand([name, call, place]), _spell_out_operand(bias)]
            return {"args": args, "kwargs": given}
    return node


def _spell_out_operand(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if value and isinstance(value[0], str):
        return {"class_name": "__keras_tensor__", "config": {"keras_history": value}}
    return {"class_name": "__tensor__", "config": {"value": value}}


def _constant(value: Any) -> Constant | None:
    """Return a number, or the values of a constant tensor; None of anything else."""
    match value:
        case {"class_name": "__tensor__", "config": {"value": list() | float() | int() as value}}:
            pass
        case bool() | dict():
            return None
    try:
        array = np.asarray(value, np.float64) if isinstance(value, int | float | list) else None
    except (ValueError, TypeError, OverflowError):
        return None
    return array if array is not None and array.size <= MAX_CONSTANT and np.isfinite(array).all() else None


def _layer_of(history: Any) -> str:
    """Return the layer of [name, call, output, keywords]: the first of its outputs."""
    match history:
        case [str(name), int(), 0, *keywords] if len(keywords) <= 1:
            _check_call(None, keywords[0] if keywords else {})
            return name
    raise WeightsError("reads something other than the one output of another layer")


def _check_call(arguments: Any, keywords: Any) -> None:
    """Raise for what a layer is called with beside tensors, unless it changes no answer."""
    for value in _flatten(arguments, 0):
        if value is not None and not (isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"):
            raise WeightsError(f"is called with {escape(value)}, which is not read")
        said = value["config"] if value is not None and isinstance(value.get("config"), dict) else {}
        unknown = [key for key in [*(value or {}), *said] if key not in _TENSOR]
        if unknown:
            raise WeightsError(describe_unread(unknown))
    if list(_find_tensors(keywords)):
        raise WeightsError("reads a tensor by keyword, which is not read")
    for name, value in (keywords if isinstance(keywords, dict) else {"keywords": keywords}).items():
        # in training a layer would use the batch's statistics, or drop values
        if value is not None and not (name == "training" and value in (False, 0)) and value != {}:
            raise WeightsError(f"is called with {escape(name)}={escape(value)}, which is not read")


def _find_tensors(value: Any, depth: int = 0) -> Iterator[Any]:
    """Yield what a call of Keras 3 says of each tensor, anywhere among its arguments."""
    if depth > 4:
        return
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        yield value.get("config")
    elif isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _find_tensors(inner, depth + 1)


def _flatten(value: Any, depth: int) -> Iterator[Any]:
    if isinstance(value, list) and depth < 4:
        for inner in value:
            yield from _flatten(inner, depth + 1)
    else:
        yield value
