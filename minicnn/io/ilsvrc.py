"""ILSVRC-2012's classes and the ground truth of its validation set, as its development kit has it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minicnn.errors import MinicnnError
from minicnn.formats.containers import matlab
from minicnn.io import catalogue
from minicnn.io.load import load

__all__ = ["VALIDATION", "WORDNET_ID", "name_classes", "read_ground_truth"]

VALIDATION = "ILSVRC2012_val_{:08d}"
META = "meta.mat"  # of the development kit: which WordNet id each of its own numbers is
WORDNET_ID = re.compile(r"n\d{8}\b")


def name_classes(ids: Sequence[str]) -> list[str]:
    """Return the labels that the shipped networks have for WordNet ids; an id that they do not know stays.

    Examples
    --------
    >>> name_classes(["n02012849", "n03126707", "n00000001"])
    ['crane bird', 'construction crane', 'n00000001']

    """
    lines = (catalogue.folder("weights") / "imagenet-classes.txt").read_text(encoding="utf-8").splitlines()
    labels = dict(zip((line[:9] for line in lines), load("squeezenet1_1").labels or [], strict=True))
    return [labels.get(name, name) for name in ids]


def read_ground_truth(path: Path, lines: Sequence[str]) -> dict[str, str]:
    """Return {name of a picture of the validation set: WordNet id}.

    Parameters
    ----------
    path : Path
        ``ILSVRC2012_validation_ground_truth.txt``, beside which its ``meta.mat`` must lie.
    lines : sequence of str
        What it holds: a number for each picture, as the development kit and not as networks number classes.

    Raises
    ------
    MinicnnError
        If ``meta.mat`` is missing, is another file, or does not know a number.

    """
    ids = _read_wordnet_ids(path.with_name(META), path)
    unknown = next((line for line in lines if int(line) not in ids), None)
    if unknown:
        raise MinicnnError(f"{path}: class {unknown} is not in {META}; do they belong together?")
    return {VALIDATION.format(n): ids[int(line)] for n, line in enumerate(lines, 1)}


def _read_wordnet_ids(path: Path, listed: Path) -> dict[int, str]:
    if not path.is_file():
        raise MinicnnError(
            f"{listed}: its numbers are those of ILSVRC's development kit, in an order that is not the networks'; "
            f"put the kit's {META} beside it"
        )
    synsets: Any = matlab.read(path).get("synsets")
    try:
        return {int(s["ILSVRC2012_ID"].item()): str(s["WNID"]) for s in synsets}
    except (TypeError, KeyError, AttributeError, ValueError):
        raise MinicnnError(
            f"{path}: no synsets with ILSVRC2012_ID and WNID in it; is it of the development kit?"
        ) from None
