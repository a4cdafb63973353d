"""Deep Inside Convolutional Networks: a ConvNet engine from scratch.

Names are loaded when they are first used: importing minicnn imports NumPy and nothing else from outside.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

__all__ = [
    "Network",
    "Preprocess",
    "committee",
    "errors",
    "evaluate",
    "explain",
    "explore",
    "formats",
    "images",
    "layers",
    "load",
    "report",
    "rules",
    "save",
    "segmentation",
    "training",
    "verify",
    "zoo",
]

_HOMES = {
    "committee": "network.committee",
    "Network": "network",
    "Preprocess": "images",
    "explore": "explorer.serve",
    "load": "io.load",
    "save": "io.load",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name not in __all__:
        raise AttributeError(f"module 'minicnn' has no attribute {name!r}")
    module = import_module(f"minicnn.{_HOMES.get(name, name)}")
    value = globals()[name] = getattr(module, name) if name in _HOMES else module
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
