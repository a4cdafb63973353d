"""Checkpoints: everything that the rest of a run depends on, in one file that appears whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import MinicnnError, WeightsError
from minicnn.formats.containers import npz

__all__ = ["Checkpoint", "read_checkpoint", "write_checkpoint"]

MEMBER, VERSION = "training.json", 1


class Checkpoint(NamedTuple):
    """Where a run is.

    Attributes
    ----------
    arrays : {name: array}
    batch : int, how many of the epoch that is next are done
    steps : int, how many were made
    history : list of dict, one an epoch that is done
    totals : dict, the sums of the epoch that is not
    run : dict, what the run is: recipe, seed and digests of network and data
    first_loss : float, of the first batch before the first step; None in checkpoints of before it was kept

    """

    arrays: Mapping[str, np.ndarray]
    batch: int
    steps: int
    history: list[dict[str, Any]]
    totals: dict[str, Any]
    run: dict[str, Any]
    first_loss: float | None = None


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint beside its place, and rename it there.

    Raises
    ------
    MinicnnError
        If it can't be written: the disk is full, or the folder is read-only; the last one stays.

    """
    described = {name: value for name, value in checkpoint._asdict().items() if name != "arrays"}
    try:
        npz.write(path, checkpoint.arrays, {MEMBER: json.dumps(described | {"version": VERSION})})
    except WeightsError as error:
        raise MinicnnError(
            f"the checkpoint can't be written: {error}; the last one stays, and the same run goes on from it"
        ) from None


def read_checkpoint(path: Path, run: Mapping[str, Any]) -> Checkpoint | None:
    """Return the checkpoint at a path, if there is one.

    Raises
    ------
    MinicnnError
        If it is of another run, naming what differs, or can't be read.

    """
    if not path.exists():
        return None
    arrays, texts = npz.read(path)
    try:
        described = json.loads(texts[MEMBER])
        version, kept = described.pop("version"), described["run"]
    except (KeyError, ValueError, AttributeError):
        raise MinicnnError(f"{path}: is no checkpoint of a training; choose another folder") from None
    if version != VERSION:
        raise MinicnnError(f"{path}: is a checkpoint of version {version}, expected {VERSION}")
    different = [name for name in run if kept.get(name) != run[name]]
    if different:
        raise MinicnnError(
            f"{path}: is of another run, with another {' and '.join(different)}; choose another folder, or start "
            "again there without resuming"
        )
    return Checkpoint(arrays={name: np.array(array) for name, array in arrays.items()}, **described)
