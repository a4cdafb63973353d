"""Grad-CAM: the maps of a late layer, weighted by their mean gradients (Selvaraju et al. 2017)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import layers as nn
from minicnn._utils.types import Progress, Shape
from minicnn.errors import MinicnnError, ShapeError
from minicnn.explain.attribution_maps import AttributionMaps
from minicnn.layers import Layer
from minicnn.layers.blocks import Block
from minicnn.layers.graph import follows_alone, is_passed_by_all, rename_inputs, unroll
from minicnn.layers.pointwise import Pointwise
from minicnn.network import Network

__all__ = [
    "choose_layer",
    "class_activation",
    "grad_cam",
    "grad_cam_maps",
    "last_convolution",
    "layers_after",
    "resize_maps",
]

# what belongs to the convolution before it
AFTER = nn.BatchNorm2d | nn.ReLU | nn.ReLU6 | nn.Hardtanh | nn.LeakyReLU | nn.PReLU | Pointwise | nn.Tanh


def grad_cam(net: Network, x: np.ndarray, target: int, *, layer: str | None = None) -> np.ndarray:
    """Gradient-weighted class activation map, at the size of the input.

    alpha_k = (1 / P Q) sum_pq dS_c / dA_kpq  (their equation 1),  L = ReLU(sum_k alpha_k A_k)  (equation 2),
    brought from P x Q to H x W bilinearly.

    Parameters
    ----------
    net : Network
    x : array of shape (V, C, H, W), the network's input; one view is held at a time
    target : int, the class
    layer : str, optional
        Whose output A is; see ``last_convolution`` for the one unless given.  Dots reach into sequential blocks.

    Returns
    -------
    map : float32 array of shape (V, H, W), not negative

    Raises
    ------
    MinicnnError
        If there is no such layer, or its output reaches the scores by several ways.
    ShapeError
        If the layer gives no maps.

    References
    ----------
    .. [1] Selvaraju et al. 2017, "Grad-CAM: visual explanations from deep networks via gradient-based
       localization", equations 1 and 2.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.io import catalogue
    >>> net = minicnn.load("digits")
    >>> x = net.preprocess(catalogue.folder("images") / "seven.png")
    >>> map = grad_cam(net, x, 7)
    >>> map.shape, float(map.min()) >= 0
    ((1, 28, 28), True)

    """
    return resize_maps(np.maximum(class_activation(net, x, target, layer), 0), x.shape[2:])


def grad_cam_maps(
    net: Network, x: np.ndarray, target: int, *, layer: str | None = None, progress: Progress = iter
) -> AttributionMaps:
    """Return the maps of ``grad_cam``, and the same before its rectifier; ``progress`` has nothing to wrap."""
    return AttributionMaps.from_positive_part(resize_maps(class_activation(net, x, target, layer), x.shape[2:]))


def choose_layer(net: Network, shape: Shape, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with ``last_convolution`` for a layer that is None."""
    return settings if settings["layer"] is not None else {**settings, "layer": last_convolution(net, shape)}


def class_activation(net: Network, x: np.ndarray, target: int, layer: str | None = None) -> np.ndarray:
    """Weighted sum of a layer's maps, before Grad-CAM's rectifier: sum_k alpha_k A_k.

    Parameters and errors as for ``grad_cam``; an array of shape (V, P, Q), signed, dtype of x.
    """
    layer = last_convolution(net, x.shape[1:]) if layer is None else layer
    # the gradient is wanted at the layer's maps: what follows them is a network whose input they are
    rest = Network(layers_after(net.named_layers, layer), device=net.device, name=net.name)
    return np.concatenate([_class_activation(net, rest, view[None], target, layer) for view in x])


def _class_activation(net: Network, rest: Network, x: np.ndarray, target: int, layer: str) -> np.ndarray:
    maps = net.forward(x, upto=layer)
    if maps.ndim != 4:
        raise ShapeError(f"grad_cam: {layer!r} gives {maps.shape[1:]} for each image; expected maps (K, P, Q)")
    # equation 1: alpha_k is the mean of dS_c / dA_k over the map; then equation 2, without its rectifier
    alpha = rest.input_gradient(maps, target).mean(axis=(2, 3))
    return np.einsum("nk,nkpq->npq", alpha, maps)


def last_convolution(net: Network, shape: tuple[int, ...]) -> str:
    """Name of the last layer that Grad-CAM can read.

    The last convolution, or block with one, whose maps of an input ``shape`` (C, H, W) are larger than one pixel,
    together with the normalisation and the rectifier that follow it at once, as the authors' own models have it.

    Raises
    ------
    MinicnnError
        If the network has no convolution with maps of more than a pixel.

    """
    named = nn.sequence.before_softmax(net.named_layers)
    layers, passed = list(nn.sequence.shapes(named, shape)), is_passed_by_all(named)
    convolutions = [i for i, (_, layer, _, out) in enumerate(layers) if _convolves(layer) and _has_maps(out)]
    # paths beside a convolution meet again behind it: maps that are weighted are all that the scores depend on
    ends = (next(j for j in range(i, len(layers)) if passed[j]) for i in reversed(convolutions))
    end = next((end for end in ends if _has_maps(layers[end][3])), None)
    if end is None:
        raise MinicnnError(
            f"grad_cam: {net.name} has no convolution whose maps are larger than one pixel and are all that its "
            "scores depend on"
        )
    # the normalisation and the rectifier behind the convolution belong to the maps that are weighted
    alone = follows_alone(named)
    while end + 1 < len(layers) and alone[end + 1] and isinstance(layers[end + 1][1], AFTER):
        end += 1
    return layers[end][0]


def _has_maps(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and max(shape[1:]) > 1


def _convolves(layer: Layer) -> bool:
    return any(isinstance(part, nn.Conv2d) for _, part in nn.sequence.walk([("", layer)]))


def layers_after(layers: nn.sequence.NamedLayers, path: str) -> nn.sequence.NamedLayers:
    """Return the layers that follow the one at ``path``; a sequential block that holds it is unrolled.

    Raises
    ------
    MinicnnError
        If there is none, or other paths pass it by.

    """
    # names come before paths: of two layers "layer4.1" and "layer4.1.relu" neither is inside of the other
    names = [name for name, _ in layers]
    if path in names:
        i = names.index(path)
        if not is_passed_by_all(layers)[i]:
            raise MinicnnError(f"grad_cam: other paths pass {path!r} by; name a layer that all of them lead to")
        return rename_inputs(layers[i + 1 :], {path: nn.sequence.INPUT})
    for i, (name, block) in enumerate(layers):
        if path.startswith(f"{name}.") and isinstance(block, Block):
            if not isinstance(block, nn.Sequential):
                raise MinicnnError(
                    f"grad_cam: {path!r} is inside of {name!r}, which other branches pass by; name {name!r} itself"
                )
            inner = unroll(block.layers, name, block, nn.sequence.read_by(layers)[i][0])
            # what read the block reads its last layer
            rest = rename_inputs(layers[i + 1 :], {name: inner[-1][0]} if inner else {})
            return layers_after([*layers[:i], *inner, *rest], path)
    nn.sequence.truncate_at(layers, path)  # says which layers there are
    raise MinicnnError(f"grad_cam: no layer {path!r}")


def resize_maps(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return maps (V, P, Q) brought to (V, H, W) bilinearly, float32."""
    from PIL import Image

    pictures = (Image.fromarray(np.ascontiguousarray(m, np.float32)) for m in maps)
    return np.stack([np.asarray(p.resize(size[::-1], Image.Resampling.BILINEAR)) for p in pictures])
