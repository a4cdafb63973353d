"""Gradients checked to rounding error: every layer's, and the whole network's, against the forward pass alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.kernels import fuses_layers, is_reference, on, reference
from minicnn.layers import Layer, sequence
from minicnn.layers.transforms.fuse import fuse
from minicnn.network import Network
from minicnn.shapes import check_array
from minicnn.verify.gradcheck.conventions import convention_rows
from minicnn.verify.gradcheck.layer import Effort, Leaf, leaf_rows
from minicnn.verify.gradcheck.network import loss_row, whole_row
from minicnn.verify.gradcheck.report import UNDECIDED, Report, Row
from minicnn.verify.gradcheck.trace import Recorded

__all__ = ["gradients"]


def gradients(
    net_or_layer: Network | Layer,
    x: np.ndarray,
    *,
    device: str = "reference",
    seed: int = 0,
    directions: int = 3,
    entries: int = 64,
    progress: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> Report:
    """Every gradient of a network or a layer, held against finite differences in float64.

    Checked are the input, weight and bias gradients of every layer at the input that reaches it, the whole net's
    input gradient, ``loss_gradient``, and the conventions at ties and zeros.  For a direction v and a random
    cotangent dy the claim <gradient, v> must equal <J v, dy>, which is computed from forward passes: by a central
    difference that stays on the linear piece between kinks, where it is exact but for rounding; by the adjoint
    identity <A v, dy> = <v, A' dy> where a layer is linear; by the complex step where it is smooth.

    Parameters
    ----------
    net_or_layer : Network, or a layer of ``minicnn.layers``
        Parameters that a layer leaves unset are drawn.
    x : array of shape (N, ...), float32 or float64
        A whole net is checked at a point beside x if x lies on a kink.
    device : str
        Whose gradients: "reference" in float64, another device in float32 with float32's rounding.
    seed : int
        Of cotangents and directions.
    directions : int, at least 1
        Gaussian directions for each gradient.
    entries : int
        Tensors of at most so many values are checked entry by entry too.
    progress : callable
        Wraps the list of layers, to show a bar.

    Returns
    -------
    Report

    Raises
    ------
    ShapeError
        If x does not fit.
    MinicnnError
        If a layer is of a class that is not known here.

    """
    start = perf_counter()
    if directions < 1:
        raise MinicnnError(f"gradients: directions: expected at least 1, got {directions}")
    check_array(x, "gradients: x")
    net = _as_network(net_or_layer, seed)
    sequence.output_shape(net.named_layers, x.shape[1:])
    dtype = np.float64 if is_reference(device) else np.float32
    rows = list(_rows(net, x, device, dtype, seed, Effort(directions, entries), progress))
    subject = net.name if net is net_or_layer else repr(net_or_layer)
    return Report(subject, device, np.dtype(dtype).name, seed, directions, rows, perf_counter() - start)


def _as_network(net_or_layer: Network | Layer, seed: int) -> Network:
    if isinstance(net_or_layer, Network):
        return net_or_layer
    if isinstance(net_or_layer, Layer):
        return Network([("layer", net_or_layer)], seed=seed)
    raise MinicnnError(f"gradients: expected a Network or a layer, got {type(net_or_layer).__name__}")


def _rows(net, x, device, dtype, seed, effort, progress) -> Iterator[Row]:
    """Yield the rows of a report; each layer draws from a generator of its own, so that one can be run again."""
    layers = net.named_layers
    own = sequence.astype(layers, dtype)
    exact, x = sequence.astype(own, np.float64), x.astype(dtype).astype(np.float64)
    if fuses_layers(device):
        own, exact = fuse(own), fuse(exact)
    met = _leaves(own, exact, x)
    for i, leaf in enumerate(progress(met)):
        yield from leaf_rows(leaf, on(device), dtype, np.random.default_rng((seed, i)), effort)
    yield from convention_rows(met, on(device), dtype)
    if len(met) > 1:
        yield _decided(lambda x, rng: whole_row(net, x, device, dtype, rng, effort), x, dtype, seed)
    if is_reference(device) and len(met) > 1 and any(leaf.layer.parameter_shapes() for leaf in met):
        if len(sequence.output_shape(sequence.before_softmax(exact), x.shape[1:])) == 1:
            yield _decided(lambda x, rng: loss_row(net, x, rng, effort), x, dtype, seed)


def _decided(row_at: Callable[[np.ndarray, np.random.Generator], Row], x: np.ndarray, dtype, seed: int) -> Row:
    """Return a whole net's row, at a point beside x that lies on no kink.

    Photographs have flat parts, which tie in pools: the point is half a grey level beside.  Where values that
    saturate tie, it is nearer to zero.
    """
    for shrink in (1, 16, 256):
        rng = np.random.default_rng((seed, shrink))
        beside = x / shrink + rng.uniform(-1, 1, x.shape) * (np.abs(x).max(initial=0) or 1) / (512 * shrink)
        row = row_at(beside.astype(dtype).astype(np.float64), rng)
        if row.where != UNDECIDED:
            break
    return row


def _leaves(own: sequence.NamedLayers, exact: sequence.NamedLayers, x: np.ndarray) -> list[Leaf]:
    """Every layer that is no block, with the input that reaches it, in the order of the computation."""
    met, mine, layers = Recorded(), dict(sequence.walk(own)), dict(sequence.walk(exact))
    sequence.forward(sequence.map_layers(exact, met.around), x, reference)
    return [Leaf(name, layers[name], mine[name], at) for name, at in met.inputs.items()]
