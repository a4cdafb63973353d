"""Committees: several networks that answer as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.layers import Add, Log, Scale, Softmax, sequence
from minicnn.layers.graph import INPUT, read_by
from minicnn.layers.sequence import NamedLayers
from minicnn.network.network import Network

__all__ = ["committee"]


def committee(networks: Sequence[Network]) -> Network:
    """Network whose posterior is the mean of the members'.

    It is a network as any other: gradients, maps, files.  Layers are named after their members, as
    "member0.conv1".

    The score of a class before the softmax, S_c of the paper, is the logarithm of the mean posterior, log P_c, so
    that the softmax gives the mean back.  Gradients, saliency and class models start there: that of log P_c is the
    mean of the members' gradients of their own log P_c, each weighted by its share in P_c.  It is not the mean of
    the members' scores, whose softmax is another posterior.  A class whose mean posterior is below the smallest
    number of the dtype has that number's logarithm, -87 in float32.

    Parameters
    ----------
    networks : at least one Network
        Of one input shape, one preprocessing and the same classes; the first says on which device.

    Raises
    ------
    MinicnnError
        If they do not fit together.

    References
    ----------
    Ciresan, Meier, Schmidhuber 2012, section 2: multi-column networks.

    Examples
    --------
    >>> from minicnn import layers
    >>> weights = np.log([[[1.0], [3.0]], [[1.0], [1.0]]])
    >>> members = [Network([layers.Linear(1, 2, bias=False, weight=w)], (1,)) for w in weights]
    >>> both = committee(members)
    >>> np.exp(both(np.ones((1, 1)))).round(4).tolist()  # of (1/4, 3/4) and (1/2, 1/2)
    [[0.375, 0.625]]

    """
    networks = list(networks)
    _check(networks)
    first = networks[0]
    layers: NamedLayers = []
    for number, net in enumerate(networks):
        layers += _member(net, f"member{number}.")
    posteriors = tuple(f"member{number}.posterior" for number in range(len(networks)))
    total = [("sum", Add(inputs=posteriors))] if len(networks) > 1 else []
    arrays = [array for net in networks for array in net.state_dict().values()]
    dtype = np.result_type(*arrays) if arrays else np.dtype(np.float32)
    # of a posterior that is rounded to 0 the logarithm would be infinite
    least = np.array(np.finfo(dtype).tiny, dtype)
    share = Scale((), bias=least, weight=np.array(1 / len(networks), dtype))
    layers += [*total, ("mean", share), ("scores", Log()), ("posterior", Softmax())]
    name = f"committee of {len(networks)}"
    return Network(layers, first.input_shape, first.preprocess, first.labels, device=first.device, name=name)


def _member(net: Network, prefix: str) -> NamedLayers:
    """Return a network's layers up to its posterior, under names of their own, which all read the one input."""
    layers = sequence.before_softmax(net.named_layers)

    def renamed(value: str) -> str:
        return value if value == INPUT else prefix + value

    own = [
        (prefix + name, layer.reading(*map(renamed, inputs)))
        for (name, layer), inputs in zip(layers, read_by(layers), strict=True)
    ]
    return [*own, (f"{prefix}posterior", Softmax(inputs=(own[-1][0],)))]


def _check(networks: Sequence[Network]) -> None:
    if not networks or not all(isinstance(net, Network) for net in networks):
        raise MinicnnError(f"committee: expected networks, got {[type(net).__name__ for net in networks]}")
    for what in ("input_shape", "preprocess", "labels"):
        if any(getattr(net, what) != getattr(networks[0], what) for net in networks):
            raise MinicnnError(f"committee: the members differ in {what}; expected networks for the same pictures")
    for net in networks:
        if net.input_shape is None:
            raise MinicnnError(
                f"committee: {net.name} has no input_shape; expected networks for the same pictures"
            )
        shape = sequence.output_shape(sequence.before_softmax(net.named_layers), net.input_shape)
        if len(shape) != 1 or shape[0] < 2:
            raise MinicnnError(f"committee: {net.name} gives scores of shape {shape}; expected one a class")
