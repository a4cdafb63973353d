"""What a peer is: another program's view of a network, as functions of its input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from minicnn._utils.raised import describe_error
from minicnn.errors import MinicnnError
from minicnn.verify.probe import Value

__all__ = ["Peer", "require_package"]


@dataclass(frozen=True)
class Peer:
    """Another program's view of a network.

    Attributes
    ----------
    name : what to call it
    values : function of x, (N, C, H, W), that returns the layers' outputs in order, and last the program's answer
    gradient : function of (x, class) that returns the gradient of the class score with respect to the input, as
        "input", and to the layers' outputs by name; None where the program has none
    float64 : whether it computes the gradient in float64 if x is
    rounding : how many times larger its algorithms' rounding errors are than those of sums in order
    x, target : the input that the values are of, and the class that the gradient is of, where they are fixed
    dtype : of the input that it takes: an x that this dtype can't hold is rounded for both sides
    input_shape : (C, H, W) that it takes, None where it is open; empty where it does not say
    precision : in which it computes, where its values' dtype does not say it
    repeatable : whether the same input is known to get the same values every time
    remarks : what somebody who relies on an agreement should know of it

    """

    name: str
    values: Callable[[np.ndarray], list[Value]]
    gradient: Callable[[np.ndarray, int], dict[str, np.ndarray]] | None = None
    float64: bool = False
    rounding: float = 1.0
    x: np.ndarray | None = None
    target: int | None = None
    dtype: str = "float32"
    input_shape: tuple[int | None, ...] = ()
    precision: str = ""
    repeatable: bool = False
    remarks: Sequence[str] = ()

    def run(self, x: np.ndarray) -> list[Value]:
        """Return the values for x, what the program answers last; no array is shared with the program."""
        values = self._call(self.values, np.array(x))
        return [value._replace(array=np.array(value.array, ndmin=1)) for value in values]

    def run_gradient(self, x: np.ndarray, target: int) -> dict[str, np.ndarray]:
        """Return the gradients of a class score; no array is shared with the program."""
        gradients = {} if self.gradient is None else self._call(self.gradient, np.array(x), target)
        return {name: np.array(gradient) for name, gradient in gradients.items()}

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except MinicnnError:
            raise
        except Exception as error:  # of whatever kind: it is somebody else's program
            raise MinicnnError(f"{self.name}: {describe_error(error)}") from None


def require_package(package: str, what: str) -> Any:
    """Return a package; MinicnnError naming the extra that installs it where it is missing."""
    try:
        return import_module(package)
    except ImportError:
        raise MinicnnError(
            f"{what} needs {package}, which is not installed; pip install 'minicnn-engine[verify]'"
        ) from None
