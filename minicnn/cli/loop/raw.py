"""``--npy`` and ``--png16``: the maps behind a figure as numbers, in files beside it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

__all__ = ["RawFiles", "add_raw", "format_raw"]


def add_raw(parser: ArgumentParser, what: str = "the map") -> None:
    """Add whether maps are written as numbers too."""
    parser.add_argument("--npy", action="store_true", help=f"write {what} as NumPy file too, beside the figure")
    parser.add_argument("--png16", action="store_true", help=f"write {what} as PNG of 16 bits too")


class RawFiles(NamedTuple):
    """Which files of numbers are asked for, and what the arrays are called."""

    names: Sequence[str]
    npy: bool
    png16: bool

    @classmethod
    def asked_for(cls, arguments: Namespace, names: Sequence[str]) -> RawFiles:
        """Return those that were typed."""
        return cls(names, arguments.npy, arguments.png16)

    def paths(self, figure: Path) -> dict[tuple[str, str], Path]:
        """Return the files beside a figure, by the array's name and the kind of file.

        Examples
        --------
        >>> [path.name for path in RawFiles(["map", "mask"], npy=True, png16=False).paths(Path("a.png")).values()]
        ['a.map.npy', 'a.mask.npy']

        """
        ends = ([("npy", "npy")] if self.npy else []) + ([("png16", "16.png")] if self.png16 else [])
        return {(name, kind): figure.with_suffix(f".{name}.{end}") for name in self.names for kind, end in ends}

    def planned(self, figures: Iterable[Path]) -> list[Path]:
        """Return the figures and their files of numbers, all that will be written."""
        return [path for figure in figures for path in (figure, *self.paths(figure).values())]

    def write(self, figure: Path, arrays: Mapping[str, Callable[[], np.ndarray]]) -> dict[str, list[str]]:
        """Write the arrays, each made when it is its turn; return what a record says of them."""
        from minicnn.report.raw import save_npy, save_png16

        paths = self.paths(figure)
        for name in self.names if paths else ():
            array = arrays[name]()
            if self.npy:
                save_npy(array, paths[name, "npy"])
            if self.png16:
                save_png16(array, paths[name, "png16"])
        return {"raw": [str(path) for path in paths.values()]} if paths else {}


def format_raw(record: Mapping[str, Any]) -> str:
    """Return the files of numbers of a record, to stand behind its figure.

    Examples
    --------
    >>> format_raw({"raw": ["cat.map.npy"]}), format_raw({})
    (', cat.map.npy', '')

    """
    return "".join(f", {path}" for path in record.get("raw", ()))
