"""Classes of layers of one's own, named on the command line."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from minicnn._utils.raised import describe_error

if TYPE_CHECKING:
    from minicnn.layers import Layer

__all__ = ["import_layers"]


def import_layers(names: str) -> list[type[Layer]]:
    """Import the classes of ``module:Class``, or ``module:One,Two``; the module may lie in the working folder.

    Raises
    ------
    argparse.ArgumentTypeError
        If there is no such module or class, the module raises something, or what it has is no layer.

    Examples
    --------
    >>> import_layers("minicnn.layers:ReLU,Tanh")
    [<class 'minicnn.layers.activation.ReLU'>, <class 'minicnn.layers.activation.Tanh'>]

    """
    from minicnn.layers import Layer

    where, _, classes = names.partition(":")
    if not where or not classes:
        raise argparse.ArgumentTypeError(f"expected MODULE:CLASS, or MODULE:ONE,TWO, got {names!r}")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = import_module(where)
    except Exception as error:  # whatever that module does
        raise argparse.ArgumentTypeError(f"{where} can't be imported: {describe_error(error)}") from error
    values: list[Any] = [getattr(module, name, None) for name in classes.split(",")]
    for name, value in zip(classes.split(","), values, strict=True):
        if not (isinstance(value, type) and issubclass(value, Layer)):
            raise argparse.ArgumentTypeError(f"{where} has no class {name!r} made of minicnn.layers.Layer")
    return values
