"""How far the paper's linear model of a class score holds: up to the first kink along the gradient.

Near an image the score is S_c(I) = w^T I + b (paper, equation 2).  For a network of convolutions, rectifiers and
max-pools that is exact as long as no rectifier and no pool switch changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.explain.prediction import class_index, label_of, views_of
from minicnn.kernels import reference
from minicnn.layers import Keep, Kind, Layer, sequence
from minicnn.network import Network
from minicnn.verify.gradcheck.network import scores_chain
from minicnn.verify.kinks import affine_piece, around

__all__ = ["Validity", "validity"]

LEVELS = (0.25, 1.0, 4.0)


@dataclass(frozen=True)
class Validity:
    """Where the linear model of a class score is exact, and what becomes of it beyond.

    Attributes
    ----------
    target : int, the class
    label : str, or None if the network has no labels
    score : float, S_c(I_0)
    bias : float, b: the score of the affine piece at the zero input
    closure : float, w^T I_0 + b - S_c(I_0), which is rounding alone if w is right
    uphill, downhill : float
        Grey levels by which the pixel that changes most may change, along w and against it, up to the first kink
        of any unit; the score is linear at least so far (the unit may have no influence).
    uphill_norm, downhill_norm : float
        The same as Euclidean length over all pixels and channels.
    layer, unit : name of the layer where the first kink uphill is, and its unit's index (C, P, Q)
    kinks : int, units of rectifiers and pools that can have a kink
    ties : int
        Units that lie on their kink already, as pools do in flat parts of a picture; then ``uphill`` is 0.
    beyond_ties : float, grey levels uphill to the first kink of all others
    along : list of (grey levels, score, linear model's score), beyond the first kink

    """

    target: int
    label: str | None
    score: float
    bias: float
    closure: float
    uphill: float
    downhill: float
    uphill_norm: float
    downhill_norm: float
    layer: str | None
    unit: tuple[int, ...] | None
    kinks: int
    ties: int
    beyond_ties: float
    along: list[tuple[float, float, float]]


def validity(net: Network, image, target: int | str | None = None) -> Validity:
    """Radius within which a class score is exactly linear, along its gradient.

    The direction is u = (dS_c / dv) / max |dS_c / dv| for pixel values v of 0..255 of the network's centre view,
    so that a step t changes one pixel by t grey levels and no pixel by more.  Computed in float64.

    Parameters
    ----------
    net : Network with a ``preprocess``, and no layers but piecewise linear ones
    image : path, PIL.Image, or uint8 array of shape (H, W, 3)
    target : class number or label; the top-scoring class unless given

    Returns
    -------
    Validity

    Raises
    ------
    MinicnnError
        If a layer is smooth, so that the score is nowhere linear, or there is no such class.
    ImageError
        If the image can't be read.

    Source: paper section 3, equation 2.

    """
    layers, exact = _piecewise_linear(net), net.to("reference")
    x, _ = views_of(net, image, "one")
    x = x.astype(np.float64)
    scores = exact(x)
    target = int(scores.argmax()) if target is None else class_index(net, target, scores.shape[1])
    w = exact.input_gradient(x, target)
    per_level = np.abs(net.preprocess.scale / np.asarray(net.preprocess.std))[:, None, None]
    v = w * per_level
    if not v.any():
        raise MinicnnError(f"validity: the gradient of class {target} is zero at this image")
    u = v / np.abs(v).max()
    steps = [around(layers, x, sign * u * per_level, ahead=True)[2] for sign in (1, -1)]
    uphill, downhill = (seen.nearest() for seen in steps)
    norm, ahead = float(np.linalg.norm(u)), steps[0].all_steps()
    score, bias = float(scores[0, target]), float(_piece_at_zero(layers, x)[target])
    rise = float((w * u * per_level).sum())
    walked = [(t, float(exact(x + t * u * per_level)[0, target]), score + t * rise) for t in LEVELS]
    return Validity(
        target,
        label_of(net, target),
        score,
        bias,
        float((w * x).sum()) + bias - score,
        uphill,
        downhill,
        uphill * norm,
        downhill * norm,
        *_where(steps[0]),
        ahead.size,
        int((ahead == 0).sum()),
        float(ahead[ahead > 0].min(initial=np.inf)),
        walked,
    )


def _piecewise_linear(net: Network) -> sequence.NamedLayers:
    layers = scores_chain(net)
    smooth = [name for name, layer in sequence.walk(layers) if layer.kind is Kind.SMOOTH]
    if smooth:
        raise MinicnnError(f"validity: layer {smooth[0]!r} of {net.name} is smooth; its scores are nowhere linear")
    return layers


def _where(seen):
    """Return name and index (C, P, Q) of the unit whose kink is the nearest."""
    arrays = {name: t for name, t in seen.rooms.items() if not np.isscalar(t)}
    if not np.isfinite(seen.nearest()):
        return None, None
    name = min(arrays, key=lambda n: arrays[n].min())
    return name, tuple(int(i) for i in np.unravel_index(arrays[name].argmin(), arrays[name].shape)[1:])


@dataclass(frozen=True, eq=False, repr=False)
class _Piece(Layer):
    """A layer on pairs (x, z), stacked along the batch axis: z goes through the affine piece around x."""

    layer: Layer

    def forward(self, xz, kernels, keep=Keep.NOTHING, rng=None):
        """Return both outputs."""
        x, z = np.split(xz, 2)
        return np.concatenate([self.layer.forward(x, kernels)[0], affine_piece(self.layer, x, z)]), None


def _piece_at_zero(layers: sequence.NamedLayers, x: np.ndarray) -> np.ndarray:
    """Scores of the affine piece around x at the zero input: all the biases, carried forward."""
    both = sequence.map_layers(layers, lambda _, layer: _Piece(layer))
    y, _ = sequence.forward(both, np.concatenate([x, np.zeros_like(x)]), reference)
    return y[-1]
