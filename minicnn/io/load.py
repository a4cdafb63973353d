"""From a name or a file to a network, and back to a file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import numpy as np

from minicnn import zoo
from minicnn._utils.suggest import did_you_mean
from minicnn.errors import WeightsError
from minicnn.io import catalogue
from minicnn.layers import Conv2d, Linear
from minicnn.network import Network

__all__ = ["ArchitectureNeeded", "load", "open_network", "read_state_dict", "resolve", "save"]

# the reader of each kind of state dictionary: read(path) -> {name: array}
_STATE_DICTIONARIES = {
    ".pth": "pytorch",
    ".pt": "pytorch",
    ".safetensors": "safetensors",
    ".npz": "containers.npz",
    ".npy": "numpy_pickle",
}

# the reader of each kind of file that holds its architecture: read(path) -> Network
_NETWORKS = {".onnx": "onnx", ".mat": "matconvnet"}
_KERAS = (".keras", ".h5", ".hdf5")  # either


class ArchitectureNeeded(WeightsError):
    """A state dictionary was read, but nobody said which architecture it belongs to; ``arrays`` holds it."""

    def __init__(self, path: Path, arrays: Mapping[str, np.ndarray]):
        super().__init__(
            f"{path}: holds weights and no architecture; name one, such as architecture="
            f"{next(iter(zoo.ARCHITECTURES))!r} (known: {', '.join(zoo.ARCHITECTURES)})"
        )
        self.arrays = arrays


def resolve(source: str | Path) -> Path:
    """Return the file that ``source`` means: a path as it is, a name of the catalogue as its file.

    Raises
    ------
    MinicnnError
        If it is neither; the nearest names are in the message.

    """
    path = Path(source)
    looks_like_a_name = isinstance(source, str) and not path.suffix and path.name == source
    return catalogue.path_of(source) if looks_like_a_name and not path.exists() else path


def load(source: str | Path, weights: str | Path | None = None, architecture: str | None = None) -> Network:
    """Load a network by name or from a file; no framework is needed and nothing in the file is executed.

    Parameters
    ----------
    source : str or Path
        A name of the catalogue ("digits", "efficientnet-lite0"), or a file: our own .npz, which holds
        everything; one of another program that holds its architecture (.onnx, MatConvNet's .mat, Keras's
        .keras and .h5); or a state dictionary (.pth, .pt, .safetensors, .npz, .npy,
        .h5).
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
    return _arranged(open_network(resolve(source), weights, architecture))


def open_network(path: Path, weights: str | Path | None = None, architecture: str | None = None) -> Network:
    """Return the network of a file; parameters are views of the file, in its order.

    The arguments and errors are those of ``load``; nothing is copied, so that it can be described at no cost.
    """
    if path.suffix == ".prototxt" and path.exists():
        return _caffe(path, weights)
    if weights is not None:
        raise WeightsError(f"{weights}: a second file was given, but {path.name!r} is of a kind that has none")
    if path.suffix in _NETWORKS and path.exists():
        return import_module(f"minicnn.formats.{_NETWORKS[path.suffix]}").read(path)
    if path.suffix == ".npz" and architecture is None:
        from minicnn.formats import native

        if native.is_ours(path):
            return native.read(path)
    if path.suffix in _KERAS and architecture is None:
        from minicnn.formats import keras

        if keras.holds_network(path):
            return keras.read(path)
    arrays = read_state_dict(path)
    if architecture is None:
        raise ArchitectureNeeded(path, arrays)
    return _built(path, arrays, architecture)


def _arranged(net: Network) -> Network:
    """Return the network with its parameters in C order and aligned, as the kernels read them."""
    arrays = net.state_dict()
    if all(a.flags.c_contiguous and a.flags.aligned for a in arrays.values()):
        return net
    arrays = {name: np.require(a, requirements="CA") for name, a in arrays.items()}
    layers = net.named_layers
    return Network.from_state_dict(layers, arrays, net.input_shape, net.preprocess, net.labels, name=net.name)


def save(net: Network, path: str | Path) -> None:
    """Write a network to a file of the kind that its name ends in.

    Parameters
    ----------
    net : Network
    path : str or Path
        .npz: ours, with architecture, weights, preprocessing and labels in one file, and no pickle.  .onnx: for
        other programs.  .safetensors, .pth, .pt: the state dictionary alone.

    Raises
    ------
    WeightsError
        If the name ends in something else or the file can't be written; nothing is left behind.

    """
    suffix = Path(path).suffix
    if suffix == ".npz":
        from minicnn.formats import native

        native.write(path, net)
    elif suffix == ".onnx":
        from minicnn.formats import onnx

        onnx.write(path, net)
    elif suffix == ".safetensors":
        from minicnn.formats import safetensors

        safetensors.write(path, net.state_dict())
    elif suffix in (".pth", ".pt"):
        from minicnn.formats import pytorch

        pytorch.write(path, net.state_dict())
    else:
        raise WeightsError(f"{path}: minicnn writes .npz, .onnx, .safetensors, .pth and .pt; end the name in one")


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a state dictionary by name; WeightsError if the file is none.

    Raises
    ------
    WeightsError
        If the file is missing, damaged, or of a kind that holds no state dictionary.

    """
    if path.suffix in _KERAS:
        from minicnn.formats import keras

        return keras.read_state(path)
    if path.suffix not in _STATE_DICTIONARIES:
        if not path.exists():
            hint = did_you_mean(str(path), catalogue.entries())
            raise WeightsError(f"{path}: no such file, and no network of that name; {hint}")
        if path.suffix == ".caffemodel":
            raise WeightsError(
                f"{path}: holds weights alone; name the .prototxt beside it, with this one as its weights"
            )
        known = ", ".join((*_STATE_DICTIONARIES, *_NETWORKS, *_KERAS))
        raise WeightsError(f"{path}: not a kind of file that minicnn reads; expected one of {known}")
    found = import_module(f"minicnn.formats.{_STATE_DICTIONARIES[path.suffix]}").read(path)
    return found[0] if path.suffix == ".npz" else found  # an .npz gives its texts too


def _caffe(path: Path, weights: str | Path | None) -> Network:
    from minicnn.formats import caffe

    if weights is None:
        raise WeightsError(
            f"{path}: describes a network without its weights; name them, "
            "weights='net.caffemodel' or --weights net.caffemodel"
        )
    return caffe.read(path, weights)


def _built(path: Path, arrays: Mapping[str, np.ndarray], name: str) -> Network:
    found = zoo.architecture(name, _num_classes(arrays, name))
    arrays = {key: a for key, a in arrays.items() if key.rpartition(".")[0] not in found.unused}
    try:
        return Network.from_state_dict(found.layers, arrays, found.input_shape, found.preprocess, name=path.stem)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error} ({name})") from None


def _num_classes(arrays: Mapping[str, np.ndarray], name: str) -> int | None:
    """Return how many scores the file's last layer with weights gives, where they are not as many as published."""
    weights = [(n, layer) for n, layer in zoo.architecture(name).layers if isinstance(layer, Conv2d | Linear)]
    last, layer = weights[-1]
    published, weight = layer.parameter_shapes()["weight"], arrays.get(f"{last}.weight")
    if weight is None or weight.shape[1:] != published[1:] or len(weight) in (0, published[0]):
        return None
    return len(weight)
