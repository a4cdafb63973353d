"""What black and white are to a network, and the unit in which its inputs vary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minicnn.images.preprocess import Preprocess

__all__ = ["RANGE", "input_limits", "input_unit"]

RANGE = 3.25  # white - black in standard deviations, of MNIST's digits; photographs have 4


def input_limits(preprocess: Preprocess) -> tuple[np.ndarray, np.ndarray]:
    """Return the input values (C, H, W) of black and of white.

    Examples
    --------
    >>> import minicnn
    >>> black, white = input_limits(minicnn.load("digits").preprocess)
    >>> round(float(black.max()), 2), round(float(white.min()), 2)
    (-0.42, 2.82)

    """
    # "auto" would take the white picture for dark strokes on light paper and turn it into black
    preprocess = replace(preprocess, invert=False)
    # black is transparent where transparency is a channel, which has a range then too
    channels = preprocess.channels
    depth = channels if isinstance(channels, int) else 4 if channels.endswith("A") else 3
    black, white = (preprocess(np.full((*preprocess.size, depth), value, np.uint8))[0] for value in (0, 255))
    return black, white


def input_unit(preprocess: Preprocess | None) -> float:
    """Return by how much the network's inputs vary: (white - black) / 3.25, the standard deviation of its data.

    1 for inputs brought to a standard deviation of 1, 78 for inputs of 0 to 255; 1 where nobody says.

    Examples
    --------
    >>> import minicnn
    >>> round(input_unit(minicnn.load("digits").preprocess), 2)
    1.0

    """
    if preprocess is None:
        return 1.0
    black, white = input_limits(preprocess)
    return float(np.abs(white - black).mean(dtype=np.float64)) / RANGE
