"""The parts of a table of methods: what is prepared once for a picture, and what is measured of each map of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minicnn._utils.types import Shape
from minicnn.evaluate.checkpoint import digest_example
from minicnn.evaluate.dataset import Example, read_truth
from minicnn.evaluate.datasets.annotation import Box
from minicnn.evaluate.grid_pointing import Grid, GridInput, choose_grids, make_grid_input, share_in_cell
from minicnn.evaluate.insertion_deletion import area_under_curve, insertion_deletion_curves
from minicnn.evaluate.max_box_acc import best_ious
from minicnn.evaluate.method_comparison import true_class
from minicnn.evaluate.method_table.boxes import threshold_ious
from minicnn.evaluate.method_table.settings import TableSettings
from minicnn.evaluate.mprt import measure_mprt, noisy_copies, randomised_networks
from minicnn.evaluate.pointing_game import hits_box
from minicnn.evaluate.synthetic.classifier import small_net
from minicnn.evaluate.synthetic.known_truth import Trained, known_truth_precisions, trained_network
from minicnn.evaluate.synthetic.tetrominoes import BACKGROUNDS, SCENARIOS, SIDE
from minicnn.explain.attribution_maps import AttributionMaps
from minicnn.explain.methods import Method
from minicnn.explain.prediction import load_views
from minicnn.images import View, average_views, load_image
from minicnn.images.gaussian_blur import gaussian_blur
from minicnn.images.reduced import reduced_size, scale_boxes
from minicnn.io.digest import digest_image
from minicnn.network import Network

__all__ = ["Item", "Part", "curve_part", "grid_part", "photograph_part", "random_part", "truth_part"]

Values = dict[str, Any]


class Item(NamedTuple):
    """What maps are made of: a photograph, a grid of four, or a scenario of known truth.

    Attributes
    ----------
    key : str, the same for the same item in another run
    name : str, for people
    group : str, what it shares with other items
    value : Example, Grid or (scenario, background)

    """

    key: str
    name: str
    group: str
    value: Any


class Part(NamedTuple):
    """Measurements of the same items.

    Attributes
    ----------
    name : str
    items : list of Item
    net : Network whose input's shape the methods' defaults are chosen for
    shape : (C, H, W), that shape
    settings : dict, what else decides the results
    count : function of a Method, of how many of the items it is measured on
    prepare : function of an item's value, what all methods need of it
    measure : function of what was prepared, a Method and its settings, that returns values for JSON

    """

    name: str
    items: list[Item]
    net: Network
    shape: Shape
    settings: Mapping[str, Any]
    count: Callable[[Method], int]
    prepare: Callable[[Any], Any]
    measure: Callable[[Any, Method, Mapping[str, Any]], Values]


def shown_map(method: Method, maps: AttributionMaps) -> np.ndarray:
    """Return the map (V, H, W) that the publication shows: with its sign if it has one."""
    return maps.signed if method.signed else maps.map


# photographs: pointing, boxes, time


class Photograph(NamedTuple):
    """A photograph as the network's input, and what is in it."""

    x: np.ndarray
    views: list[View]
    target: int
    boxes: tuple[Box, ...]


def photograph_part(net: Network, examples: Sequence[Example], settings: TableSettings) -> Part:
    """Pointing game, boxes and time, on the whole picture warped to the input."""

    def prepare(example: Example) -> Photograph:
        picture = load_image(example.image)
        boxes, _ = read_truth(example, picture.size[::-1])
        x, views = load_views(net, picture, "whole")
        return Photograph(x, views, true_class(net, example, x), boxes)

    def measure(photograph: Photograph, method: Method, own: Mapping[str, Any]) -> Values:
        x, views, target, boxes = photograph
        # of the processor and not of the clock, which other work on the machine would slow down
        start = time.process_time()
        maps = method.function(net, x, target, **own)
        seconds = time.process_time() - start
        full = views[0].image_size
        size = reduced_size(full)
        map = average_views(maps.map, views, size)
        # of a large picture all is measured at a smaller size
        near = boxes if size == full else scale_boxes(boxes, full, size)
        map = gaussian_blur(map, settings.smoothing * max(map.shape))
        return {
            "pointing": _points_at(map, near, settings.tolerance * size[0] / full[0]),
            "ious": threshold_ious(map, near),
            # rounded down, so that a hit at a level of 0.3, 0.5 or 0.7 stays what it is
            "component ious": (np.floor(best_ious(map, near) * 1000) / 1000).tolist(),
            "seconds": round(seconds, 4),
        }

    items = _draw(examples, len(examples), settings.seed)
    decides = {n: getattr(settings, n) for n in ("tolerance", "smoothing")}
    return Part("photographs", items, net, _shape(net), decides, lambda _: len(items), prepare, measure)


def _points_at(map: np.ndarray, boxes: Sequence[Box], tolerance: float) -> float:
    """Return 1 if the map's largest value is on an object; a map that is the same everywhere points nowhere."""
    row, column = np.unravel_index(map.argmax(), map.shape)
    return float(map.max() > map.min() and hits_box((int(row), int(column)), boxes, tolerance))


# insertion and deletion


def curve_part(net: Network, examples: Sequence[Example], settings: TableSettings) -> Part:
    """Areas under insertion and deletion curves, on the whole picture warped to the input."""
    items = _draw(examples, settings.curve_pictures, settings.seed)

    def prepare(example: Example) -> tuple[np.ndarray, int]:
        x, _ = load_views(net, example.image, "whole")
        return x, true_class(net, example, x)

    def measure(prepared: tuple[np.ndarray, int], method: Method, own: Mapping[str, Any]) -> Values:
        x, target = prepared
        map = method.function(net, x, target, **own).map[0]
        curves = insertion_deletion_curves(net, x, target, map, steps=settings.curve_steps)
        areas = {name: area_under_curve(curve) for name, curve in curves._asdict().items()}
        return {name: round(area, 5) for name, area in areas.items()}

    decides = {"curve_steps": settings.curve_steps}
    return Part("curves", items, net, _shape(net), decides, lambda _: len(items), prepare, measure)


def _draw(examples: Sequence[Example], count: int, seed: int) -> list[Item]:
    """Return so many pictures in random order, so that the first of them, if a run is stopped, are any."""
    drawn = (examples[n] for n in np.random.default_rng(seed).permutation(len(examples))[:count])
    # those that can't be read are left for ``prepare`` to complain of
    return [Item(digest_example(example), str(example.image), example.group, example) for example in drawn]


# grids of photographs


def grid_part(net: Network, examples: Sequence[Example], settings: TableSettings) -> Part:
    """Grid pointing game."""
    grids = choose_grids(net, examples, settings.grids, settings.seed)
    large, x = make_grid_input(net, grids[0]) if grids else GridInput(net, np.empty((0, *_shape(net))))
    items = []
    for n, grid in enumerate(grids):
        digests = [digest_image(image)["sha256"][:8] for image in grid.images]
        items.append(Item(f"{digests} {grid.cell}", f"grid {n}", f"grid {n}", grid))

    def prepare(grid: Grid) -> tuple[np.ndarray, Grid]:
        return make_grid_input(net, grid).x, grid

    def measure(prepared: tuple[np.ndarray, Grid], method: Method, own: Mapping[str, Any]) -> Values:
        x, grid = prepared
        shown = shown_map(method, method.function(large, x, grid.target, **own))[0]
        return {"share": round(share_in_cell(np.maximum(shown, 0), grid.cell), 5)}

    return Part("grids", items, large, x.shape[1:], {}, lambda _: len(items), prepare, measure)


# randomised networks


def random_part(net: Network, examples: Sequence[Example], settings: TableSettings) -> Part:
    """Smooth and Efficient MPRT."""
    items = _draw(examples, settings.random_pictures, settings.seed)
    networks = randomised_networks(net, settings.random_steps, settings.seed) if items else [net]

    def prepare(example: Example) -> tuple[np.ndarray, int]:
        x, _ = load_views(net, example.image, "one")
        return noisy_copies(x, settings.noisy_copies, settings.seed), true_class(net, example, x)

    def measure(prepared: tuple[np.ndarray, int], method: Method, own: Mapping[str, Any]) -> Values:
        copies, target = prepared

        def explain(net: Network, x: np.ndarray) -> np.ndarray:
            return shown_map(method, method.function(net, x, target, **own))[0]

        mprt = measure_mprt(explain, networks, copies)
        return {"smooth": round(mprt.smooth, 5), "efficient": round(mprt.efficient, 5)}

    def count_for(method: Method) -> int:
        return len(items) if method.passes <= settings.costly_passes else min(settings.costly_pictures, len(items))

    decides = {n: getattr(settings, n) for n in ("random_steps", "noisy_copies", "seed")}
    return Part("randomised nets", items, net, _shape(net), decides, count_for, prepare, measure)


# known truth


def truth_part(settings: TableSettings) -> Part:
    """Tetrominoes in noise: small nets of our own, whatever net the table is of."""
    pairs = [(scenario, background) for scenario in SCENARIOS for background in BACKGROUNDS]
    items = [Item(f"{s}, {b}", f"{s}, {b} noise", f"{s}, {b} noise", (s, b)) for s, b in pairs]
    untrained = small_net(SIDE)

    def prepare(pair: tuple[str, str]) -> Trained:
        return trained_network(*pair, settings.seed)

    def measure(trained: Trained, method: Method, own: Mapping[str, Any]) -> Values:
        def explain(net: Network, x: np.ndarray, target: int) -> np.ndarray:
            return np.abs(shown_map(method, method.function(net, x, target, **own))[0])

        precisions = known_truth_precisions(explain, trained, settings.truth_pictures)
        return {"accuracy": trained.accuracy, "precisions": [round(p, 4) for p in precisions]}

    count = len(items) if settings.truth_pictures else 0
    decides = {n: getattr(settings, n) for n in ("truth_pictures", "seed")}
    return Part("known truth", items, untrained, (1, SIDE, SIDE), decides, lambda _: count, prepare, measure)


def _shape(net: Network) -> Shape:
    assert net.input_shape is not None  # checked by run, which says so to people
    return net.input_shape
