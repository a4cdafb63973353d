"""Weights in several files, with an index that says which array lies where: ``*.safetensors.index.json``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import WeightsError
from minicnn.formats import pytorch, safetensors
from minicnn.formats.checkpoint import strip_prefix
from minicnn.formats.containers.files import escape
from minicnn.formats.sample import take_sample

__all__ = ["find_index", "read"]

MAX_SHARDS = 10_000


def read(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays that an index lists, out of the files beside it.

    Raises
    ------
    WeightsError
        If the index is damaged, or a file or an array that it names is missing; each is named.

    """
    sample = take_sample(path)
    names = {} if sample is None else sample.json.get("weight_map", {})
    if not isinstance(names, dict) or not names or not all(_is_file_name(name) for name in names.values()):
        raise WeightsError(f"{path}: expected an index with a weight_map: names of arrays and of files beside it")
    shards = sorted(set(names.values()))
    missing = [escape(name) for name in shards if not (path.parent / name).is_file()]
    if missing or len(shards) > MAX_SHARDS:
        raise WeightsError(
            f"{path}: of its {len(shards)} files these are missing: {', '.join(missing[:6])}; "
            "fetch them into the same folder"
        )
    names = {_strip(name): owner for name, owner in names.items()}
    arrays: dict[str, np.ndarray] = {}
    for shard in shards:
        inner = _read_shard(path.parent / shard)
        absent = [name for name, owner in names.items() if owner == shard and name not in inner]
        if absent:
            raise WeightsError(
                f"{path.parent / shard}: has no {escape(absent[0])!r}, which {path.name} says it has"
            )
        arrays |= {name: inner[name] for name, owner in names.items() if owner == shard}
    # in the index's order
    return {name: arrays[name] for name in names}


def _is_file_name(name: Any) -> bool:
    # an index must not reach into other folders, and file systems know no names of more than 255 bytes
    is_name = isinstance(name, str) and bool(name) and Path(name).name == name and "\\" not in name
    return is_name and len(name.encode("utf-8", "surrogatepass")) <= 255


def _read_shard(path: Path) -> dict[str, np.ndarray]:
    sample = take_sample(path)
    torch = sample is not None and sample.is_pytorch()
    arrays = pytorch.read(path) if torch else safetensors.read(path)
    return {_strip(name): array for name, array in arrays.items()}


def _strip(name: str) -> str:
    # PyTorch's reader removes what wrappers put before all names of one file
    (stripped,) = strip_prefix({name: None})
    return stripped


def find_index(path: Path) -> Path | None:
    """Return the index of which a file is one part of several by its name, whether it is there or not.

    Examples
    --------
    >>> find_index(Path("model-00001-of-00003.safetensors"))
    PosixPath('model.safetensors.index.json')

    """
    match = re.fullmatch(r"(.+)-\d{5}-of-(\d{5})(\.\w+)", path.name)
    if match is None or int(match[2]) < 2:
        return None
    return path.with_name(f"{match[1]}{match[3]}.index.json")
