"""From a name or a file to a network, and back to a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import WeightsError
from minicnn.formats.ends import ONLY, Ends
from minicnn.formats.table import Format, find_format, writable_suffixes
from minicnn.io.input_size import with_input_size
from minicnn.io.source import check_second_file, find_kind, find_second_file, name_architecture, resolve
from minicnn.layers import Layer
from minicnn.network import Network
from minicnn.network.check_weights import check_numbers

__all__ = ["ArchitectureNeeded", "load", "open_network", "read_state_dict", "resolve", "save"]


class ArchitectureNeeded(WeightsError):
    """A state dictionary was read, but nobody said which architecture it belongs to; ``arrays`` holds it."""

    def __init__(self, path: Path, arrays: Mapping[str, np.ndarray]):
        from minicnn.zoo import ARCHITECTURES

        super().__init__(
            f"{path}: holds weights and no architecture; name one, such as architecture="
            f"{next(iter(ARCHITECTURES))!r} (known: {', '.join(ARCHITECTURES)})"
            f"{name_architecture(path)}"
        )
        self.arrays = arrays


def load(
    source: PathLike,
    weights: PathLike | None = None,
    architecture: str | None = None,
    entry: str | None = None,
    *,
    input: str | Mapping[str, float | None] | None = None,
    output: str | None = None,
    input_size: tuple[int, int] | None = None,
    head: Sequence[str] | None = None,
    allow_nonfinite: bool = False,
    layers: Sequence[type[Layer]] = (),
) -> Network:
    """Load a network by name or from a file; no framework is needed and nothing in the file is executed.

    Parameters
    ----------
    source : str or Path
        A name of the catalogue ("digits", "efficientnet-lite0", "squeezenet1_1"), or a file: our own .npz, which
        holds everything; one of another program that holds its architecture (.onnx, MatConvNet's .mat, Keras's
        .keras and .h5); or a state dictionary (.pth, .pt, .safetensors, .npz, .npy,
        .pkl, .h5).
    weights : str or Path, optional
        For formats whose weights lie in a second file.
    architecture : str, optional
        For a state dictionary: one of ``minicnn.zoo.ARCHITECTURES``.  Prefixes that all names share ("module.",
        "model.backbone."), other numbers of classes and of input channels are recognised.
    entry : str, optional
        For a checkpoint that holds several networks: which one, "model_ema" or "teacher.backbone".
    input : str, or {name: value}, optional
        Of a file with several inputs: which one is the image; with the values that others have for each image,
        None being the image's, {"image": None, "keep_prob": 1.0}.
    output : str, optional
        Of a file with several outputs: which one holds the scores.
    input_size : (H, W), optional
        Where the file leaves the input's size open, or another is wanted.
    head : sequence of str, optional
        For a state dictionary with several new layers in the place of the architecture's last ones: all modules of
        this head in their order, named as in torch.nn, ["linear", "relu", "dropout", "linear"]; what lies between
        its weights is not in such a file.
    allow_nonfinite : bool
        Whether to load a network of which weights are NaN or infinite, such as a training that diverged leaves.

    layers : sequence of classes, optional
        The layers of your own that the file holds; nothing in it says what they compute.

    Returns
    -------
    net : Network

    Raises
    ------
    WeightsError
        If the file is missing, damaged, hostile, of an unknown kind, or does not fit the architecture; or a
        weight holds NaN or infinity: its name and the place are said.
    MinicnnError
        If there is no such name; the nearest names are in the message.

    See Also
    --------
    save : the way back
    minicnn.zoo.build : an architecture with random weights

    Examples
    --------
    >>> net = load("digits")
    >>> net.names[0], net.input_shape
    ('conv_layers.0', (1, 28, 28))

    """
    path = resolve(source)
    net = _make_contiguous(
        open_network(path, weights, architecture, entry, Ends.choose(input, output), layers, head)
    )
    net = net if input_size is None else with_input_size(net, input_size)
    if not allow_nonfinite:
        check_numbers(net.named_layers, str(weights or path))
    return net


def open_network(
    path: PathLike,
    weights: PathLike | None = None,
    architecture: str | None = None,
    entry: str | None = None,
    ends: Ends = ONLY,
    layers: Sequence[type[Layer]] = (),
    head: Sequence[str] | None = None,
) -> Network:
    """Return the network of a file; parameters are views of the file, in its order.

    The arguments and errors are those of ``load``; nothing is copied, so that it can be described at no cost.
    """
    path = Path(path)
    kind = find_kind(path)
    if weights is not None and kind.second_file is None:
        raise WeightsError(f"{weights}: a second file was given, but {path.name!r} is of a kind that has none")
    # with an architecture of the caller's only the arrays of the file are read, if it has a reader for them
    if (architecture is None or kind.read_arrays is None) and kind.holds_architecture(path):
        if entry is not None:
            raise WeightsError(f"{path}: holds one network and no entry {entry!r}; leave entry= (--entry) out")
        if head is not None:
            raise WeightsError(f"{path}: holds its architecture; leave head= (--head) out")
        if not layers:
            return _read_network(kind, path, weights, ends)
        if kind.takes_layers:
            assert kind.read is not None
            return kind.read(path, layers)
    if layers:
        raise WeightsError(f"{path}: only minicnn's own .npz holds layers of your own; leave layers= out")
    _refuse_ends(path, ends)
    arrays = _read_arrays(kind, path, entry)
    if architecture is None:
        raise ArchitectureNeeded(path, arrays)
    return _build(path, arrays, architecture, head)


def _refuse_ends(path: Path, ends: Ends) -> None:
    """Raise if an end was chosen, of a file that has no more than one input and one output."""
    if ends != ONLY:
        word = "output" if ends.output is not None else "input"
        raise WeightsError(f"{path}: is not known to have several {word}s; leave {word}= (--{word}) out")


def _read_network(kind: Format, path: Path, weights: PathLike | None, ends: Ends) -> Network:
    assert kind.read is not None
    if not kind.chooses_ends:
        _refuse_ends(path, ends)
    chosen = (ends,) if kind.chooses_ends else ()
    if kind.second_file is None:
        return kind.read(path, *chosen)
    weights = find_second_file(kind, path) if weights is None else weights
    if weights is None:
        raise WeightsError(
            f"{path}: describes a network without its weights; name them, "
            f"weights='net{kind.second_file}' or --weights net{kind.second_file}"
        )
    check_second_file(weights)
    return kind.read(path, weights, *chosen)


def _make_contiguous(net: Network) -> Network:
    """Return the network with its parameters in C order and aligned, as the kernels read them."""
    arrays = net.state_dict()
    if all(a.flags.c_contiguous and a.flags.aligned for a in arrays.values()):
        return net
    arrays = {name: np.require(a, requirements=["C", "A"]) for name, a in arrays.items()}
    layers = net.named_layers
    return Network.from_state_dict(layers, arrays, net.input_shape, net.preprocess, net.labels, name=net.name)


def save(net: Network, path: PathLike) -> None:
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

    See Also
    --------
    load : the way back

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     save(load("digits"), Path(folder, "copy.npz"))
    ...     load(Path(folder, "copy.npz")).labels[:3]
    ['0', '1', '2']

    """
    kind = find_format(path)
    if kind is None or kind.write is None:
        *others, last = writable_suffixes()
        raise WeightsError(f"{path}: minicnn writes {', '.join(others)} and {last}; end the name in one")
    kind.write(path, net)


def read_state_dict(path: PathLike, entry: str | None = None) -> dict[str, np.ndarray]:
    """Return the arrays of a state dictionary by name, or of one entry of a checkpoint.

    Raises
    ------
    WeightsError
        If the file is missing, damaged, or of a kind that holds no state dictionary, or has no such entry.

    """
    path = Path(path)
    return _read_arrays(find_kind(path), path, entry)


def _read_arrays(kind: Format, path: Path, entry: str | None) -> dict[str, np.ndarray]:
    if kind.read_arrays is None:
        raise WeightsError(f"{path}: a network ({kind.name}), and not a state dictionary; load it as it is")
    return kind.read_arrays(path) if entry is None else kind.read_arrays(path, entry)


def _build(path: Path, arrays: Mapping[str, np.ndarray], name: str, head: Sequence[str] | None = None) -> Network:
    # here, since a file that holds its architecture needs none of the zoo
    from minicnn.formats.shards import find_index
    from minicnn.io.fit import fit
    from minicnn.io.reparametrised import fold
    from minicnn.zoo.keras_applications import translate

    arrays, preprocess = translate(name, fold(path, arrays))
    built, arrays = fit(path, arrays, name, head)
    built = built if preprocess is None else built._replace(preprocess=preprocess)
    try:
        return Network.from_state_dict(built.layers, arrays, built.input_shape, built.preprocess, name=path.stem)
    except WeightsError as error:
        index = find_index(path)
        part = "" if index is None else f"; the file is one part of several, name {index.name}"
        raise WeightsError(f"{path}: {error} ({name}){part}") from None
