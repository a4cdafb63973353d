"""Which input and which output of a file with several a network goes between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from minicnn.errors import WeightsError
from minicnn.formats.containers.files import escape

__all__ = ["ONLY", "Ends"]


class Ends(NamedTuple):
    """What of a file is read.

    Attributes
    ----------
    input : str, the input that is the image; None where there is one
    output : str; None where there is one
    constants : {name: value} of inputs that are the same for each image, such as the rate of a dropout

    """

    input: str | None = None
    output: str | None = None
    constants: Mapping[str, float] = {}

    @classmethod
    def choose(cls, input: str | Mapping[str, float | None] | None, output: str | None) -> Ends:
        """Return what ``minicnn.load`` was given: the image's name, or {name: value}, with None for the image.

        Examples
        --------
        >>> Ends.choose({"image": None, "keep_prob": 1.0}, "scores")
        Ends(input='image', output='scores', constants={'keep_prob': 1.0})

        """
        if not isinstance(input, Mapping):
            return cls(input, output)
        images = [name for name, value in input.items() if value is None]
        if len(images) > 1:
            raise WeightsError(
                f"input: expected one that is the image, got {', '.join(images)}; give the others values"
            )
        constants = {name: float(value) for name, value in input.items() if value is not None}
        return cls(images[0] if images else None, output, constants)

    def find_output(self, names: Sequence[str], where: object) -> str:
        """Return the name of the output that is read.

        Raises
        ------
        WeightsError
            If there are several, or none of that name; they are listed.

        """
        if self.output is None and len(names) == 1:
            return names[0]
        if self.output in names and self.output is not None:
            return self.output
        raise WeightsError(f"{where}: {_describe('output', self.output, names)}")

    def find_input(self, names: Sequence[str], where: object) -> str:
        """Return the name of the image among the inputs that the output depends on; raises as ``find_output``."""
        for name in self.constants:
            if name not in names:
                raise WeightsError(f"{where}: {_describe('input', name, names)}")
        open_names = [name for name in names if name not in self.constants]
        if self.input is not None and self.input not in open_names:
            raise WeightsError(f"{where}: {_describe('input', self.input, names)}")
        others = [name for name in open_names if name != self.input]
        if self.input is None and len(others) != 1:
            raise WeightsError(f"{where}: {_describe('input', None, names)}")
        if self.input is not None and others:
            raise WeightsError(
                f"{where}: reads {escape(others[0])!r} beside {escape(self.input)!r}; give it the value that "
                f"it has for each image, --input {escape(others[0])}=1"
            )
        return self.input or others[0]


def _describe(what: str, name: str | None, names: Sequence[str]) -> str:
    """Return which there are, and how one is chosen."""
    listed = ", ".join(escape(n) for n in names[:20])
    if name is not None:
        return f"no {what} {escape(name)!r}; there {'is' if len(names) == 1 else 'are'} {listed}"
    constant = (
        ", and give each other that the answer needs its value, --input NAME=VALUE" if what == "input" else ""
    )
    return f"{len(names)} {what}s ({listed}); choose one, {what}=NAME or --{what} NAME{constant}"


ONLY = Ends()  # of files with one input and one output
