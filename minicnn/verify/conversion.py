"""Whether a converted file holds the same network: other programs read it, and their results are compared."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import MinicnnError
from minicnn.io.load import load, read_state_dict
from minicnn.io.source import find_kind
from minicnn.network import Network
from minicnn.verify.comparison.both import our_answers, peer_dtype
from minicnn.verify.comparison.distance import distance, read_as, readable_as
from minicnn.verify.comparison.inputs import input_for, random_input
from minicnn.verify.comparison.peers import onnx_runtime
from minicnn.verify.probe import Value
from minicnn.verify.rounding import UNITS

__all__ = ["all_agree", "compare_files"]

TOLERANCE = 1e-4  # of the largest value: float32, by other algorithms
COARSE = 32  # times the unit roundoff of a coarser dtype

Row = dict[str, Any]
Ends = Mapping[str, Any]  # which input and which output of a file that has several


def compare_files(
    net: Network, files: Iterable[PathLike], weights: PathLike | None = None, **loading: Any
) -> list[Row]:
    """Compare ``net`` with what other programs read from files that should hold it.

    ONNX Runtime runs .onnx files, which get an input as they ask for it; PyTorch and the safetensors package read
    the arrays of theirs; minicnn reads every file again and runs it.

    Parameters
    ----------
    net : Network
    files : iterable of Path
        Such as the source and the destination of a conversion.
    weights, loading : optional
        What else ``minicnn.load`` takes, for formats in two files and for state dictionaries.

    Returns
    -------
    rows : list of {"file", "peer", "what", "difference", "scale", "tolerance", "note", "skipped"}
        The largest difference (None where there is none to compute), the largest value beside it, how large a part
        of that a difference may be, what to know of it, or why there is no comparison.

    See Also
    --------
    all_agree : the verdict on these rows

    """
    rows = []
    for path in map(Path, files):
        peer = next((_PEERS[suffix] for suffix in find_kind(path).suffixes if suffix in _PEERS), None)
        # peers know nothing of an entry that was chosen
        if peer is not None and loading.get("entry") is None:
            rows.append(_ask_peer(path, net, peer, _ends(loading)))
        # the way through our own reader is checked even where no other program is there
        rows.append(_reread(path, net, weights, loading))
    return rows


def all_agree(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether there is something compared, and no difference is beyond its tolerance.

    Examples
    --------
    >>> row = {"difference": 2e-4, "scale": 1.0, "tolerance": 1e-4, "skipped": None}
    >>> all_agree([row]), all_agree([row | {"scale": 10.0}]), all_agree([])
    (False, True, False)

    """
    compared = [row for row in rows if not row["skipped"]]
    agreeing = [
        row["difference"] is not None and row["difference"] <= row["tolerance"] * row["scale"] for row in compared
    ]
    return bool(agreeing) and all(agreeing)


class _Pair(NamedTuple):
    """What both sides give: arrays by name, how large a part of the largest may differ, and what to know of it."""

    ours: Mapping[str, np.ndarray]
    theirs: Mapping[str, np.ndarray]
    tolerance: float = TOLERANCE
    note: str = ""


class _Peer(NamedTuple):
    """Another program that reads a format: its package, what is compared, and how, given the ends of the file."""

    package: str
    what: str
    run: Callable[[Path, Network, Ends], _Pair | None]


def _ask_peer(path: Path, net: Network, peer: _Peer, ends: Ends) -> Row:
    if find_spec(peer.package) is None:
        return _row(path, peer, skipped=f"not compared, {peer.package} is not installed")
    try:
        pair = peer.run(path, net, ends)
    except MinicnnError as error:
        return _row(path, peer, note=str(error))
    if pair is None:
        return _row(path, peer, skipped="not compared, the file has other names for its parameters, or more")
    return _compare(path, peer, pair)


def _ends(loading: Mapping[str, Any]) -> Ends:
    return {name: value for name, value in loading.items() if name in ("input", "output")}


def _row(path: Path, peer: _Peer, **fields: Any) -> Row:
    row = {"difference": None, "scale": None, "tolerance": TOLERANCE, "note": "", "skipped": None}
    return {"file": str(path), "peer": peer.package, "what": peer.what} | row | fields


def _compare(path: Path, peer: _Peer, pair: _Pair) -> Row:
    wrong = [
        name
        for name, array in pair.ours.items()
        if name not in pair.theirs or pair.theirs[name].shape != array.shape or not np.isfinite(array).all()
    ]
    if wrong or not pair.ours:
        names = (
            f"missing, of another shape, or not finite: {', '.join(wrong[:3])}" if wrong else "nothing to compare"
        )
        return _row(path, peer, note=names)
    pairs = [(a.astype(np.float64), pair.theirs[name].astype(np.float64)) for name, a in pair.ours.items()]
    # NaN is no agreement, and no number that JSON has
    worst = max(float(np.abs(a - b).max(initial=0)) for a, b in pairs)
    worst = worst if all(np.isfinite(b).all() for _, b in pairs) else np.inf
    scale = max(float(np.abs(a).max(initial=0)) for a, _ in pairs)
    return _row(path, peer, difference=worst, scale=scale, tolerance=pair.tolerance, note=pair.note)


def _run_onnx(path: Path, net: Network, ends: Ends) -> _Pair:
    """Return our answer and that of ONNX Runtime, in our shape."""
    peer = onnx_runtime.from_file(path, net, layers=False, **ends)
    x = input_for(net, peer, None)
    theirs = peer.run(x)[-1]
    ours = our_answers(net, _outputs(net, x))
    what, value = min(ours.items(), key=lambda item: distance(item[1].array, theirs))
    how = readable_as(theirs.array.shape, value.array.shape)
    notes = [f"of shape {theirs.array.shape}, read as {value.array.shape}"] if how else []
    dtype = peer_dtype([theirs], peer)
    notes += [f"in {dtype}"] if dtype in UNITS else []
    notes += [what] if len(ours) > 1 else []
    tolerance = COARSE * UNITS[dtype] if dtype in UNITS else TOLERANCE
    array = read_as(theirs, value.array.shape).array
    return _Pair({"output": value.array}, {"output": array}, tolerance, ", ".join([*notes, *peer.remarks]))


def _outputs(net: Network, x: np.ndarray) -> dict[str, Value]:
    """Return our scores, and the output of a softmax at the end behind it."""
    end = net.forward(x, upto=net.names[-1])
    return {"scores": Value("scores", "", net(x)), "end": Value("end", "", end)}


def _reread(path: Path, net: Network, weights: PathLike | None, loading: Mapping[str, Any]) -> Row:
    kind = find_kind(path)
    if kind.holds_architecture(path):
        # neither an architecture nor an entry belongs to such a file
        loading = {name: value for name, value in loading.items() if name not in ("architecture", "entry", "head")}
        again = load(path, weights if kind.second_file is not None else None, **loading)
    elif loading.get("architecture") is not None:
        again = load(path, **loading)
    else:
        # arrays alone: into the layers of the network that was written
        arrays = read_state_dict(path, loading.get("entry"))
        again = Network.from_state_dict(net.named_layers, arrays, net.input_shape, name=path.stem)
    x = random_input(net)
    return _compare(path, _OURS, _Pair({"scores": net(x)}, {"scores": again(x)}))


# parameters, by the programs that write such files


def _pair_parameters(net: Network, arrays: Mapping[str, np.ndarray]) -> _Pair | None:
    """Return our parameters and the file's; None where our reader had to find their names."""
    return _Pair(net.state_dict(), arrays) if net.state_dict().keys() <= arrays.keys() else None


def _read_by_torch(path: Path, net: Network, _: Ends) -> _Pair | None:
    import torch

    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    # torch refuses files with settings beside the weights
    except pickle.UnpicklingError:
        return None
    # a checkpoint keeps them one level deeper
    tensors = checkpoint.get("state_dict") or checkpoint
    tensors = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, torch.Tensor)}
    return _pair_parameters(net, {n.removeprefix("module."): t.float().numpy() for n, t in tensors.items()})


def _read_by_safetensors(path: Path, net: Network, _: Ends) -> _Pair | None:
    from safetensors.numpy import load_file

    return _pair_parameters(net, load_file(path))


_OURS = _Peer("minicnn", "scores", lambda *_: None)
_PEERS = {
    ".onnx": _Peer("onnxruntime", "output", _run_onnx),
    ".pth": _Peer("torch", "parameters", _read_by_torch),
    ".safetensors": _Peer("safetensors", "parameters", _read_by_safetensors),
}
