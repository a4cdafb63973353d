"""Class activation maps of a part of a picture, at several scales, and the last feature maps beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minicnn.errors import MinicnnError, ShapeError
from minicnn.explain.grad_cam import last_convolution, layers_after, resize_maps
from minicnn.explain.localisation.detection import Box
from minicnn.explain.prediction import get_preprocess
from minicnn.images import Preprocess
from minicnn.layers import sequence
from minicnn.network import Network

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ClassMapper", "ClassMaps", "merge_scales", "normalise_peak"]

STRIDE = 32  # sides of a resized picture are multiples of it, so that strided maps end at its border


class ClassMaps(NamedTuple):
    """What a net's last convolution says of a part of a picture.

    Attributes
    ----------
    classes : one list for each class, of maps (P, Q) at each scale, float32, not negative
    features : float32 array of shape (K, P, Q), the last feature maps at the scale that is asked for

    """

    classes: list[list[np.ndarray]]
    features: np.ndarray


class ClassMapper:
    """A net cut in two behind its last convolution.

    m = max(sum_k dS_c / dA_k * A_k, 0) at each place of the last feature maps A_k.  In a net that ends in a
    global mean and one full layer this is Zhou's class activation map; in any other it is what Draelos and Carin
    call HiResCAM: the place's share in the score.

    Parameters
    ----------
    net : Network with a ``preprocess``
    scales : sides of the resized picture, in sides of the net's input
        A net whose end takes inputs of one size alone sees the picture warped to that size, once.
    features : which of the scales the feature maps are of

    Raises
    ------
    MinicnnError
        If the network has no preprocessing, or no convolution whose maps are larger than a pixel.

    References
    ----------
    .. [1] Zhou et al. 2016, "Learning deep features for discriminative localization".
    .. [2] Draelos, Carin 2020, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural
       networks".

    """

    def __init__(self, net: Network, scales: Sequence[float], features: int) -> None:
        self.preprocess = _without_mean_image(get_preprocess(net))
        shape = (self.preprocess.depth, *self.preprocess.size)
        try:
            layer = last_convolution(net, shape)
        except MinicnnError:
            raise MinicnnError(
                f"consensus: {net.name} has no convolution whose maps are larger than one pixel and are all that "
                "its scores depend on (a committee has several side by side); the method 'paper' needs none"
            ) from None
        # folded into the convolutions, batch normalisations take no time; names stay as they are
        folded = net.fold_batch_norm().named_layers
        self._head = Network(sequence.truncate_at(folded, layer), device=net.device, name=net.name)
        self._rest = Network(layers_after(net.named_layers, layer), device=net.device, name=net.name)
        self._layer = layer
        # whether the end of the net takes other sizes is asked of its shapes, which costs nothing
        larger = (shape[0], *(n + 2 * STRIDE for n in self.preprocess.size))
        self.scales = tuple(scales) if _fits(net, larger) else (1.0,)
        self._features = features if len(self.scales) > 1 else 0

    def __call__(self, picture: Image, box: Box, classes: Sequence[int], closer: bool = False) -> ClassMaps:
        """Return maps of some classes, of the part of a picture inside a box, its mirror image averaged in.

        ``closer`` leaves out the largest of several scales, whose details an enlarged part shows already.
        """
        part = picture if box == (0, 0, *picture.size) else picture.crop(box)
        scales = (self.scales[:-1] if closer else ()) or self.scales
        kept = min(self._features, len(scales) - 1)
        maps: list[list[np.ndarray]] = [[] for _ in classes]
        for n, scale in enumerate(scales):
            x, views = replace(self.preprocess, size=self._size(part, scale), resize=None).batch(part, "pair")
            activation = self._head.forward(x)
            for of_class, c in zip(maps, classes, strict=True):
                share = (self._rest.input_gradient(activation, c) * activation).sum(axis=1)
                of_class.append(np.maximum(_unmirrored_mean(share, views), 0))
            if n == kept:
                features = _unmirrored_mean(activation, views)
        return ClassMaps(maps, features)

    def _size(self, part: Image, scale: float) -> tuple[int, int]:
        """Size (H, W) of the part's aspect and of an area of ``scale`` times the input's, along a side."""
        height, width = self.preprocess.size
        if len(self.scales) == 1:
            return height, width
        side = scale * (height * width / (part.width * part.height)) ** 0.5
        # twice the stride at least, so that maps of thin parts are larger than a pixel
        rows, columns = (max(2, round(n * side / STRIDE)) * STRIDE for n in (part.height, part.width))
        return rows, columns


def normalise_peak(map: np.ndarray) -> np.ndarray:
    """Scale a map to a maximum of 1; one that is zero everywhere stays.

    Examples
    --------
    >>> normalise_peak(np.array([0.0, 2.0, 4.0])).tolist()
    [0.0, 0.5, 1.0]

    """
    peak = map.max()
    return map / peak if peak > 0 else map


def merge_scales(maps: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Mean of maps (P, Q), each with a maximum of 1, resized to (H, W); again with a maximum of 1."""
    resized = (resize_maps(normalise_peak(map)[None], size)[0] for map in maps)
    return normalise_peak(np.sum([normalise_peak(map) for map in resized], axis=0))


def _unmirrored_mean(maps: np.ndarray, views: Sequence[object]) -> np.ndarray:
    """Mean over a view and, where there is one, its mirror image turned back: (V, ..., Q) to (..., Q)."""
    return maps[0] if len(maps) == 1 else (maps[0] + maps[1][..., ::-1]) / 2


def _without_mean_image(preprocess: Preprocess) -> Preprocess:
    """Return preprocessing for pictures of any size: a mean image has one size, its channels' means have none."""
    if not isinstance(preprocess.mean, np.ndarray):
        return preprocess
    return replace(preprocess, mean=tuple(preprocess.mean.mean(axis=(1, 2)).tolist()))


def _fits(net: Network, shape: tuple[int, ...]) -> bool:
    try:
        return sequence.output_shape(net.named_layers, shape) == sequence.output_shape(
            net.named_layers, (shape[0], *get_preprocess(net).size)
        )
    except (MinicnnError, ShapeError):
        return False
