"""Packages whose public names are imported when they are first used (PEP 562), so that a start is quick."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["import_on_use"]


def import_on_use(package: str, homes: Mapping[str, str]) -> None:
    """Let a package import each public name from its module when it is first asked for.

    Parameters
    ----------
    package : its ``__name__``
    homes : {module: the names that come from it, with spaces between}
        Modules of the package without its name, others with theirs.

    Examples
    --------
    >>> import minicnn.layers
    >>> minicnn.layers.ReLU.__module__
    'minicnn.layers.activation'

    """
    module = sys.modules[package]
    module.__class__ = _Package
    paths = {home if home.startswith("minicnn.") else f"{package}.{home}": names for home, names in homes.items()}
    vars(module)["_home"] = {name: path for path, names in paths.items() for name in names.split()}


class _Package(ModuleType):
    """A package that has ``_home``: {public name: module}."""

    _home: Mapping[str, str]

    def __getattr__(self, name: str) -> Any:
        home = self._home.get(name)
        if home is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = vars(self)[name] = getattr(import_module(home), name)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        # importing a.b sets b in a; where a function has its module's name, a.b is the function
        if not (isinstance(value, ModuleType) and name in self._home):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._home})
