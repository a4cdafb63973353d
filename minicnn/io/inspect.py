"""What a weight file is and holds, in words and as plain values."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.formats import native
from minicnn.io import catalogue, load
from minicnn.network import Network, summary

__all__ = ["inspect", "text"]


def inspect(
    source: str | Path, architecture: str | None = None, weights: str | Path | None = None
) -> dict[str, Any]:
    """Describe a weight file, or a network of the catalogue by its name.

    Parameters
    ----------
    source : path or name, as for ``minicnn.load``
    architecture : str, optional
        Architecture of a state dictionary; without it its arrays are listed.
    weights : str or Path, optional
        The second file of formats that have two.

    Returns
    -------
    description : dict of plain values: file, bytes, sha256, kind; for a network name, parameters, input_shape,
        layers, preprocess and labels (None where the file does not say); for a state dictionary arrays

    Raises
    ------
    WeightsError
        If the file can't be read.

    """
    path = load.resolve(source)
    try:
        net = load.open_network(path, weights, architecture)
    except load.ArchitectureNeeded as found:
        unknown = {"preprocess": None, "labels": None}
        return _file(path) | {"kind": "state dictionary", "arrays": _arrays(found.arrays)} | unknown
    return _file(path) | {"kind": "network"} | _network(net)


def _file(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256") if hasattr(hashlib, "file_digest") else _digest(file)
    shipped = {catalogue.folder("weights") / e["file"]: e for e in catalogue.entries().values()}.get(path, {})
    origin = {key: shipped[key] for key in ("source", "licence") if key in shipped}
    return {"file": str(path), "bytes": path.stat().st_size, "sha256": digest.hexdigest()} | origin


def _digest(file):
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest


def _arrays(arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    return [{"name": name, "shape": list(a.shape), "dtype": str(a.dtype)} for name, a in arrays.items()]


def _network(net: Network) -> dict[str, Any]:
    return {
        "name": net.name,
        "parameters": sum(a.size for a in net.state_dict().values()),
        "input_shape": None if net.input_shape is None else list(net.input_shape),
        "layers": None if net.input_shape is None else net.summary_rows(),
        "preprocess": native.describe_preprocess(net.preprocess),
        "labels": net.labels,
    }


def text(found: dict[str, Any]) -> str:
    """Return a description as text for people."""
    keys = ("file", "kind", "bytes", "sha256", "source", "licence", "name")
    facts = {key: f"{found[key]:,}" if key == "bytes" else found[key] for key in keys if key in found}
    if "arrays" in found:
        facts["architecture"] = "unknown: the file holds arrays alone; name one with --architecture"
    facts |= {"labels": _labels(found["labels"]), "preprocess": _preprocess(found["preprocess"])}
    lines = [f"{key + ':':<14}{value}" for key, value in facts.items()]
    if "arrays" in found:
        return "\n".join([*lines, "", *_array_lines(found["arrays"])])
    layers = summary.table(found["layers"], found["input_shape"]) if found["layers"] else "unknown input shape"
    return "\n".join([*lines, "", layers])


def _array_lines(arrays: list[dict[str, Any]]) -> list[str]:
    width = max((len(a["name"]) for a in arrays), default=0)
    return [
        f"{a['name']:<{width}}  {a['dtype']:<8}  {' x '.join(map(str, a['shape'])) or 'scalar'}" for a in arrays
    ]


def _labels(labels: list[str] | None) -> str:
    if labels is None:
        return "unknown"
    return f"{len(labels)}: {', '.join(labels[:6])}{', ...' if len(labels) > 6 else ''}"


def _preprocess(preprocess: dict[str, Any] | None) -> str:
    return "unknown" if preprocess is None else ", ".join(f"{key}={value}" for key, value in preprocess.items())
