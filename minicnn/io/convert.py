"""Whether a converted file still says the same: other programs read it, and their answers are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.io.load import load
from minicnn.network import Network

__all__ = ["agree", "check"]

TOLERANCE = 1e-4  # of the largest value: float32, by other algorithms


def check(
    net: Network, files: Iterable[Path], architecture: str | None = None, weights: str | None = None
) -> list[dict[str, Any]]:
    """Compare ``net`` with what others find in files that should hold it.

    ONNX Runtime runs .onnx files; PyTorch and the safetensors package read the arrays of theirs; minicnn reads
    every file again and runs it.

    Parameters
    ----------
    net : Network
    files : paths, such as the source and the destination of a conversion
    architecture, weights : of state dictionaries, and of formats in two files, as for ``minicnn.load``

    Returns
    -------
    rows : list of {"file", "peer", "what", "difference", "scale", "skipped"}: the largest difference, the largest
        value beside it, or why there is no comparison

    """
    rows = []
    for path in files:
        peer = _PEERS.get(path.suffix)
        if peer is not None:
            rows.append(_row(path, net, *peer))
        rows.append(
            _compared(path, "minicnn", "scores", _scores(net), _scores(_again(path, net, architecture, weights)))
        )
    return rows


def agree(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether no comparison found more than 1e-4 of the largest value."""
    return all(row["skipped"] or row["difference"] <= TOLERANCE * row["scale"] for row in rows)


def _again(path: Path, net: Network, architecture: str | None, weights: str | None) -> Network:
    holds_all = path.suffix not in (".pth", ".pt", ".safetensors")
    if holds_all or architecture is not None:
        return load(path, weights if path.suffix == ".prototxt" else None, None if holds_all else architecture)
    from minicnn.io.load import read_state_dict

    return Network.from_state_dict(net.named_layers, read_state_dict(path), net.input_shape, name=path.stem)


def _input(net: Network) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((1, *net.input_shape)).astype(np.float32)


def _scores(net: Network) -> dict[str, np.ndarray]:
    return {"scores": net(_input(net))}


def _row(path: Path, net: Network, package: str, what: str, ours: Callable, theirs: Callable) -> dict[str, Any]:
    if find_spec(package) is None:
        skipped = f"not compared, {package} is not installed"
        return {
            "file": str(path),
            "peer": package,
            "what": what,
            "difference": None,
            "scale": None,
            "skipped": skipped,
        }
    return _compared(path, package, what, ours(net), theirs(path, net))


def _compared(path: Path, peer: str, what: str, ours: Mapping, theirs: Mapping) -> dict[str, Any]:
    worst = max((float(np.abs(ours[name] - theirs[name]).max(initial=0)) for name in ours), default=0.0)
    scale = max((float(np.abs(array).max(initial=0)) for array in ours.values()), default=0.0)
    return {"file": str(path), "peer": peer, "what": what, "difference": worst, "scale": scale, "skipped": None}


def _onnxruntime(path: Path, net: Network) -> dict[str, np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (y, *_) = session.run(None, {session.get_inputs()[0].name: _input(net)})
    return {"output": y}


def _output(net: Network) -> dict[str, np.ndarray]:
    return {"output": net.forward(_input(net), upto=net.names[-1])}


def _torch(path: Path, net: Network) -> dict[str, np.ndarray]:
    import torch

    found = torch.load(path, map_location="cpu", weights_only=True)
    found = found.get("state_dict", found)
    return {name.removeprefix("module."): tensor.float().numpy() for name, tensor in found.items()}


def _safetensors(path: Path, net: Network) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(path)


_PEERS = {
    ".onnx": ("onnxruntime", "output", _output, _onnxruntime),
    ".pth": ("torch", "parameters", Network.state_dict, _torch),
    ".pt": ("torch", "parameters", Network.state_dict, _torch),
    ".safetensors": ("safetensors", "parameters", Network.state_dict, _safetensors),
}
