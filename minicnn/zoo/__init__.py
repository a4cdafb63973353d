"""Architectures by name, one file a family: what a state dictionary, which holds weights alone, is loaded into."""

from minicnn.errors import MinicnnError
from minicnn.names import nearest
from minicnn.network import Network
from minicnn.zoo.architecture import Architecture
from minicnn.zoo.digits import digits
from minicnn.zoo.efficientnet import efficientnet_lite0

__all__ = ["ARCHITECTURES", "Architecture", "architecture", "build", "digits", "efficientnet_lite0"]

ARCHITECTURES = {"digits": digits, "efficientnet-lite0": efficientnet_lite0}


def architecture(name: str, num_classes: int | None = None) -> Architecture:
    """Return layers, input shape and preprocessing of an architecture, its weights unset.

    Parameters
    ----------
    name : str, one of ``ARCHITECTURES``
    num_classes : int, optional
        Number of scores; the published one unless given.

    Raises
    ------
    MinicnnError
        If no architecture has that name; the nearest names are in the message.

    """
    if name not in ARCHITECTURES:
        raise MinicnnError(f"unknown architecture {name!r}; {nearest(name, ARCHITECTURES)}")
    return ARCHITECTURES[name]() if num_classes is None else ARCHITECTURES[name](num_classes)


def build(name: str, num_classes: int | None = None, seed: int = 0) -> Network:
    """Return a network of that architecture with random weights, drawn from ``seed``."""
    layers, input_shape, preprocess = architecture(name, num_classes)
    return Network(layers, input_shape, preprocess, seed=seed, name=name)
