"""Pictures that come with minicnn, by name: the only files that a page can have opened."""

from __future__ import annotations

from pathlib import Path

from minicnn.io import catalogue
from minicnn.network import Network
from minicnn.service.refusals import Refusal

__all__ = ["example_names", "read_example"]

PHOTOGRAPHS = ("coffee.png", "koala.jpg", "panda.jpg", "chelsea.png", "jaguar.jpg", "rocket.jpg")
SMALL = {"digits": "seven.png", "lenet5-digits": "seven.png", "fashion": "ankle-boot.png"}


def example_names(net: Network) -> list[str]:
    """Return the pictures that fit a network, the best one first.

    Examples
    --------
    >>> import minicnn
    >>> example_names(minicnn.load("digits"))
    ['seven.png']

    """
    if net.name in SMALL:
        return [SMALL[net.name]]
    is_small = net.input_shape is not None and len(net.input_shape) == 3 and net.input_shape[0] == 1
    return ["seven.png", "ankle-boot.png"] if is_small else list(PHOTOGRAPHS)


def read_example(name: str) -> bytes:
    """Return the bytes of a picture of the list; a Refusal for any other name."""
    if name not in (*PHOTOGRAPHS, *SMALL.values()):
        raise Refusal(
            "parameter", f"example: there is no picture {name[:40]!r} among those that come with minicnn"
        )
    return Path(catalogue.folder("images"), name).read_bytes()
