"""Maps that know nothing of the network: edges, noise, the distance from the centre."""

from __future__ import annotations

import zlib

import numpy as np

from minicnn._utils.types import Progress
from minicnn.explain.attribution_maps import AttributionMaps
from minicnn.explain.methods import Method, Reference
from minicnn.network import Network

__all__ = ["BASELINES", "EDGES", "RANDOM", "centre_maps", "edge_maps", "random_maps"]

EDGES, RANDOM = "edge detector", "random map"


def edge_maps(net: Network, x: np.ndarray, target: int, *, progress: Progress = iter) -> AttributionMaps:
    """Sobel's edges: the size of the gradient of the input's mean over its channels, borders repeated.

    Examples
    --------
    >>> from minicnn.layers import ReLU
    >>> x = np.zeros((1, 1, 3, 4), np.float32)
    >>> x[..., 2:] = 1
    >>> edge_maps(Network([ReLU()]), x, 0).map[0, 1].tolist()
    [0.0, 4.0, 4.0, 0.0]

    """
    grey = np.pad(x.mean(axis=1), ((0, 0), (1, 1), (1, 1)), mode="edge")
    # [1 2 1] along one axis and [-1 0 1] along the other
    smooth_rows = grey[:, :-2] + 2 * grey[:, 1:-1] + grey[:, 2:]
    smooth_columns = grey[:, :, :-2] + 2 * grey[:, :, 1:-1] + grey[:, :, 2:]
    across = smooth_rows[:, :, 2:] - smooth_rows[:, :, :-2]
    down = smooth_columns[:, 2:] - smooth_columns[:, :-2]
    return AttributionMaps.from_positive_part(np.hypot(across, down))


def random_maps(net: Network, x: np.ndarray, target: int, *, progress: Progress = iter) -> AttributionMaps:
    """Numbers between 0 and 1, drawn for each input anew and for the same input alike."""
    views = [np.random.default_rng(zlib.crc32(view.tobytes())).random(x.shape[2:]) for view in x]
    return AttributionMaps.from_positive_part(np.stack(views).astype(np.float32))


def centre_maps(net: Network, x: np.ndarray, target: int, *, progress: Progress = iter) -> AttributionMaps:
    """Nearness to the centre: 1 there, falling evenly to 0 in the corners."""
    rows, columns = (np.abs(np.arange(n) - (n - 1) / 2) for n in x.shape[2:])
    distance = np.hypot(rows[:, None], columns[None])
    map = (1 - distance / distance.max()).astype(np.float32)
    return AttributionMaps.from_positive_part(np.repeat(map[None], len(x), axis=0))


_ENTRIES = (
    Method(EDGES, edge_maps, Reference("Sobel, Feldman", 1968, "A 3x3 isotropic gradient operator"), passes=0),
    Method(RANDOM, random_maps, Reference("", 0, "uniform noise"), passes=0),
    Method("centre", centre_maps, Reference("", 0, "nearness to the centre"), passes=0),
)

BASELINES: dict[str, Method] = {method.name: method for method in _ENTRIES}
