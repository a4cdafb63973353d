"""What an architecture is: layers, the input they expect, and how an image becomes it."""

from typing import NamedTuple

from minicnn.images import Preprocess

__all__ = ["Architecture"]


class Architecture(NamedTuple):
    """A network without its weights."""

    layers: list
    input_shape: tuple[int, int, int]
    preprocess: Preprocess
