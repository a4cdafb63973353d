"""How far the paper's linear model of a class score holds: up to the first kink along the gradient.

Near an image the score is S_c(I) = w^T I + b (paper, equation 2).  For a network of convolutions, rectifiers and
max-pools that is exact as long as no rectifier and no pool switch changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicnn._utils.types import ImageLike
from minicnn.errors import MinicnnError
from minicnn.explain.outputs.classifier import as_classifier
from minicnn.explain.prediction import class_index, class_label, load_views
from minicnn.layers import Kind, sequence
from minicnn.layers.joins import Join
from minicnn.layers.kinks import piecewise
from minicnn.layers.transforms.own import check_kinks, is_own
from minicnn.network import Network
from minicnn.network.check_weights import check_weights
from minicnn.network.linear_piece import piecewise_linear_layers, scores_at_zero
from minicnn.verify.linearise import Linearisation, linearise

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

    See Also
    --------
    minicnn.verify.validity : what returns it, with an example

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


def validity(net: Network, image: ImageLike, target: int | str | None = None) -> Validity:
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

    See Also
    --------
    gradients : whether the gradient is right
    minicnn.explain.saliency : the map that the linear model gives

    Notes
    -----
    Source: paper section 3, equation 2.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn
    >>> from minicnn.verify import validity
    >>> net = minicnn.load("digits")
    >>> image = np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8)
    >>> valid = validity(net, image)
    >>> 0 < valid.uphill < 10, abs(valid.closure) < 1e-9
    (True, True)

    """
    check_weights(net.state_dict())
    net = as_classifier(net)
    layers, exact = piecewise_linear_layers(net, "validity"), net.to("reference")
    for name, own in sequence.walk(layers):
        if own.kind == Kind.PIECEWISE_LINEAR and (is_own(own) or not isinstance(own, Join)):
            check_kinks(own, f"validity: layer {name!r}", piecewise)
    x, _ = load_views(net, image, "one")
    assert net.preprocess is not None  # load_views refuses a network without
    x = x.astype(np.float64)
    scores = exact(x)
    target = int(scores.argmax()) if target is None else class_index(net, target, scores.shape[1])
    w = exact.input_gradient(x, target)
    # by how much one grey level moves the input: x = (scale v - mean) / std
    per_level = np.abs(net.preprocess.scale / np.asarray(net.preprocess.std))[:, None, None]
    v = w * per_level
    if not v.any():
        raise MinicnnError(f"validity: the gradient of class {target} is zero at this image")
    u = v / np.abs(v).max()
    ahead, behind = (linearise(layers, x, sign * u * per_level, ahead=True) for sign in (1, -1))
    norm, distances = float(np.linalg.norm(u)), ahead.all_distances()
    score, bias = float(scores[0, target]), float(scores_at_zero(layers, x)[1][0, target])
    # slope of the score along u, per grey level
    rise = float((w * u * per_level).sum())
    layer, unit = _nearest_unit(ahead)
    return Validity(
        target=target,
        label=class_label(net, target),
        score=score,
        bias=bias,
        closure=float((w * x).sum()) + bias - score,
        uphill=ahead.nearest(),
        downhill=behind.nearest(),
        uphill_norm=ahead.nearest() * norm,
        downhill_norm=behind.nearest() * norm,
        layer=layer,
        unit=unit,
        kinks=distances.size,
        ties=int((distances == 0).sum()),
        beyond_ties=float(distances[distances > 0].min(initial=np.inf)),
        along=[(t, float(exact(x + t * u * per_level)[0, target]), score + t * rise) for t in LEVELS],
    )


def _nearest_unit(line: Linearisation) -> tuple[str | None, tuple[int, ...] | None]:
    """Return name and index (C, P, Q) of the unit whose kink is the nearest."""
    if not np.isfinite(line.nearest()):
        return None, None
    name = min(line.units, key=lambda n: line.units[n].min())
    distances = line.units[name]
    # the index without its first entry, that of the image
    return name, tuple(int(i) for i in np.unravel_index(distances.argmin(), distances.shape)[1:])
