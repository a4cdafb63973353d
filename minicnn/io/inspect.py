"""What a weight file is and holds, as JSON-ready values and as text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.formats import native
from minicnn.formats.ends import Ends
from minicnn.io import catalogue, load
from minicnn.io.input_size import with_input_size
from minicnn.layers import Layer
from minicnn.network import Network, summary
from minicnn.network.check_weights import describe_nonfinite

__all__ = ["format_description", "inspect"]


def inspect(
    source: PathLike,
    architecture: str | None = None,
    weights: PathLike | None = None,
    entry: str | None = None,
    *,
    input: str | Mapping[str, float | None] | None = None,
    output: str | None = None,
    input_size: tuple[int, int] | None = None,
    layers: Sequence[type[Layer]] = (),
) -> dict[str, Any]:
    """Describe a weight file, or a network of the catalogue by its name.

    Parameters
    ----------
    source : str or Path
        A file, or a name of the catalogue, as for ``minicnn.load``.
    architecture : str, optional
        Architecture of a state dictionary; without it its arrays are listed.
    weights : str or Path, optional
        The second file of formats that have two.
    entry : str, optional
        Which network of a checkpoint that holds several.
    input, output, input_size, layers : optional, as for ``minicnn.load``

    Returns
    -------
    description : dict
        file, bytes, sha256, kind; nonfinite, the first weight with NaN or infinity, None if there is none; for a
        network name, parameters, input_shape, layers, preprocess and labels (None where the file does not say);
        for a state dictionary arrays.  All of it can be written as JSON.

    Raises
    ------
    WeightsError
        If the file can't be read.

    See Also
    --------
    format_description : the same as text

    Examples
    --------
    >>> description = inspect("digits")
    >>> description["kind"], description["input_shape"], description["labels"][:3]
    ('network', [1, 28, 28], ['0', '1', '2'])

    """
    path = load.resolve(source)
    try:
        net = load.open_network(path, weights, architecture, entry, Ends.choose(input, output), layers)
        net = net if input_size is None else with_input_size(net, input_size)
    # a state dictionary without its architecture: the arrays are all that can be listed
    except load.ArchitectureNeeded as error:
        unknown = {"preprocess": None, "labels": None, "nonfinite": describe_nonfinite(error.arrays)}
        return _describe_file(path) | {"kind": "state dictionary", "arrays": _list_arrays(error.arrays)} | unknown
    return _describe_file(path) | {"kind": "network"} | _describe_network(net)


def _describe_file(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        digest = _sha256(file)
    # what came with the package has a source and a licence on record
    shipped = {catalogue.folder("weights") / e["file"]: e for e in catalogue.read_entries().values()}.get(path, {})
    origin = {key: shipped[key] for key in ("source", "licence") if key in shipped}
    return {"file": str(path), "bytes": path.stat().st_size, "sha256": digest} | origin


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()  # hashlib.file_digest needs Python 3.11
    # in pieces, as files of weights may be larger than what memory is free
    while block := file.read(1 << 18):
        digest.update(block)
    return digest.hexdigest()


def _list_arrays(arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    return [{"name": name, "shape": list(a.shape), "dtype": str(a.dtype)} for name, a in arrays.items()]


def _describe_network(net: Network) -> dict[str, Any]:
    return {
        "name": net.name,
        "parameters": sum(a.size for a in net.state_dict().values()),
        "input_shape": None if net.input_shape is None else list(net.input_shape),
        "layers": None if net.input_shape is None else net.summary_rows(),
        "preprocess": native.describe_preprocess(net.preprocess),
        "labels": net.labels,
        "nonfinite": describe_nonfinite(net.state_dict()),
    }


_FACTS = ("file", "kind", "bytes", "sha256", "source", "licence", "name")


def format_description(description: Mapping[str, Any]) -> str:
    """Return a description as text for people."""
    facts = {key: description[key] for key in _FACTS if key in description}
    facts["bytes"] = f"{description['bytes']:,}"
    if "arrays" in description:
        facts["architecture"] = "unknown: the file holds arrays alone; name one with --architecture"
    facts["labels"] = _format_labels(description["labels"])
    facts["preprocess"] = _format_preprocess(description["preprocess"])
    if description["nonfinite"] is not None:
        facts["damaged"] = description["nonfinite"]
    lines = [f"{key + ':':<14}{value}" for key, value in facts.items()]
    if "arrays" in description:
        return "\n".join([*lines, "", *_format_arrays(description["arrays"])])
    layers = "unknown input shape"
    if description["layers"]:
        layers = summary.table(description["layers"], description["input_shape"])
    return "\n".join([*lines, "", layers])


def _format_arrays(arrays: list[dict[str, Any]]) -> list[str]:
    width = max((len(a["name"]) for a in arrays), default=0)
    return [
        f"{a['name']:<{width}}  {a['dtype']:<8}  {' x '.join(map(str, a['shape'])) or 'scalar'}" for a in arrays
    ]


def _format_labels(labels: list[str] | None) -> str:
    if labels is None:
        return "unknown"
    return f"{len(labels)}: {', '.join(labels[:6])}{', ...' if len(labels) > 6 else ''}"


def _format_preprocess(preprocess: dict[str, Any] | None) -> str:
    return "unknown" if preprocess is None else ", ".join(f"{key}={value}" for key, value in preprocess.items())
