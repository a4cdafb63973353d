"""Gradients checked to rounding error: every layer's, and the whole network's, against the forward pass alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minicnn._utils.types import ImageLike, Progress
from minicnn.errors import MinicnnError, ShapeError
from minicnn.kernels import fuses_layers, is_reference, on, reference
from minicnn.layers import Layer, sequence
from minicnn.layers.joins import Join
from minicnn.layers.transforms.fuse import fuse
from minicnn.layers.transforms.own import is_own
from minicnn.layers.transforms.pack import with_one_input
from minicnn.network import Network
from minicnn.network.check_weights import check_weights
from minicnn.shapes import check_array
from minicnn.verify.gradcheck.conventions import check_conventions
from minicnn.verify.gradcheck.functions import Functions, as_layer
from minicnn.verify.gradcheck.layer import LayerCase, check_layer
from minicnn.verify.gradcheck.network import check_input_gradient, check_loss_gradient
from minicnn.verify.gradcheck.own_layer import OwnCase, check_own_layer
from minicnn.verify.gradcheck.probes import Sampling
from minicnn.verify.gradcheck.report import UNDECIDED, Report, Row
from minicnn.verify.gradcheck.trace import Trace
from minicnn.verify.image_input import as_input

__all__ = ["gradients"]


def gradients(
    net_or_layer: Network | Layer | Functions,
    x: np.ndarray | tuple[np.ndarray, ...] | ImageLike,
    *,
    device: str = "reference",
    seed: int = 0,
    directions: int = 3,
    entries: int = 64,
    progress: Progress = iter,
) -> Report:
    """Check every gradient of a network, a layer or a pair of functions against differences in float64.

    Checked are the input, weight and bias gradients of every layer at the input that reaches it, the whole net's
    input gradient, ``loss_gradient``, and the conventions at ties and zeros.  For a direction v and a random
    cotangent dy the claim <gradient, v> must equal <J v, dy>, which is computed from forward passes: by a central
    difference that stays on the linear piece between kinks, where it is exact but for rounding; by the adjoint
    identity <A v, dy> = <v, A' dy> where a layer is linear; by the complex step where it is smooth.

    Of a layer or function of one's own nothing is known: its derivatives are differences at many steps,
    extrapolated to none (Richardson), each output by itself, with what they leave open as the tolerance.  Outputs
    that lie on a kink are left out, and checked at a point beside x.

    Parameters
    ----------
    net_or_layer : Network, layer, or pair of functions (forward, backward)
        Parameters that a layer leaves unset are drawn.  Functions are y = forward(x) and dx = backward(dy, x); or
        (y, saved) = forward(x) and dx = backward(dy, saved); of several arrays forward(a, b) and
        backward(dy, a, b), which returns as many.
    x : array of shape (N, ...), float32 or float64; a tuple of arrays; or an image
        A tuple for a layer or functions of several inputs; a path, PIL.Image or uint8 pixels for a network that
        has its preprocessing.  A whole net is checked at a point beside x if x lies on a kink.
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
        If it is none of these, or a forward pass raises something; where is said.

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

    A pair of functions:

    >>> gradients((np.tanh, lambda dy, x: dy * (1 - np.tanh(x) ** 2)), x).ok
    True
    >>> gradients((np.tanh, lambda dy, x: dy * (1 - np.tanh(x))), x).ok
    False

    """
    start = perf_counter()
    if directions < 1:
        raise MinicnnError(f"gradients: directions: expected at least 1, got {directions}")
    dtype: DTypeLike = np.float64 if is_reference(device) else np.float32
    settings = _Settings(device, dtype, seed, Sampling(directions, entries), progress)
    if isinstance(net_or_layer, Network):
        subject, rows = net_or_layer.name, _rows(net_or_layer, as_input(net_or_layer, x, "gradients"), settings)
    else:
        layer = net_or_layer if isinstance(net_or_layer, Layer) else as_layer(net_or_layer)
        subject, rows = repr(layer), _layer_rows(layer, x, settings)
    done = list(rows)
    return Report(subject, device, np.dtype(dtype).name, seed, directions, done, perf_counter() - start)


class _Settings(NamedTuple):
    """What a check goes by, see ``gradients``."""

    device: str
    dtype: DTypeLike
    seed: int
    sampling: Sampling
    progress: Progress

    def round(self, x: np.ndarray) -> np.ndarray:
        """Return x in float64, as the device's dtype holds it: what that rounds is no error."""
        return x.astype(self.dtype).astype(np.float64)


def _layer_rows(layer: Layer, x: Any, settings: _Settings) -> Iterator[Row]:
    """Yield the rows of a single layer; one of several inputs, which no network of one can be, by itself."""
    if not isinstance(x, tuple | list):
        if isinstance(layer, Join):
            raise ShapeError(f"gradients: {type(layer).__name__} has several inputs; give x as a tuple of arrays")
        check_array(x, "gradients: x")
        yield from _rows(Network([("layer", layer.reading())], seed=settings.seed), x, settings)
        return
    for i, part in enumerate(x):
        check_array(part, f"gradients: x[{i}]")
    layer = layer.reading().initialise(np.random.default_rng(settings.seed))
    own, inputs = layer.astype(settings.dtype), tuple(map(settings.round, x))
    yield from _check([_case("layer", own.astype(np.float64), own, inputs)], settings)


def _rows(net: Network, x: np.ndarray, settings: _Settings) -> Iterator[Row]:
    """Yield the rows of a network's report."""
    check_array(x, "gradients: x")
    check_weights(net.state_dict())
    if not any(is_own(layer) for _, layer in sequence.walk(net.named_layers)):
        sequence.output_shape(net.named_layers, x.shape[1:])
    # both sides get parameters and x as the device's dtype holds them: what that rounds is no error
    device, dtype, seed, sampling, _ = settings
    own = sequence.astype(net.named_layers, dtype)
    exact, x = sequence.astype(own, np.float64), settings.round(x)
    if fuses_layers(device):
        own, exact = fuse(own), fuse(exact)
    cases = _layer_cases(own, exact, x)
    rows = list(_check(cases, settings))
    yield from rows
    # a layer whose own shapes are wrong makes no network
    if len(cases) < 2 or any(row.what == "output_shape" for row in rows):
        return
    yield _decide(lambda x, rng: check_input_gradient(net, x, device, dtype, rng, sampling), x, dtype, seed)
    has_parameters = any(case.layer.parameter_shapes() for case in cases)
    # (K,): only scores have a loss, maps have none
    has_scores = len(sequence.output_shape(sequence.before_softmax(exact), x.shape[1:])) == 1
    if is_reference(device) and has_parameters and has_scores:
        yield _decide(lambda x, rng: check_loss_gradient(net, x, rng, sampling), x, dtype, seed)


def _check(cases: list[LayerCase | OwnCase], settings: _Settings) -> Iterator[Row]:
    """Yield the layers' rows; each draws from a generator of its own, so that one can be run again."""
    kernels, dtype = on(settings.device), settings.dtype
    for i, case in enumerate(settings.progress(cases)):
        rng = np.random.default_rng((settings.seed, i))
        if isinstance(case, OwnCase):
            yield from check_own_layer(case, kernels, dtype, rng, settings.sampling)
        else:
            yield from check_layer(case, kernels, dtype, rng, settings.sampling)
    known = [case for case in cases if isinstance(case, LayerCase)]
    yield from check_conventions(known, kernels, dtype)


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


def _layer_cases(
    own: sequence.NamedLayers, exact: sequence.NamedLayers, x: np.ndarray
) -> list[LayerCase | OwnCase]:
    """Every layer that is no block, with the input that reaches it, in the order of the computation."""
    trace, layers, own_layers = Trace(), dict(sequence.walk(exact)), dict(sequence.walk(own))
    sequence.forward(sequence.map_layers(exact, trace.attach), x, reference)
    return [_case(name, layers[name], own_layers[name], x) for name, x in trace.inputs.items()]


def _case(name: str, layer: Layer, own: Layer, x: Any) -> LayerCase | OwnCase:
    """Return a layer, in float64 and as the device runs it, with the input that reaches it."""
    if is_own(layer):
        return OwnCase(name, layer, own, x)
    packed, array = with_one_input(layer, x)
    return LayerCase(name, packed, with_one_input(own, x)[0], array)
