"""Whether a converted file holds the same network: other programs read it, and their results are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.io.load import load, read_state_dict
from minicnn.io.source import find_kind
from minicnn.network import Network

__all__ = ["all_agree", "compare_files"]

TOLERANCE = 1e-4  # of the largest value: float32, by other algorithms


def compare_files(
    net: Network,
    files: Iterable[Path],
    architecture: str | None = None,
    weights: PathLike | None = None,
    entry: str | None = None,
    **more: Any,
) -> list[dict[str, Any]]:
    """Compare ``net`` with what other programs read from files that should hold it.

    ONNX Runtime runs .onnx files; PyTorch and the safetensors package read the arrays of theirs; minicnn reads
    every file again and runs it.

    Parameters
    ----------
    net : Network
    files : iterable of Path
        Such as the source and the destination of a conversion.
    architecture, weights, entry : optional
        Of state dictionaries, formats in two files and checkpoints, as for ``minicnn.load``.

    Returns
    -------
    rows : list of {"file", "peer", "what", "difference", "scale", "skipped"}
        The largest difference, the largest value beside it, or why there is no comparison.

    See Also
    --------
    all_agree : the verdict on these rows

    """
    rows = []
    for path in files:
        peer = _PEERS.get(path.suffix)
        if peer is not None:
            rows.append(_ask_peer(path, net, peer))
        # the way through our own reader is checked even where no other program is there
        reread = _reread(path, net, architecture, weights, entry, **more)
        rows.append(_compare(path, "minicnn", "scores", _compute_scores(net), _compute_scores(reread)))
    return rows


def all_agree(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether no difference is more than 1e-4 of the largest value.

    Examples
    --------
    >>> row = {"difference": 2e-4, "scale": 1.0, "skipped": None}
    >>> all_agree([row]), all_agree([row | {"scale": 10.0}])
    (False, True)

    """
    return all(row["skipped"] or row["difference"] <= TOLERANCE * row["scale"] for row in rows)


def _reread(
    path: Path,
    net: Network,
    architecture: str | None,
    weights: PathLike | None,
    entry: str | None,
    **more: Any,
) -> Network:
    kind = find_kind(path)
    if kind.holds_architecture(path):
        return load(path, weights if kind.second_file is not None else None, **more)
    if architecture is not None:
        return load(path, architecture=architecture, entry=entry, **more)
    # arrays alone: into the layers of the network that was written
    return Network.from_state_dict(net.named_layers, read_state_dict(path, entry), net.input_shape, name=path.stem)


class _Peer(NamedTuple):
    """Another program that reads a format: its package, what is compared, and both sides as {name: array}."""

    package: str
    what: str
    ours: Callable[[Network], Mapping[str, np.ndarray]]
    theirs: Callable[[Path, Network], Mapping[str, np.ndarray]]


def _ask_peer(path: Path, net: Network, peer: _Peer) -> dict[str, Any]:
    if find_spec(peer.package) is None:
        row = {"file": str(path), "peer": peer.package, "what": peer.what, "difference": None, "scale": None}
        return row | {"skipped": f"not compared, {peer.package} is not installed"}
    return _compare(path, peer.package, peer.what, peer.ours(net), peer.theirs(path, net))


def _compare(
    path: Path, peer: str, what: str, ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    worst = max((float(np.abs(ours[name] - theirs[name]).max(initial=0)) for name in ours), default=0.0)
    scale = max((float(np.abs(array).max(initial=0)) for array in ours.values()), default=0.0)
    return {"file": str(path), "peer": peer, "what": what, "difference": worst, "scale": scale, "skipped": None}


def _random_input(net: Network) -> np.ndarray:
    assert net.input_shape is not None
    return np.random.default_rng(0).standard_normal((1, *net.input_shape)).astype(np.float32)


def _compute_scores(net: Network) -> dict[str, np.ndarray]:
    return {"scores": net(_random_input(net))}


def _compute_output(net: Network) -> dict[str, np.ndarray]:
    return {"output": net.forward(_random_input(net), upto=net.names[-1])}


def _run_onnxruntime(path: Path, net: Network) -> dict[str, np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (y, *_) = session.run(None, {session.get_inputs()[0].name: _random_input(net)})
    return {"output": y}


def _read_by_torch(path: Path, net: Network) -> dict[str, np.ndarray]:
    import torch

    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    # a checkpoint keeps them one level deeper
    tensors = checkpoint.get("state_dict", checkpoint)
    return {name.removeprefix("module."): tensor.float().numpy() for name, tensor in tensors.items()}


def _read_by_safetensors(path: Path, net: Network) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(path)


_PEERS = {
    ".onnx": _Peer("onnxruntime", "output", _compute_output, _run_onnxruntime),
    ".pth": _Peer("torch", "parameters", Network.state_dict, _read_by_torch),
    ".pt": _Peer("torch", "parameters", Network.state_dict, _read_by_torch),
    ".safetensors": _Peer("safetensors", "parameters", Network.state_dict, _read_by_safetensors),
}
