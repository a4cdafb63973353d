"""The size of a network's input, where the file leaves it open or another is wanted; vectors that are pictures."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from minicnn.errors import MinicnnError, ShapeError
from minicnn.images import Preprocess
from minicnn.layers import Flatten, sequence
from minicnn.network import Network

__all__ = ["with_input_size", "with_usual_size"]

MAX_CHANNELS = 512
USUAL = 224  # pixels of a side, as nets for ImageNet take
LARGEST = 512


def with_input_size(net: Network, size: tuple[int, int]) -> Network:
    """Return the network for inputs of (height, width); its channels are those that its layers take.

    A network of vectors takes pictures of as many values, flattened in the order C, H, W.

    Raises
    ------
    MinicnnError
        If its layers take no input of that size.

    Examples
    --------
    >>> from minicnn.layers import Conv2d, Linear
    >>> with_input_size(Network([Conv2d(3, 8, 3)]), (32, 40)).input_shape
    (3, 32, 40)
    >>> with_input_size(Network([Linear(784, 10)], (784,)), (28, 28)).input_shape
    (1, 28, 28)

    """
    layers, shape = net.named_layers, net.input_shape
    if shape is not None and len(shape) == 1:
        name = "flatten"
        while any(name == other for other, _ in layers):
            name += "_"
        layers = [(name, Flatten()), *layers]
    known = None if shape is None or len(shape) == 1 else shape[0]
    channels = next(
        (c for c in ([known] if known else range(1, MAX_CHANNELS + 1)) if _fits(layers, (c, *size))), None
    )
    if channels is None:
        takes = "" if shape is None else f"; it takes {' x '.join(map(str, shape))}"
        raise MinicnnError(f"{net.name}: takes no input of {size[0]} x {size[1]}{takes}")
    preprocess = None if net.preprocess is None else _resize(net.preprocess, size)
    return Network(layers, (channels, *size), preprocess, net.labels, device=net.device, name=net.name)


def with_usual_size(net: Network) -> Network:
    """Return the network for square inputs of 224 pixels, or of the least size above that its layers take.

    Raises
    ------
    MinicnnError
        If they take none of up to 512.

    Examples
    --------
    >>> from minicnn.layers import Conv2d
    >>> with_usual_size(Network([Conv2d(3, 8, 3)])).input_shape
    (3, 224, 224)

    """
    for side in range(USUAL, LARGEST):
        with suppress(MinicnnError):
            return with_input_size(net, (side, side))
    return with_input_size(net, (LARGEST, LARGEST))


def _fits(layers: sequence.NamedLayers, shape: tuple[int, ...]) -> bool:
    try:
        return bool(sequence.output_shape(layers, shape))
    except ShapeError:
        return False


def _resize(preprocess: Preprocess, size: tuple[int, int]) -> Preprocess:
    """Return the preprocessing for another size, its crop the same part of the picture."""
    resize = preprocess.resize
    if isinstance(resize, tuple):
        height, width = (max(n, round(r * n / o)) for r, n, o in zip(resize, size, preprocess.size, strict=True))
        return replace(preprocess, size=size, resize=(height, width))
    if resize is not None:
        resize = max(*size, round(resize * max(size) / max(preprocess.size)))
    return replace(preprocess, size=size, resize=resize)
