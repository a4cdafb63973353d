"""Figure "method-maps": the same photographs under every method's map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import MinicnnError
from minicnn.evaluate.dataset import Example, read_truth
from minicnn.evaluate.method_comparison import true_class
from minicnn.explain.methods import Method
from minicnn.explain.prediction import class_label, load_views
from minicnn.figures import provenance
from minicnn.figures.common import draw_boxes, draw_map, draw_photograph
from minicnn.images import PlacedMaps, load_image
from minicnn.network import Network
from minicnn.report import contact_sheet, normalise, overlay

__all__ = ["write_method_maps"]

CELL = 150  # pixels


def write_method_maps(
    path: PathLike,
    net: Network,
    examples: Sequence[Example],
    methods: Mapping[str, Method],
    settings: Mapping[str, Mapping[str, Any]],
    origin: Mapping[str, Any],
) -> None:
    """Write a sheet of photographs with their true boxes, and each one's map by every method, of the true class.

    Parameters
    ----------
    path : of the PNG file
    net : Network
    examples : the photographs, a few of them; those that can't be read are left out
    methods : {name: Method}
    settings : {name: every setting}; a method without an entry could not be applied, and is left out
    origin : which network, as ``minicnn.io.digest.digest_network`` says it

    Raises
    ------
    ImageError
        If no photograph can be read, or the file can't be written; nothing is left behind.

    """
    shown = {name: method for name, method in methods.items() if name in settings}
    rows, images = [], []
    for example in examples:
        try:
            rows.append(_row(net, example, shown, settings))
        except MinicnnError:
            # complained of where it was measured
            continue
        images.append(str(example.image))
    title = f"Maps by {len(shown)} methods on {origin['name']}"
    subtitle = "of the true class, whose boxes are blue; each map by its own largest values"
    sheet = contact_sheet(rows, (), title, subtitle, CELL)
    record = provenance.make_record("method-maps", origin, images, None, dict(settings), {})
    provenance.save(sheet, path, record)


def _row(
    net: Network, example: Example, methods: Mapping[str, Method], settings: Mapping[str, Mapping[str, Any]]
) -> list[tuple[np.ndarray, str]]:
    """Return a photograph with its boxes, and its maps, each with a caption."""
    picture = load_image(example.image)
    boxes, _ = read_truth(example, picture.size[::-1])
    x, views = load_views(net, picture, "whole")
    target = true_class(net, example, x)
    photograph = draw_photograph(picture)
    boxed, _ = draw_boxes(picture, [(box, (0, 114, 255)) for box in boxes])
    row = [(boxed, class_label(net, target) or f"class {target}")]
    for name, method in methods.items():
        map = draw_map(PlacedMaps(method.function(net, x, target, **settings[name]).map, views))
        row.append((overlay(photograph, normalise(map)), name))
    return row
