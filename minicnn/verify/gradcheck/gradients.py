"""Gradients checked to rounding error: every layer's, and the whole network's, against the forward pass alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter

import numpy as np
from numpy.typing import DTypeLike

from minicnn._utils.types import Progress
from minicnn.errors import MinicnnError
from minicnn.kernels import fuses_layers, is_reference, on, reference
from minicnn.layers import Layer, sequence
from minicnn.layers.transforms.fuse import fuse
from minicnn.layers.transforms.pack import with_one_input
from minicnn.network import Network
from minicnn.network.check_weights import check_weights
from minicnn.shapes import check_array
from minicnn.verify.gradcheck.conventions import check_conventions
from minicnn.verify.gradcheck.layer import LayerCase, check_layer
from minicnn.verify.gradcheck.network import check_input_gradient, check_loss_gradient
from minicnn.verify.gradcheck.probes import Sampling
from minicnn.verify.gradcheck.report import UNDECIDED, Report, Row
from minicnn.verify.gradcheck.trace import Trace

__all__ = ["gradients"]


def gradients(
    net_or_layer: Network | Layer,
    x: np.ndarray,
    *,
    device: str = "reference",
    seed: int = 0,
    directions: int = 3,
    entries: int = 64,
    progress: Progress = iter,
) -> Report:
    """Check every gradient of a network or a layer against finite differences in float64.

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
        Wraps the list of layers, to show a bar, as tqdm does.

    Returns
    -------
    Report

    Raises
    ------
    ShapeError
        If x does not fit.
    MinicnnError
        If a layer is of a class that is not known here.

    See Also
    --------
    compare : the values and gradients of another program
    validity : how far from an image the gradient describes the score

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Network
    >>> from minicnn.layers import Conv2d, Flatten, Linear, ReLU
    >>> from minicnn.verify import gradients
    >>> x = np.random.default_rng(0).standard_normal((1, 1, 4, 4))
    >>> net = Network([Conv2d(1, 2, 3), ReLU(), Flatten(), Linear(8, 3)], input_shape=(1, 4, 4))
    >>> print(gradients(net, x, directions=1, entries=0).verdict())
    passed: 18 gradients, 23 checks, every error within its rounding tolerance

    A backward pass that is wrong by a thousandth:

    >>> class WrongReLU(ReLU):
    ...     def backward(self, dy, saved, kernels, rule=None, weights=False):
    ...         return np.where(saved, 1.001 * dy, 0.0), {}
    >>> report = gradients(WrongReLU(), np.array([[1.0, -2.0, 3.0]]))
    >>> [(row.what, row.where) for row in report.failures]
    [('convention', '(0, 0, 5, 0)'), ('input', '(0, 2)')]

    """
    start = perf_counter()
    if directions < 1:
        raise MinicnnError(f"gradients: directions: expected at least 1, got {directions}")
    check_array(x, "gradients: x")
    net = _as_network(net_or_layer, seed)
    check_weights(net.state_dict())
    sequence.output_shape(net.named_layers, x.shape[1:])
    dtype = np.float64 if is_reference(device) else np.float32
    rows = list(_rows(net, x, device, dtype, seed, Sampling(directions, entries), progress))
    subject = net.name if net is net_or_layer else repr(net_or_layer)
    return Report(subject, device, np.dtype(dtype).name, seed, directions, rows, perf_counter() - start)


def _as_network(net_or_layer: Network | Layer, seed: int) -> Network:
    if isinstance(net_or_layer, Network):
        return net_or_layer
    if isinstance(net_or_layer, Layer):
        return Network([("layer", net_or_layer.reading())], seed=seed)
    raise MinicnnError(f"gradients: expected a Network or a layer, got {type(net_or_layer).__name__}")


def _rows(
    net: Network,
    x: np.ndarray,
    device: str,
    dtype: DTypeLike,
    seed: int,
    sampling: Sampling,
    progress: Progress,
) -> Iterator[Row]:
    """Yield the rows of a report; each layer draws from a generator of its own, so that one can be run again."""
    # both sides get parameters and x as the device's dtype holds them: what that rounds is no error
    own = sequence.astype(net.named_layers, dtype)
    exact, x = sequence.astype(own, np.float64), x.astype(dtype).astype(np.float64)
    if fuses_layers(device):
        own, exact = fuse(own), fuse(exact)
    cases, kernels = _layer_cases(own, exact, x), on(device)
    for i, case in enumerate(progress(cases)):
        yield from check_layer(case, kernels, dtype, np.random.default_rng((seed, i)), sampling)
    yield from check_conventions(cases, kernels, dtype)
    if len(cases) < 2:
        return
    yield _decide(lambda x, rng: check_input_gradient(net, x, device, dtype, rng, sampling), x, dtype, seed)
    has_parameters = any(case.layer.parameter_shapes() for case in cases)
    # (K,): only scores have a loss, maps have none
    has_scores = len(sequence.output_shape(sequence.before_softmax(exact), x.shape[1:])) == 1
    if is_reference(device) and has_parameters and has_scores:
        yield _decide(lambda x, rng: check_loss_gradient(net, x, rng, sampling), x, dtype, seed)


def _decide(
    check: Callable[[np.ndarray, np.random.Generator], Row], x: np.ndarray, dtype: DTypeLike, seed: int
) -> Row:
    """Return a whole net's row, at a point beside x that lies on no kink.

    Photographs have flat parts, which tie in pools: the point is half a grey level beside.  Where values that
    saturate tie, it is nearer to zero.
    """
    for shrink in (1, 16, 256):
        rng = np.random.default_rng((seed, shrink))
        # a 512th of the largest value, which is half of one grey level in 255
        beside = x / shrink + rng.uniform(-1, 1, x.shape) * (np.abs(x).max(initial=0) or 1) / (512 * shrink)
        row = check(beside.astype(dtype).astype(np.float64), rng)
        if row.where != UNDECIDED:
            break
    return row


def _layer_cases(own: sequence.NamedLayers, exact: sequence.NamedLayers, x: np.ndarray) -> list[LayerCase]:
    """Every layer that is no block, with the input that reaches it, in the order of the computation."""
    trace, own_layers, layers = Trace(), dict(sequence.walk(own)), dict(sequence.walk(exact))
    sequence.forward(sequence.map_layers(exact, trace.attach), x, reference)
    packed = {name: with_one_input(layers[name], at) for name, at in trace.inputs.items()}
    return [
        LayerCase(name, layer, with_one_input(own_layers[name], trace.inputs[name])[0], x)
        for name, (layer, x) in packed.items()
    ]
