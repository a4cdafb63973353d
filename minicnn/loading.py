"""From a name or a file to a network, and back to a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from minicnn import catalogue, zoo
from minicnn.errors import WeightsError
from minicnn.layers import Linear
from minicnn.names import nearest
from minicnn.network import Network

__all__ = ["load", "save"]

_PYTORCH = (".pth", ".pt", ".bin", ".ckpt")
_SUFFIXES = (".npz", ".pth", ".pt", ".safetensors")


def load(source: str | Path, weights: str | Path | None = None, architecture: str | None = None) -> Network:
    """Load a network by name or from a file; no framework is needed and nothing in the file is executed.

    Parameters
    ----------
    source : str or Path
        A name of the catalogue ("digits", "efficientnet-lite0"), or a file: our own .npz, which holds
        everything, or a state dictionary (.pth, .pt, .safetensors, .npz).
    weights : str or Path, optional
        For formats whose weights lie in a second file.
    architecture : str, optional
        For a state dictionary: one of ``minicnn.zoo.ARCHITECTURES``.

    Returns
    -------
    net : Network

    Raises
    ------
    WeightsError
        If the file is missing, damaged, hostile, of an unknown kind, or does not fit the architecture.
    MinicnnError
        If there is no such name; the nearest names are in the message.

    """
    path = Path(source)
    if weights is not None:
        raise WeightsError(
            f"{weights}: a second file was given, but {path.name!r} is not of a format that has one"
        )
    if isinstance(source, str) and not path.suffix and not path.exists() and "/" not in source:
        path = catalogue.path_of(source)
    if architecture is None and path.suffix == ".npz":
        from minicnn.formats import native

        return native.read(path)
    arrays = _state_dict(path)
    if architecture is None:
        raise WeightsError(
            f"{path}: a state dictionary holds weights and no architecture; name one, such as "
            f"architecture={next(iter(zoo.ARCHITECTURES))!r} (known: {', '.join(zoo.ARCHITECTURES)})"
        )
    return _built(path, arrays, architecture)


def save(net: Network, path: str | Path) -> None:
    """Write architecture, weights, preprocessing and labels of ``net`` to one .npz file; it holds no pickle.

    Raises
    ------
    WeightsError
        If the name does not end in .npz or the file can't be written; nothing is left behind.

    """
    from minicnn.formats import native

    if Path(path).suffix != ".npz":
        raise WeightsError(f"{path}: minicnn saves networks as .npz; give a name that ends in it")
    native.write(path, net)


def _state_dict(path: Path) -> dict[str, np.ndarray]:
    if path.suffix in _PYTORCH:
        from minicnn.formats import pytorch

        return pytorch.read(path)
    if path.suffix == ".safetensors":
        from minicnn.formats import safetensors

        return safetensors.read(path)
    if path.suffix == ".npz":
        from minicnn.formats import npz

        return npz.read(path)[0]
    if not path.exists():
        raise WeightsError(
            f"{path}: no such file, and no network of that name; {nearest(str(path), catalogue.entries())}"
        )
    raise WeightsError(f"{path}: not a kind of file that minicnn reads; expected {', '.join(_SUFFIXES)}")


def _built(path: Path, arrays: Mapping[str, np.ndarray], name: str) -> Network:
    layers, input_shape, preprocess = zoo.architecture(name, _num_classes(arrays, name))
    try:
        return Network.from_state_dict(layers, arrays, input_shape, preprocess, name=path.stem)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error} ({name})") from None


def _num_classes(arrays: Mapping[str, np.ndarray], name: str) -> int | None:
    """Return how many scores the file's last full layer gives, where it has the published name."""
    last = [n for n, layer in zoo.architecture(name).layers if isinstance(layer, Linear)][-1]
    weight = arrays.get(f"{last}.weight")
    return None if weight is None or weight.ndim != 2 else len(weight)
